/* player.h: plays a trace onto a target: its preamble once, the rest as often as asked, each time from the same state.
 *
 * A lane is what one thread plays: all of the trace, or, with threads, the operations of one stream. A lane runs its
 * operations in the trace's order; a free waits until its allocation has happened, wherever that is. Because every
 * wait is for an earlier operation of the trace, lanes cannot wait in a circle.
 *
 * The four parts of a play:
 *     PREAMBLE   rebuilds what was live when the recording began: once, before all rounds
 *     ROUND      the trace
 *     CLEANUP    undoes the round: frees what it left, takes what it freed of the preamble; after every round
 *     FINALE     frees the preamble: once, after all rounds */
#ifndef DCMEM_CLI_PLAYER_H
#define DCMEM_CLI_PLAYER_H

#include "cli/target.h"
#include "cli/trace.h"

typedef enum player_part { PLAYER_PREAMBLE, PLAYER_ROUND, PLAYER_CLEANUP, PLAYER_FINALE, PLAYER_PARTS } player_part;

typedef struct trace_player trace_player;

/* What stopped a play: the first failure of any lane. */
typedef struct player_failure {
    dcmem_result result;
    trace_op op;
    char message[256];
} player_failure;

/* Trace and target must outlive the player. With threads, as many threads wait in it as the trace has streams. Returns
 * NULL, with a reason in `reason`, when there can be no such threads. */
trace_player *player_create(const allocation_trace *trace, replay_target *to, bool has_threads, const char **reason);

/* Gives back whatever is still live, as it is after a play that failed. NULL is allowed. */
void player_destroy(trace_player *player);

/* Operations of a part, all lanes together, and the bytes that it takes when each size is rounded up to `unit`. */
uint32_t player_count(const trace_player *player, player_part part);
uint64_t player_taken_bytes(const trace_player *player, player_part part, uint64_t unit);

/* Plays one part. `out_ns` (may be NULL) is the time from the first lane's begin to the last lane's end. After a
 * failure the player can only be destroyed. */
dcmem_result player_play(trace_player *player, player_part part, double *out_ns);

/* Plays a round with a clock around every operation: `out_ns` gets player_count(ROUND) times, the cost of the clock
 * itself taken off. After the operation at which most is live, `at_peak` is called in the thread that ran it. */
dcmem_result player_inspect(trace_player *player, double *out_ns, void (*at_peak)(void *user), void *user);

const player_failure *player_last_failure(const trace_player *player);

#endif
