/* manager.c: managers as their users see them: arguments checked, then the pool's own calls. */
#include "backend/faults.h"
#include "base/log.h"
#include "base/size.h"
#include "guard/guard.h"
#include "pool/inside.h"
#include "queue/queue.h"

#include <dcmem/version.h>
#include <string.h>

const char *
dcmem_kind_name(dcmem_kind kind)
{
    static const char *const names[] = {
#define DCMEM_X(name, text) text,
        DCMEM_KINDS(DCMEM_X)
#undef DCMEM_X
    };
    return (unsigned)kind < DCMEM_KIND_COUNT ? names[kind] : "unknown";
}

/* ---- Options ---- */

/* The caller's options in our size; a longer struct may only have zeros in the part that we do not know. */
static dcmem_result
read_options(dcmem_manager_options *out, const dcmem_manager_options *options)
{
    *out = (dcmem_manager_options){.size = sizeof *out};
    if (!options)
        return DCMEM_OK;
    if (options->size < offsetof(dcmem_manager_options, backend) || options->size > 64 * sizeof *out)
        return dcmi_fail(DCMEM_E_INVALID_ARGUMENT, "options->size is %zu; set it to sizeof(dcmem_manager_options)",
                         options->size);
    const char *bytes = (const char *)options;
    for (size_t i = sizeof *out; i < options->size; i++)
        if (bytes[i])
            return dcmi_fail(DCMEM_E_INVALID_ARGUMENT,
                             "options has a field at byte %zu that this version (%s) does not know", i, DCMEM_VERSION);
    memcpy(out, options, dcmi_min(options->size, sizeof *out));
    return DCMEM_OK;
}

static dcmem_result
out_of_range(const char *field, unsigned long long value)
{
    return dcmi_fail(DCMEM_E_INVALID_ARGUMENT, "options->%s is %llu, out of range", field, value);
}

static dcmem_result
check_options(const dcmem_manager_options *options)
{
    if ((unsigned)options->sizing > DCMEM_SIZING_POWER_OF_TWO)
        return out_of_range("sizing", (unsigned)options->sizing);
    if ((unsigned)options->policy > DCMEM_POLICY_TIGHT)
        return out_of_range("policy", (unsigned)options->policy);
    if ((unsigned)options->huge_pages > DCMEM_HUGE_PAGES_OFF)
        return out_of_range("huge_pages", (unsigned)options->huge_pages);
    if (options->numa_node_plus_1 > 4096)
        return out_of_range("numa_node_plus_1", options->numa_node_plus_1);
    if (options->exact_peaks > 1)
        return out_of_range("exact_peaks", options->exact_peaks);
    if (options->backend && options->driver)
        return dcmi_fail(DCMEM_E_INVALID_ARGUMENT, "options->backend and options->driver are both set; choose one");
    return DCMEM_OK;
}

static dcmi_pool_settings
settings_from(const dcmem_manager_options *options)
{
    return (dcmi_pool_settings){
        .sizing = options->sizing,
        .policy = options->policy,
        .has_exact_peaks = options->exact_peaks,
        .limit_bytes = options->limit_bytes,
        .idle_limit_bytes = options->idle_limit_bytes,
        .idle_time_ns = options->idle_time_ns,
        .largest_allocation_bytes = options->largest_allocation_bytes,
        .maintenance_interval_ns = options->maintenance_interval_ns,
        .thread_cache_bytes = options->thread_cache_bytes,
        .growth_bytes = options->growth_bytes,
        .out_of_memory = options->out_of_memory,
        .out_of_memory_user = options->out_of_memory_user,
    };
}

/* ---- Life ---- */

static dcmem_result
open_device(dcmi_device *device, const dcmem_manager_options *options)
{
    dcmem_open how = {
        .size = sizeof how,
        .index = options->device,
        .huge_pages = options->huge_pages,
        .numa_node = (int32_t)options->numa_node_plus_1 - 1,
        .native = options->native,
    };
    const char *name = options->backend ? options->backend : "cpu";
    return dcmi_device_open(device, options->driver ? NULL : name, options->driver, &how);
}

