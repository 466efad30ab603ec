/* replay.h: `dcmem replay`. */
#ifndef DCMEM_CLI_REPLAY_H
#define DCMEM_CLI_REPLAY_H

/* `argv` holds the words behind "replay". Returns the program's exit code. */
int replay_main(int argc, char **argv);

#endif
