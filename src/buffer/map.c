/* map.c: accesses as their users see them: begin and end, map and unmap. The work is done in access.c. */
#include "buffer/access.h"
#include "buffer/gate.h"
#include "pool/hot.h"

static dcmem_result
begin(dcmem_access *out, dcmem_view view, dcmem_side side, dcmi_operation operation, dcmem_access_mode mode,
      uint64_t queue, uint64_t timeout_ns)
{
    dcmi_grant grant;
    dcmi_wish wish = {.view = view, .side = side, .operation = operation, .timeout_ns = timeout_ns, .queue = queue};
    dcmem_result result = dcmi_access_open(&grant, &wish);
    if (result)
        return result;
    DCMI_POOL_COUNT(grant.pool, accesses, 1);
    *out = (dcmem_access){
        .host = grant.host,
        .native = dcmi_place_native(dcmi_pool_device(grant.site.pool), &grant.site.place, grant.bytes),
        .view = view,
        .side = side,
        .mode = mode,
        .ticket = grant.ticket,
    };
    return DCMEM_OK;
}

dcmem_result
dcmi_access_begin(dcmem_access *out, dcmem_view view, dcmem_side side, dcmem_access_mode mode, uint64_t queue,
                  uint64_t timeout_ns)
{
    static const dcmi_operation operations[] = {
        [DCMEM_ACCESS_READ] = DCMI_READ,
        [DCMEM_ACCESS_WRITE] = DCMI_WRITE,
        [DCMEM_ACCESS_UPDATE] = DCMI_UPDATE,
        [DCMEM_ACCESS_WRITE_NO_OVERWRITE] = DCMI_WRITE_SHARED,
    };
    return begin(out, view, side, operations[mode], mode, queue, timeout_ns);
}

dcmem_result
dcmem_access_begin(dcmem_access *out, dcmem_view view, dcmem_side side, dcmem_access_mode mode, uint64_t timeout_ns)
{
    DCMI_REQUIRE(out);
    DCMI_REQUIRE((unsigned)side <= DCMEM_SIDE_DEVICE && (unsigned)mode <= DCMEM_ACCESS_WRITE_NO_OVERWRITE);
    dcmem_result result =
        dcmi_gate_ask_mode(side == DCMEM_SIDE_HOST ? DCMEM_GATE_access_host : DCMEM_GATE_access_device, view, mode);
    return result ? result : dcmi_access_begin(out, view, side, mode, 0, timeout_ns);
}

dcmem_result
dcmem_access_end(dcmem_access *access)
{
    DCMI_REQUIRE(access);
    dcmem_result result = dcmi_gate_ask_mode(DCMEM_GATE_access_end, access->view, access->mode);
    return result ? result : dcmi_access_close(access->view.buffer, access->ticket, DCMI_CLOSE_END);
}

dcmem_result
dcmem_access_abort(dcmem_access *access)
{
    DCMI_REQUIRE(access);
    return dcmi_access_close(access->view.buffer, access->ticket, DCMI_CLOSE_ABORT);
}

dcmem_result
dcmem_buffer_map(dcmem_map *out, dcmem_view view, dcmem_map_mode mode)
{
    static const struct {
        dcmi_operation operation;
        dcmem_access_mode mode;
    } modes[] = {
        [DCMEM_MAP_READ] = {DCMI_READ, DCMEM_ACCESS_READ},
        [DCMEM_MAP_WRITE] = {DCMI_WRITE_PART, DCMEM_ACCESS_WRITE},
        [DCMEM_MAP_READ_WRITE] = {DCMI_UPDATE, DCMEM_ACCESS_UPDATE},
        [DCMEM_MAP_WRITE_DISCARD] = {DCMI_WRITE, DCMEM_ACCESS_WRITE},
        [DCMEM_MAP_WRITE_NO_OVERWRITE] = {DCMI_WRITE_SHARED, DCMEM_ACCESS_WRITE_NO_OVERWRITE},
    };
    dcmem_access access;
    DCMI_REQUIRE(out && (unsigned)mode <= DCMEM_MAP_WRITE_NO_OVERWRITE);
    dcmem_result result = dcmi_gate_ask_mode(DCMEM_GATE_map, view, mode);
    if (!result)
        result = begin(&access, view, DCMEM_SIDE_HOST, modes[mode].operation, modes[mode].mode, 0, 0);
    if (result)
        return result;
    *out = (dcmem_map){.host = access.host, .bytes = view.bytes, .access = access};
    return DCMEM_OK;
}

dcmem_result
dcmem_buffer_unmap(dcmem_map *map)
{
    DCMI_REQUIRE(map);
    return dcmem_access_end(&map->access);
}