dcmem_result
dcmem_manager_create(dcmem_manager **out, const dcmem_manager_options *user_options)
{
    DCMI_REQUIRE(out);
    dcmem_manager_options options;
    dcmem_result result = read_options(&options, user_options);
    if (!result)
        result = check_options(&options);
    if (result)
        return result;

    dcmi_guard_settings guards;
    dcmi_guard *guard;
    result = dcmi_guard_settings_read(&guards, &options);
    if (!result)
        result = dcmi_guard_create(&guard, &guards, options.out_of_memory, options.out_of_memory_user);
    if (result)
        return result;

    dcmi_device *device = dcmi_os_reserve(sizeof *device);
    if (!device) {
        result = dcmi_fail(DCMEM_E_NO_HOST_MEMORY, "no address space for a device");
        goto undo_guard;
    }
    result = open_device(device, &options);
    if (result)
        goto undo_device;

    dcmi_pool_settings settings = settings_from(&options);
    if (guard) {
        settings.out_of_memory = dcmi_guard_out_of_memory;
        settings.out_of_memory_user = guard;
    }
    dcmem_manager *manager;
    result = dcmi_pool_create(&manager, device, &settings);
    if (result)
        goto undo_open;

    dcmi_pool_set_guard(dcmi_pool_resolve(manager), guard);
    result = dcmi_faults_guard(manager);
    if (result)
        goto undo_pool; /* COVER: the kit must fail to stand before a manager that was just made */

    *out = manager;
    return DCMEM_OK;

    /* COVER begin: as above */
undo_pool:;
    dcmem_detail cause = dcmi_detail_save();
    (void)dcmem_manager_destroy(manager);
    dcmi_detail_restore(&cause);
    return result;
    /* COVER end */
undo_open:
    dcmi_device_close(device);
undo_device:
    dcmi_os_unreserve(device, sizeof *device);
undo_guard:
    dcmi_guard_destroy(guard);
    return result;
}

dcmem_result
dcmem_manager_destroy(dcmem_manager *manager)
{
    if (!manager)
        return DCMEM_OK;
    dcmi_pool *root = dcmi_pool_resolve(manager);
    if (!root)
        return dcmem_last_detail()->result;

    dcmi_device *device = root->device;
    dcmi_guard *guard = dcmi_pool_guard(root);
    uint64_t bytes, blocks;
    dcmem_result ended = dcmi_manager_end_queues(root);
    dcmem_detail of_queues = dcmi_detail_save();
    dcmi_uses_forget(root);
    dcmem_result harm = dcmi_guard_end(guard, true);
    dcmem_detail told = dcmi_detail_save();
    dcmem_result result = dcmi_pool_destroy(&bytes, &blocks, root);
    dcmi_guard_destroy(guard);
    dcmi_os_unreserve(device, sizeof *device);
    if (!result && ended) {
        dcmi_detail_restore(&of_queues);
        result = ended;
    }
    if (!result && harm) {
        dcmi_detail_restore(&told);
        result = harm;
    }
    if (result || blocks == 0)
        return result;

    dcmi_log(DCMEM_LOG_WARNING, "manager", "ended with %llu blocks of %llu bytes in use", (unsigned long long)blocks,
             (unsigned long long)bytes);
    return dcmi_fail(DCMEM_E_LEAKED, "%llu blocks of %llu bytes were still in use; the manager is gone all the same",
                     (unsigned long long)blocks, (unsigned long long)bytes);
}

/* ---- Questions ---- */

dcmem_result
dcmem_manager_device_info(dcmem_device_info *out, dcmem_manager *manager)
{
    DCMI_REQUIRE(out && out->size >= sizeof *out);
    dcmi_pool *root = dcmi_pool_resolve(manager);
    return root ? dcmi_device_info(out, root->device) : dcmem_last_detail()->result;
}

dcmem_result
dcmem_manager_limits(dcmem_limits *out, dcmem_manager *manager)
{
    DCMI_REQUIRE(out && out->size >= sizeof *out);
    dcmi_pool *root = dcmi_pool_resolve(manager);
    if (!root)
        return dcmem_last_detail()->result;
    dcmem_device_info info = {.size = sizeof info};
    dcmem_result result = dcmi_device_info(&info, root->device);
    if (result)
        return result;

    uint64_t reserved = atomic_load(&root->budget->reserved);
    uint64_t used = dcmi_min(dcmi_pool_used(root), reserved);
    uint64_t limit = atomic_load(&root->budget->limit);
    uint64_t available = info.free_bytes + (reserved - used);
    if (limit)
        available = dcmi_min(available, dcmi_less(limit, used));
    *out = (dcmem_limits){
        .size = out->size,
        .limit_bytes = limit,
        .idle_limit_bytes = root->idle_limit_bytes == UINT64_MAX ? 0 : root->idle_limit_bytes,
        .largest_allocation_bytes = root->largest_allocation_bytes,
        .total_bytes = info.total_bytes,
        .available_bytes = available,
        .used_bytes = used,
        .reserved_bytes = reserved,
    };
    return DCMEM_OK;
}

dcmem_result
dcmem_manager_set_limit(dcmem_manager *manager, uint64_t limit_bytes)
{
    dcmi_pool *root = dcmi_pool_resolve(manager);
    if (!root)
        return dcmem_last_detail()->result;
    atomic_store(&root->budget->limit, limit_bytes);
    return DCMEM_OK;
}

dcmem_result
dcmem_manager_set_policy(dcmem_manager *manager, dcmem_policy policy)
{
    dcmi_pool *root = dcmi_pool_resolve(manager);
    if (!root)
        return dcmem_last_detail()->result;
    DCMI_REQUIRE((unsigned)policy <= DCMEM_POLICY_TIGHT);
    atomic_store(&root->policy, policy);
    return DCMEM_OK;
}

/* ---- Upkeep ---- */

