/* contract_suite.h: the contract of dcmem/backend.h as tests that take a backend.
 *
 *     static contract_subject
 *     subject(void)
 *     {
 *         return (contract_subject){.backend = dcmem_backend_find("cpu"), .options = ...};
 *     }
 *
 *     CONTRACT_TESTS(cpu, subject)
 *
 * gives one test a clause. A backend that is not available, or has not the group, is skipped with the reason. The
 * suite calls the table as the core does, and nothing else of the library. */
#ifndef DCMI_TEST_CONTRACT_SUITE_H
#define DCMI_TEST_CONTRACT_SUITE_H

#include "test.h"

#include <dcmem/backend.h>

typedef struct contract_subject {
    const dcmem_backend *backend;
    dcmem_open options;
} contract_subject;

/* An open device under test. */
typedef struct contract_device {
    const dcmem_backend *backend;
    dcmem_open options;
    void *handle;
    dcmem_device_info info;
} contract_device;

/* group or property, clause */
#define CONTRACT_CLAUSES(X, ...)                                                                                       \
    X(REQUIRED, its_table_passes_the_check, __VA_ARGS__)                                                               \
    X(REQUIRED, it_counts_the_same_devices_again, __VA_ARGS__)                                                         \
    X(REQUIRED, an_index_past_the_count_opens_nothing, __VA_ARGS__)                                                    \
    X(REQUIRED, its_info_is_possible, __VA_ARGS__)                                                                     \
    X(REQUIRED, it_opens_and_closes_again_and_again, __VA_ARGS__)                                                      \
    X(REQUIRED, it_can_be_opened_twice_at_once, __VA_ARGS__)                                                           \
    X(REQUIRED, acquire_gives_what_was_asked_of_every_kind, __VA_ARGS__)                                               \
    X(REQUIRED, acquire_keeps_alignments, __VA_ARGS__)                                                                 \
    X(REQUIRED, a_kind_that_it_has_not_is_refused, __VA_ARGS__)                                                        \
    X(REQUIRED, what_is_impossible_is_refused_and_leaves_it_well, __VA_ARGS__)                                         \
    X(REQUIRED, extents_do_not_overlap, __VA_ARGS__)                                                                   \
    X(REQUIRED, memory_that_was_released_comes_again, __VA_ARGS__)                                                     \
    X(REQUIRED, host_memory_can_be_touched, __VA_ARGS__)                                                               \
    X(REQUIRED, copies_there_and_back_are_exact, __VA_ARGS__)                                                          \
    X(REQUIRED, copies_between_extents_are_exact, __VA_ARGS__)                                                         \
    X(REQUIRED, copies_within_an_extent_are_exact, __VA_ARGS__)                                                        \
    X(REQUIRED, copies_from_host_to_host_are_exact, __VA_ARGS__)                                                       \
    X(REQUIRED, fills_repeat_each_pattern_and_touch_nothing_else, __VA_ARGS__)                                         \
    X(REQUIRED, what_is_direct_is_where_copies_and_fills_go, __VA_ARGS__)                                              \
    X(REQUIRED, several_threads_can_use_it_at_once, __VA_ARGS__)                                                       \
    X(UNIFIED, every_extent_is_the_host_s, __VA_ARGS__)                                                                \
    X(ADDRESSED, addresses_are_unique_over_two_devices, __VA_ARGS__)                                                   \
    X(DIVISIBLE, a_part_can_go_and_the_rest_keeps_its_contents, __VA_ARGS__)                                           \
    X(DIVISIBLE, neighbours_can_be_used_and_go_as_one, __VA_ARGS__)                                                    \
    X(DIVISIBLE, lanes_lie_apart, __VA_ARGS__)                                                                         \
    X(DIVISIBLE, what_went_can_be_had_again, __VA_ARGS__)                                                              \
    X(MAP, a_map_shows_what_was_copied_in, __VA_ARGS__)                                                                \
    X(MAP, what_is_written_through_a_map_arrives, __VA_ARGS__)                                                         \
    X(MAP, maps_nest, __VA_ARGS__)                                                                                     \
    X(MAP, invalidate_shows_what_the_device_wrote_meanwhile, __VA_ARGS__)                                              \
    X(MAP, flush_shows_the_device_what_the_host_wrote_meanwhile, __VA_ARGS__)                                          \
    X(ASYNC, a_queue_runs_in_order, __VA_ARGS__)                                                                       \
    X(ASYNC, its_timeline_rises_from_1, __VA_ARGS__)                                                                   \
    X(ASYNC, its_timeline_never_falls_nor_runs_ahead, __VA_ARGS__)                                                     \
    X(ASYNC, a_mark_completes_after_all_before_it, __VA_ARGS__)                                                        \
    X(ASYNC, a_mark_of_nothing_is_complete, __VA_ARGS__)                                                               \
    X(ASYNC, waiting_for_what_is_done_takes_no_time, __VA_ARGS__)                                                      \
    X(ASYNC, a_value_that_was_never_given_is_refused, __VA_ARGS__)                                                     \
    X(ASYNC, queues_have_timelines_of_their_own, __VA_ARGS__)                                                          \
    X(ASYNC, what_enqueue_was_given_may_change_afterwards, __VA_ARGS__)                                                \
    X(ASYNC, queued_copies_reach_every_place, __VA_ARGS__)                                                             \
    X(ASYNC, queued_fills_repeat_each_pattern_and_touch_nothing_else, __VA_ARGS__)                                     \
    X(ASYNC, what_completed_is_there_for_other_queues_and_the_host, __VA_ARGS__)                                       \
    X(ASYNC, closing_a_queue_ends_its_work, __VA_ARGS__)                                                               \
    X(ASYNC, more_can_be_queued_than_a_driver_likes, __VA_ARGS__)                                                      \
    X(ASYNC, several_threads_can_use_one_queue, __VA_ARGS__)                                                           \
    X(ASYNC, several_threads_can_have_a_queue_each, __VA_ARGS__)                                                       \
    X(VIRTUAL, reserved_ranges_are_aligned_and_apart, __VA_ARGS__)                                                     \
    X(VIRTUAL, reserving_costs_no_memory, __VA_ARGS__)                                                                 \
    X(VIRTUAL, impossible_reservations_and_pages_are_refused_and_leave_it_well, __VA_ARGS__)                           \
    X(VIRTUAL, pages_come_in_each_kind, __VA_ARGS__)                                                                   \
    X(VIRTUAL, mapped_pages_are_memory, __VA_ARGS__)                                                                   \
    X(VIRTUAL, a_page_takes_its_contents_along, __VA_ARGS__)                                                           \
    X(VIRTUAL, a_page_can_be_mapped_in_parts, __VA_ARGS__)                                                             \
    X(VIRTUAL, a_page_mapped_twice_is_one_memory, __VA_ARGS__)                                                         \
    X(VIRTUAL, pages_can_change_places, __VA_ARGS__)                                                                   \
    X(VIRTUAL, mapped_pages_are_memory_for_queues, __VA_ARGS__)                                                        \
    X(VIRTUAL, memory_of_pages_comes_again, __VA_ARGS__)                                                               \
    X(PEER, a_copy_between_two_devices_is_exact, __VA_ARGS__)                                                          \
    X(PEER, a_copy_from_a_peer_that_is_not_enabled_is_refused, __VA_ARGS__)                                            \
    X(PEER, enabling_counts, __VA_ARGS__)                                                                              \
    X(PEER, peers_that_cannot_reach_each_other_say_so, __VA_ARGS__)                                                    \
    X(IMPORT, imported_memory_is_the_caller_s_own, __VA_ARGS__)                                                        \
    X(IPC, what_was_exported_can_be_imported, __VA_ARGS__)                                                             \
    X(IPC, all_imports_are_one_memory, __VA_ARGS__)                                                                    \
    X(IPC, an_import_outlives_its_handle, __VA_ARGS__)                                                                 \
    X(IPC, what_is_no_handle_is_refused, __VA_ARGS__)                                                                  \
    X(IPC, memory_that_was_not_meant_to_be_shared_is_kept_or_shared, __VA_ARGS__)

typedef void (*contract_clause)(contract_device *device);

#define CONTRACT_DECLARE(group, clause, ...) void contract_##clause(contract_device *device);
CONTRACT_CLAUSES(CONTRACT_DECLARE, _)

/* Opens a device, runs the clause, closes it. */
void contract_run(contract_subject subject, const char *group, contract_clause clause);

#define CONTRACT_TEST(group, clause, name, subject)                                                                    \
    TEST(name##__##clause)                                                                                             \
    {                                                                                                                  \
        contract_run(subject(), #group, contract_##clause);                                                            \
    }
#define CONTRACT_TESTS(name, subject) CONTRACT_CLAUSES(CONTRACT_TEST, name, subject)

#endif
