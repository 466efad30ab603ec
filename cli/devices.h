/* devices.h: `dcmem devices`. */
#ifndef DCMEM_CLI_DEVICES_H
#define DCMEM_CLI_DEVICES_H

/* `argv` holds the words behind "devices". Returns the program's exit code. */
int devices_main(int argc, char **argv);

#endif
