/* bench.h: the way into `dcmem bench`. */
#ifndef DCMEM_BENCH_BENCH_H
#define DCMEM_BENCH_BENCH_H

/* `argv` holds the words behind "bench", `argc` of them. Returns the program's exit code. */
int bench_main(int argc, char **argv);

#endif