dcmem_result
dcmem_manager_trim(uint64_t *out_bytes, dcmem_manager *manager, uint64_t keep_bytes)
{
    dcmi_pool *root = dcmi_pool_resolve(manager);
    if (!root)
        return dcmem_last_detail()->result;
    dcmem_result failed = DCMEM_OK;
    dcmi_guard_flush(dcmi_pool_guard(root));
    uint64_t bytes = dcmi_pool_trim(root, keep_bytes, &failed);
    if (out_bytes)
        *out_bytes = bytes;
    return failed;
}

dcmem_result
dcmem_manager_optimize(dcmem_optimize_report *out, dcmem_manager *manager, uint64_t budget_bytes, uint64_t budget_ns)
{
    DCMI_REQUIRE(!out || out->size >= sizeof *out);
    dcmi_pool *root = dcmi_pool_resolve(manager);
    if (!root)
        return dcmem_last_detail()->result;

    uint64_t begin = dcmi_os_now_ns();
    dcmi_guard_flush(dcmi_pool_guard(root));
    uint64_t used = dcmi_min(dcmi_pool_used(root), atomic_load(&root->budget->reserved));
    uint64_t predicted = dcmi_less(atomic_load(&root->budget->reserved), used);
    uint64_t returned = 0;
    dcmem_result failed = DCMEM_OK;
    bool is_complete = false;

    /* In steps, so that the budgets are kept to within one: 16 MiB of release take about a millisecond. */
    while (!is_complete) {
        uint64_t left = budget_bytes ? dcmi_less(budget_bytes, returned) : UINT64_MAX;
        if (left == 0 || (budget_ns && dcmi_os_now_ns() - begin >= budget_ns))
            break;
        uint64_t gone = dcmi_pool_trim_step(root, dcmi_min(left, 16u << 20), &failed);
        is_complete = gone == 0;
        returned += gone;
    }
    if (out)
        *out = (dcmem_optimize_report){
            .size = out->size,
            .predicted_bytes = predicted,
            .returned_bytes = returned,
            .duration_ns = dcmi_os_now_ns() - begin,
            .is_complete = is_complete,
        };
    return failed;
}

dcmem_result
dcmem_manager_clear(dcmem_manager *manager)
{
    dcmi_pool *root = dcmi_pool_resolve(manager);
    if (!root)
        return dcmem_last_detail()->result;
    (void)dcmi_manager_drain_queues(root); /* whoever waits for a queue is told of its failure */
    dcmi_guard *guard = dcmi_pool_guard(root);
    dcmem_result harm = dcmi_guard_end(guard, false);
    dcmem_detail told = dcmi_detail_save();
    dcmem_result result = dcmi_pool_reset(root);
    if (result != DCMEM_E_BUSY)
        dcmi_uses_forget(root);
    dcmi_guard_begin(guard, result != DCMEM_E_BUSY);
    if (harm && result)
        dcmi_guard_tell_later(root);
    if (!harm || result)
        return result;
    dcmi_detail_restore(&told);
    return harm;
}

dcmem_result
dcmem_manager_maintain(dcmem_manager *manager)
{
    dcmi_pool *root = dcmi_pool_resolve(manager);
    return root ? dcmi_pool_maintain(root) : dcmem_last_detail()->result;
}

dcmem_result
dcmem_manager_check(dcmem_manager *manager)
{
    dcmi_pool *root = dcmi_pool_resolve(manager);
    if (!root)
        return dcmem_last_detail()->result;
    dcmem_result result = dcmi_pool_check(root);
    return result ? result : dcmi_guard_check_books(dcmi_pool_guard(root));
}

/* ---- Statistics ---- */

dcmem_result
dcmem_stats_snapshot(dcmem_stats *out, dcmem_manager *manager)
{
    DCMI_REQUIRE(out && out->size >= sizeof *out);
    dcmi_pool *root = dcmi_pool_resolve(manager);
    if (!root)
        return dcmem_last_detail()->result;
    dcmi_pool_snapshot(out, root);
    return DCMEM_OK;
}

dcmem_result
dcmem_stats_reset_peaks(dcmem_manager *manager)
{
    dcmi_pool *root = dcmi_pool_resolve(manager);
    if (!root)
        return dcmem_last_detail()->result;
    dcmi_pool_reset_peaks(root);
    return DCMEM_OK;
}

/* ---- Gates ---- */

dcmem_result
dcmem_manager_set_gate(dcmem_manager *manager, dcmem_gate gate, void *user)
{
    dcmi_pool *root = dcmi_pool_resolve(manager);
    if (!root)
        return dcmem_last_detail()->result;
    dcmi_gate_set(root, gate, user);
    return DCMEM_OK;
}

dcmem_result
dcmem_manager_gate(dcmem_gate *out, void **out_user, dcmem_manager *manager)
{
    DCMI_REQUIRE(out && out_user);
    dcmi_pool *root = dcmi_pool_resolve(manager);
    if (!root)
        return dcmem_last_detail()->result;
    *out = dcmi_gate_get(out_user, root);
    return DCMEM_OK;
}
