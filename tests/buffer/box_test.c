/* box_test.c: random boxes between all kinds of devices against a model that knows contents and state of each byte. */
#include "buffer/access.h"
#include "devices.h"

#include <dcmem/guard.h>
#include <dcmem/transfer.h>
#include <pthread.h>

#define H DCMEM_SIDE_HOST
#define D DCMEM_SIDE_DEVICE

#define MOST_BYTES 700u

static uint32_t
random_below(uint32_t *seed, uint32_t limit)
{
    *seed = *seed * 1664525u + 1013904223u;
    return (uint32_t)(((uint64_t)*seed * limit) >> 32);
}

/* ---- The model ---- */

/* What each byte is, and whether it was ever written; the first two are buffers, the third is host memory. */
enum { A, B, HOST, PLACES };

typedef struct model {
    dcmem_buffer *buffers[2];
    uint8_t host[MOST_BYTES];
    uint8_t bytes[PLACES][MOST_BYTES];
    uint8_t is_written[PLACES][MOST_BYTES];
} model;

/* A box, and how it lies on both ends: pitches are those that the calls take, 0 for none. */
typedef struct job {
    int to, from;
    dcmem_box box;
    dcmem_layout layouts[2]; /* of `to` and `from` */
    dcmem_view views[2];
} job;

static uint64_t
at(const job *it, int end, uint64_t slice, uint64_t row)
{
    dcmem_layout layout = it->layouts[end];
    uint64_t row_pitch = layout.row_pitch ? layout.row_pitch : it->box.row_bytes;
    uint64_t slice_pitch = layout.slice_pitch ? layout.slice_pitch : row_pitch * (it->box.rows ? it->box.rows : 1);
    return it->views[end].offset + layout.offset + slice * slice_pitch + row * row_pitch;
}

static uint64_t
slices_of(const job *it)
{
    return it->box.slices ? it->box.slices : 1;
}

static uint64_t
rows_of(const job *it)
{
    return it->box.rows ? it->box.rows : 1;
}

static uint64_t
end_of(const job *it, int end)
{
    return at(it, end, slices_of(it) - 1, rows_of(it) - 1) + it->box.row_bytes;
}

/* A layout of some box, now with gaps and now without; false: it does not fit. */
static bool
random_layout(job *it, int end, uint32_t *seed)
{
    dcmem_layout *layout = &it->layouts[end];
    *layout = (dcmem_layout){.offset = random_below(seed, 60)};
    if (random_below(seed, 2))
        layout->row_pitch = it->box.row_bytes + random_below(seed, 4) * 5;
    if (random_below(seed, 2))
        layout->slice_pitch =
            at(it, end, 0, rows_of(it) - 1) - at(it, end, 0, 0) + it->box.row_bytes + random_below(seed, 3) * 7;
    uint64_t begin = random_below(seed, 40);
    it->views[end] = (dcmem_view){.offset = begin, .bytes = MOST_BYTES - begin, .element_bytes = 1};
    if (end_of(it, end) > MOST_BYTES)
        return false;
    /* Now and then a view that is just large enough. */
    if (random_below(seed, 2))
        it->views[end].bytes = end_of(it, end) - begin;
    return true;
}

static bool
random_job(job *out, const model *of, uint32_t *seed)
{
    out->to = (int)random_below(seed, PLACES);
    do
        out->from = (int)random_below(seed, PLACES);
    while (out->to == HOST && out->from == HOST);
    out->box = (dcmem_box){1 + random_below(seed, 24), random_below(seed, 7), random_below(seed, 4)};
    if (!random_layout(out, 0, seed) || !random_layout(out, 1, seed))
        return false;
    out->views[0].buffer = out->to == HOST ? NULL : of->buffers[out->to];
    out->views[1].buffer = out->from == HOST ? NULL : of->buffers[out->from];
    return true;
}

/* The marks of the box's bytes on one end. */
static void
mark(uint8_t *out, const job *it, int end)
{
    memset(out, 0, MOST_BYTES);
    for (uint64_t slice = 0; slice < slices_of(it); slice++)
        for (uint64_t row = 0; row < rows_of(it); row++)
            memset(out + at(it, end, slice, row), 1, it->box.row_bytes);
}

/* What the call should say. */
static dcmem_result
foretell(const model *of, const job *it)
{
    uint8_t to[MOST_BYTES], from[MOST_BYTES];
    mark(to, it, 0);
    mark(from, it, 1);
    for (unsigned i = 0; i < MOST_BYTES; i++)
        if (it->to == it->from && to[i] && from[i])
            return DCMEM_E_INVALID_ARGUMENT;
    for (unsigned i = 0; i < MOST_BYTES; i++)
        if (from[i] && !of->is_written[it->from][i])
            return DCMEM_E_UNWRITTEN;
    return DCMEM_OK;
}

static void
do_in_model(model *of, const job *it)
{
    for (uint64_t slice = 0; slice < slices_of(it); slice++)
        for (uint64_t row = 0; row < rows_of(it); row++) {
            uint64_t to = at(it, 0, slice, row), from = at(it, 1, slice, row);
            memmove(&of->bytes[it->to][to], &of->bytes[it->from][from], it->box.row_bytes);
            memset(&of->is_written[it->to][to], 1, it->box.row_bytes);
        }
}

static dcmem_result
do_it(model *of, const job *it)
{
    if (it->from == HOST)
        return dcmem_transfer_box_in(it->views[0], it->layouts[0], of->host + it->views[1].offset, it->layouts[1],
                                     it->box, NULL);
    if (it->to == HOST)
        return dcmem_transfer_box_out(of->host + it->views[0].offset, it->layouts[0], it->views[1], it->layouts[1],
                                      it->box, NULL);
    return dcmem_transfer_box_copy(it->views[0], it->layouts[0], it->views[1], it->layouts[1], it->box, NULL);
}

/* Every byte is what the model says, unwritten ones included; every one that was to be written is current on one side
 * where the device has a memory of its own, and no other has changed its state. */
static void
expect_same(const model *of)
{
    uint8_t got[MOST_BYTES];
    EXPECT(memcmp(of->host, of->bytes[HOST], MOST_BYTES) == 0);
    for (int place = A; place <= B; place++) {
        dcmem_buffer *buffer = of->buffers[place];
        for (unsigned begin = 0, end; begin < MOST_BYTES; begin = end) {
            bool is_written = of->is_written[place][begin];
            for (end = begin + 1; end < MOST_BYTES && of->is_written[place][end] == is_written; end++)
                ;
            if (!is_written) {
                EXPECT_RESULT(dcmem_buffer_copy_out(got, view_of(buffer, begin, 1), 0), DCMEM_E_UNWRITTEN);
                EXPECT_EQ(state_at(buffer, end - 1), DCMI_STATE_UNWRITTEN);
                continue;
            }
            EXPECT_OK(dcmem_buffer_copy_out(got, view_of(buffer, begin, end - begin), 0));
            EXPECT(memcmp(got, &of->bytes[place][begin], end - begin) == 0);
        }
    }
}

typedef struct states {
    dcmi_state of[2][MOST_BYTES];
} states;

static void
read_states(states *out, const model *of)
{
    for (int place = A; place <= B; place++)
        for (unsigned i = 0; i < MOST_BYTES; i++)
            out->of[place][i] = state_at(of->buffers[place], i);
}

static void
expect_states(const states *before, const model *of, const job *it)
{
    uint8_t to[MOST_BYTES];
    states now;
    read_states(&now, of);
    mark(to, it, 0);
    bool is_split = !info_of(of->buffers[it->to % 2]).is_unified;
    for (int place = A; place <= B; place++)
        for (unsigned i = 0; i < MOST_BYTES; i++) {
            if (place != it->to || !to[i])
                EXPECT_EQ(now.of[place][i], before->of[place][i]);
            else if (is_split)
                EXPECT(now.of[place][i] == DCMI_STATE_HOST || now.of[place][i] == DCMI_STATE_DEVICE);
            else
                EXPECT_EQ(now.of[place][i], DCMI_STATE_BOTH);
        }
}

/* Other calls in between, so that bytes are current here, there and on both sides. */
static void
shuffle(model *of, uint32_t *seed)
{
    unsigned place = random_below(seed, 2);
    uint64_t begin = random_below(seed, MOST_BYTES - 1), bytes = 1 + random_below(seed, (uint32_t)(MOST_BYTES - begin));
    dcmem_view view = view_of(of->buffers[place], begin, bytes);
    uint8_t value = (uint8_t)random_below(seed, 256);
    switch (random_below(seed, 5)) {
    case 0:
        EXPECT_OK(dcmem_buffer_fill(view, &value, 1));
        memset(&of->bytes[place][begin], value, bytes);
        memset(&of->is_written[place][begin], 1, bytes);
        break;
    case 1:
        (void)dcmem_buffer_prefetch(view, H);
        break;
    case 2:
        (void)dcmem_buffer_prefetch(view, D);
        break;
    case 3:
        EXPECT_OK(dcmem_buffer_invalidate(view, random_below(seed, 2) ? H : D));
        break;
    default:
        break;
    }
}

static void
expect_boxes(dcmem_manager *a, dcmem_manager *b, const dcmem_buffer_options *options, uint32_t seed, int jobs)
{
    model of = {{0}, {0}, {{0}}, {{0}}};
    states before;
    int done[3] = {0};
    EXPECT_OK(dcmem_buffer_create(&of.buffers[A], a, MOST_BYTES, options));
    EXPECT_OK(dcmem_buffer_create(&of.buffers[B], b, MOST_BYTES, NULL));
    for (unsigned i = 0; i < MOST_BYTES; i++)
        of.host[i] = of.bytes[HOST][i] = (uint8_t)(i * 37 + seed);
    memset(of.is_written[HOST], 1, MOST_BYTES);
    while (done[0] + done[1] + done[2] < jobs) {
        job it;
        if (random_below(&seed, 3) == 0)
            shuffle(&of, &seed);
        if (!random_job(&it, &of, &seed))
            continue;
        dcmem_result wanted = foretell(&of, &it);
        read_states(&before, &of);
        EXPECT_RESULT(do_it(&of, &it), wanted);
        done[wanted == DCMEM_OK ? 0 : wanted == DCMEM_E_UNWRITTEN ? 1 : 2]++;
        if (wanted == DCMEM_OK)
            do_in_model(&of, &it);
        if (it.to != HOST && wanted == DCMEM_OK)
            expect_states(&before, &of, &it);
        if (done[0] % 4 == 0)
            expect_same(&of);
    }
    expect_same(&of);
    EXPECT_GE(done[0], jobs / 3);
    EXPECT_GE(done[1], 1);
    EXPECT_GE(done[2], 1);
    EXPECT_OK(dcmem_buffer_destroy(of.buffers[A]));
    EXPECT_OK(dcmem_buffer_destroy(of.buffers[B]));
}

static void
expect_boxes_everywhere(int jobs)
{
    dcmem_buffer_options visible = {.size = sizeof visible, .kind = DCMEM_KIND_HOST_VISIBLE};
    device split = device_open(&split_profile), other = device_open(&split_profile);
    device unified = device_open(&unified_profile), mapped = device_open(&visible_profile);
    dcmem_manager *cpu = cpu_open();
    expect_boxes(split.manager, split.manager, NULL, 1, jobs);
    expect_boxes(split.manager, other.manager, NULL, 2, jobs);
    expect_boxes(unified.manager, split.manager, NULL, 3, jobs);
    expect_boxes(mapped.manager, other.manager, &visible, 4, jobs);
    expect_boxes(cpu, cpu, NULL, 5, jobs);
    expect_boxes(cpu, mapped.manager, NULL, 6, jobs);
    dcmem_manager *guarded;
    dcmem_manager_options guards = {.size = sizeof guards,
                                    .driver = split.simulated,
                                    .maintenance_interval_ns = DCMEM_MAINTENANCE_OFF,
                                    .guards = DCMEM_GUARD_ALL};
    EXPECT_OK(dcmem_manager_create(&guarded, &guards));
    expect_boxes(guarded, guarded, NULL, 7, jobs);
    EXPECT_OK(dcmem_guard_check(guarded));
    cpu_close(guarded);
    cpu_close(cpu);
    device_close(&split);
    device_close(&other);
    device_close(&unified);
    device_close(&mapped);
}

TEST(box__moves_the_bytes_of_its_rows_and_touches_no_other_s_contents_or_state)
{
    expect_boxes_everywhere(100);
}

LONG_TEST(box__moves_thousands_of_random_boxes_as_a_naive_model_does)
{
    expect_boxes_everywhere((int)test_scaled(1500) + 200); /* Fewer need not show every outcome. */
}

/* ---- One access, few driver calls ---- */

static uint64_t
copies_of(device *on)
{
    return dcmem_fake_count_of(on->fake, DCMEM_FAKE_copy).did;
}

static dcmem_box
box_of(uint64_t row_bytes, uint64_t rows, uint64_t slices)
{
    return (dcmem_box){row_bytes, rows, slices};
}

TEST(box__whose_rows_adjoin_on_both_ends_is_one_copy)
{
    static char host[16 * 64 * 4];
    device on = device_open(&split_profile);
    dcmem_buffer *buffer = buffer_of(on.manager, sizeof host);
    dcmem_view whole = dcmem_view_whole(buffer);
    dcmem_layout tight = {0}, pitched = {.row_pitch = 17}, planes = {.slice_pitch = 64 * 17};
    EXPECT_OK(dcmem_transfer_box_in(whole, tight, host, tight, box_of(16, 64, 4), NULL));
    EXPECT_EQ(copies_of(&on), 1);
    EXPECT_OK(dcmem_transfer_box_out(host, tight, whole, planes, box_of(16, 64, 3), NULL));
    EXPECT_EQ(copies_of(&on), 1 + 3);
    EXPECT_OK(dcmem_transfer_box_out(host, tight, whole, pitched, box_of(16, 10, 1), NULL));
    EXPECT_EQ(copies_of(&on), 1 + 3 + 10);
    EXPECT_OK(dcmem_buffer_destroy(buffer));
    device_close(&on);
}

/* The states of 10,000 rows in one list, each cut out of what was unwritten. */
TEST(box__of_ten_thousand_rows_is_one_access_and_exact)
{
    enum { ROWS = 10000, ROW = 3, PITCH = 8 };
    device on = device_open(&split_profile);
    dcmem_buffer *buffer = buffer_of(on.manager, ROWS * PITCH);
    uint8_t *host = malloc(ROWS * PITCH), byte;
    for (unsigned i = 0; i < ROWS * PITCH; i++)
        host[i] = (uint8_t)(i / 7);
    dcmem_layout layout = {.row_pitch = PITCH};
    dcmem_view whole = dcmem_view_whole(buffer);
    EXPECT_OK(dcmem_transfer_box_in(whole, layout, host, layout, box_of(ROW, ROWS, 1), NULL));
    EXPECT_EQ(info_of(buffer).written_bytes, ROWS * ROW);
    EXPECT_RESULT(dcmem_buffer_copy_out(&byte, view_of(buffer, 5000 * PITCH + ROW, 1), 0), DCMEM_E_UNWRITTEN);
    uint8_t *out = calloc(ROWS, ROW);
    EXPECT_OK(dcmem_transfer_box_out(out, (dcmem_layout){0}, whole, layout, box_of(ROW, ROWS, 1), NULL));
    for (unsigned row = 0; row < ROWS; row++)
        EXPECT(memcmp(out + (size_t)row * ROW, host + (size_t)row * PITCH, ROW) == 0);
    EXPECT_OK(dcmem_manager_check(on.manager));
    free(host);
    free(out);
    EXPECT_OK(dcmem_buffer_destroy(buffer));
    device_close(&on);
}

/* ---- Others ---- */

TEST(box__excludes_others_from_its_rows_and_not_from_what_lies_between)
{
    device on = device_open(&split_profile);
    dcmem_buffer *buffer = buffer_of(on.manager, 1000);
    dcmi_rows rows = {.begin = 100, .row_bytes = 10, .row_pitch = 50, .rows = 5, .slices = 1};
    dcmi_wish wish = {.view = view_of(buffer, 100, 210), .side = D, .operation = DCMI_WRITE, .rows = &rows};
    dcmi_grant box, left, right;
    EXPECT_OK(dcmem_buffer_fill(dcmem_view_whole(buffer), "x", 1));
    EXPECT_OK(dcmi_access_open(&box, &wish));
    EXPECT_OK(dcmem_manager_check(on.manager));
    EXPECT_EQ(info_of(buffer).open_writers, 1);
    /* Plain ranges. */
    char bytes[1000];
    EXPECT_OK(dcmem_buffer_copy_out(bytes, view_of(buffer, 110, 40), 0));
    EXPECT_OK(dcmem_buffer_fill(view_of(buffer, 310, 690), "y", 1));
    EXPECT_RESULT(dcmem_buffer_copy_out(bytes, view_of(buffer, 110, 41), 0), DCMEM_E_BUSY);
    EXPECT_RESULT(dcmem_buffer_copy_out(bytes, view_of(buffer, 309, 1), 0), DCMEM_E_BUSY);
    /* Other boxes. */
    dcmi_rows beside = rows;
    beside.begin = 110;
    dcmi_wish other = {.view = view_of(buffer, 110, 210), .side = D, .operation = DCMI_WRITE, .rows = &beside};
    EXPECT_OK(dcmi_access_open(&left, &other));
    EXPECT_RESULT(dcmi_access_open(&right, &other), DCMEM_E_BUSY);
    beside.begin = 119;
    other.view = view_of(buffer, 119, 210);
    EXPECT_RESULT(dcmi_access_open(&right, &other), DCMEM_E_BUSY);
    /* What is open counts where a box comes to it, too. */
    dcmem_access access;
    EXPECT_OK(dcmem_access_begin(&access, view_of(buffer, 125, 20), D, DCMEM_ACCESS_UPDATE, 0));
    beside.begin = 120;
    beside.row_bytes = 5;
    other.view = view_of(buffer, 120, 205);
    EXPECT_OK(dcmi_access_open(&right, &other));
    EXPECT_OK(dcmi_access_close(buffer, right.ticket, DCMI_CLOSE_UNUSED));
    beside.row_bytes = 6;
    other.view = view_of(buffer, 120, 206);
    EXPECT_RESULT(dcmi_access_open(&right, &other), DCMEM_E_BUSY);
    EXPECT_OK(dcmem_access_end(&access));
    EXPECT_OK(dcmi_access_close(buffer, left.ticket, DCMI_CLOSE_END));
    EXPECT_OK(dcmi_access_close(buffer, box.ticket, DCMI_CLOSE_ABORT));
    EXPECT_EQ(state_at(buffer, 100), DCMI_STATE_LOST);
    EXPECT_EQ(state_at(buffer, 310), DCMI_STATE_DEVICE);
    EXPECT_EQ(state_at(buffer, 110), DCMI_STATE_DEVICE);
    EXPECT_EQ(state_at(buffer, 309), DCMI_STATE_LOST);
    EXPECT_EQ(info_of(buffer).open_writers, 0);
    EXPECT_OK(dcmem_buffer_destroy(buffer));
    device_close(&on);
}

TEST(box__that_is_open_when_its_manager_ends_leaves_nothing_behind)
{
    device on = device_open(&split_profile);
    dcmem_buffer *buffer = buffer_of(on.manager, 1000);
    dcmi_rows rows = {.begin = 0, .row_bytes = 10, .row_pitch = 50, .rows = 20, .slices = 1};
    dcmi_wish wish = {.view = view_of(buffer, 0, 960), .side = D, .operation = DCMI_WRITE, .rows = &rows};
    dcmi_grant box;
    EXPECT_OK(dcmi_access_open(&box, &wish));
    EXPECT_OK(dcmem_manager_check(on.manager));
    EXPECT_RESULT(dcmem_rig_end(&on), DCMEM_E_LEAKED);
    EXPECT_RESULT(dcmi_access_close(buffer, box.ticket, DCMI_CLOSE_END), DCMEM_E_STALE_MANAGER);
}

/* Two threads, each with every other column of tiles. */
typedef struct painter {
    dcmem_buffer *buffer;
    unsigned first;
    dcmem_result result;
} painter;

static void *
paint(void *pointer)
{
    painter *it = pointer;
    uint8_t tile[16 * 16];
    memset(tile, 'a' + (int)it->first, sizeof tile);
    for (int round = 0; round < 50 && !it->result; round++)
        for (unsigned x = it->first; x < 8 && !it->result; x += 2) {
            dcmem_layout in_image = {.offset = (uint64_t)x * 16, .row_pitch = 128};
            it->result = dcmem_transfer_box_in(dcmem_view_whole(it->buffer), in_image, tile, (dcmem_layout){0},
                                               box_of(16, 16, 1), NULL);
        }
    return NULL;
}

TEST(box__beside_another_is_written_by_another_thread_at_the_same_time)
{
    device on = device_open(&split_profile);
    dcmem_buffer *buffer = buffer_of(on.manager, 128 * 16);
    painter painters[2] = {{buffer, 0, DCMEM_OK}, {buffer, 1, DCMEM_OK}};
    pthread_t threads[2];
    uint8_t row[128];
    for (int i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, paint, &painters[i]), 0);
    for (int i = 0; i < 2; i++) {
        pthread_join(threads[i], NULL);
        EXPECT_OK(painters[i].result);
    }
    EXPECT_OK(dcmem_buffer_copy_out(row, view_of(buffer, 128 * 15, 128), 0));
    for (int x = 0; x < 128; x++)
        EXPECT_EQ(row[x], x / 16 % 2 ? 'b' : 'a');
    EXPECT_OK(dcmem_buffer_destroy(buffer));
    device_close(&on);
}

/* ---- Failures ---- */

TEST(box__that_fails_half_way_spoils_its_rows_only)
{
    device on = device_open(&split_profile);
    dcmem_buffer *buffer = buffer_of(on.manager, 1000), *source = buffer_of(on.manager, 1000);
    char bytes[1000] = {0};
    dcmem_layout layout = {.offset = 20, .row_pitch = 100};
    EXPECT_OK(dcmem_buffer_fill(dcmem_view_whole(buffer), "t", 1));
    EXPECT_OK(dcmem_buffer_fill(dcmem_view_whole(source), "s", 1));
    EXPECT_OK(dcmem_fake_fail(on.fake, DCMEM_FAKE_copy, DCMEM_E_DRIVER, 3, 1));
    EXPECT_RESULT(dcmem_transfer_box_copy(dcmem_view_whole(buffer), layout, dcmem_view_whole(source), layout,
                                          box_of(30, 5, 1), NULL),
                  DCMEM_E_DRIVER);
    for (unsigned i = 0; i < 1000; i++)
        EXPECT_EQ(state_at(buffer, i), i < 500 && i % 100 >= 20 && i % 100 < 50 ? DCMI_STATE_LOST : DCMI_STATE_DEVICE);
    EXPECT_OK(dcmem_buffer_copy_out(bytes, dcmem_view_whole(source), 0));
    EXPECT(are_all(bytes, 's', 1000));
    EXPECT_OK(dcmem_buffer_destroy(buffer));
    EXPECT_OK(dcmem_buffer_destroy(source));
    device_close(&on);
}

static void *
no_memory(void *memory, size_t bytes)
{
    (void)memory;
    (void)bytes;
    return NULL;
}

TEST(box__without_host_memory_for_its_record_changes_nothing)
{
    device on = device_open(&split_profile);
    dcmem_buffer *buffer = buffer_of(on.manager, 1000);
    char bytes[1000] = {0};
    dcmem_layout layout = {.row_pitch = 100};
    dcmi_slot_realloc = no_memory;
    dcmem_result result = dcmem_transfer_box_in(dcmem_view_whole(buffer), layout, bytes, layout, box_of(9, 9, 1), NULL);
    dcmi_slot_realloc = realloc;
    EXPECT_RESULT(result, DCMEM_E_NO_HOST_MEMORY);
    EXPECT_DETAIL("box");
    EXPECT_EQ(info_of(buffer).written_bytes, 0);
    EXPECT_OK(dcmem_buffer_destroy(buffer));
    device_close(&on);
}

static void
expect_refused(dcmem_view view, dcmem_layout layout, dcmem_box box, dcmem_result wanted, const char *said)
{
    char bytes[100] = {0};
    EXPECT_RESULT(dcmem_transfer_box_in(view, layout, bytes, (dcmem_layout){0}, box, NULL), wanted);
    EXPECT_DETAIL(said);
    EXPECT_RESULT(dcmem_transfer_box_out(bytes, (dcmem_layout){0}, view, layout, box, NULL), wanted);
}

TEST(box__that_cannot_be_is_refused_by_what_is_wrong_with_it)
{
    dcmem_manager *manager = cpu_open();
    dcmem_buffer *buffer = buffer_of(manager, 1000);
    dcmem_view view = view_of(buffer, 100, 500);
    uint64_t huge = UINT64_MAX / 2;
    char bytes[100] = {0};
    EXPECT_OK(dcmem_buffer_fill(dcmem_view_whole(buffer), "x", 1));
    expect_refused(view, (dcmem_layout){0}, box_of(0, 2, 2), DCMEM_E_INVALID_ARGUMENT, "0 bytes");
    expect_refused(view, (dcmem_layout){.row_pitch = 9}, box_of(10, 2, 1), DCMEM_E_INVALID_ARGUMENT, "row pitch of 9");
    expect_refused(view, (dcmem_layout){.row_pitch = 20, .slice_pitch = 29}, box_of(10, 2, 2), DCMEM_E_INVALID_ARGUMENT,
                   "slice pitch of 29");
    expect_refused(view, (dcmem_layout){.offset = 491}, box_of(10, 1, 1), DCMEM_E_OUT_OF_RANGE, "501 of a view of 500");
    expect_refused(view, (dcmem_layout){.row_pitch = 100}, box_of(10, 6, 1), DCMEM_E_OUT_OF_RANGE, "510");
    expect_refused(view, (dcmem_layout){.slice_pitch = 250}, box_of(1, 1, 3), DCMEM_E_OUT_OF_RANGE, "501");
    expect_refused(view, (dcmem_layout){.row_pitch = huge}, box_of(10, 4, 1), DCMEM_E_OVERFLOW, "64 bits");
    expect_refused(view, (dcmem_layout){.row_pitch = huge}, box_of(1, 2, 2), DCMEM_E_OVERFLOW, "64 bits");
    expect_refused(view, (dcmem_layout){.row_pitch = huge}, box_of(1, 3, 1), DCMEM_E_OVERFLOW, "64 bits");
    expect_refused(view, (dcmem_layout){.slice_pitch = huge}, box_of(1, 1, 4), DCMEM_E_OVERFLOW, "64 bits");
    expect_refused(view, (dcmem_layout){.offset = UINT64_MAX}, box_of(1, 1, 1), DCMEM_E_OVERFLOW, "64 bits");
    expect_refused(view, (dcmem_layout){0}, box_of(1, huge, huge), DCMEM_E_OVERFLOW, "64 bits");
    expect_refused((dcmem_view){buffer, UINT64_MAX, 500, 1}, (dcmem_layout){0}, box_of(1, 1, 1), DCMEM_E_STALE_VIEW,
                   "begins at");
    expect_refused(view_of(buffer, 600, 500), (dcmem_layout){.offset = 499}, box_of(1, 1, 1), DCMEM_E_STALE_VIEW, "");
    expect_refused((dcmem_view){NULL, 0, 10, 1}, (dcmem_layout){0}, box_of(1, 1, 1), DCMEM_E_NOT_A_BUFFER, "");
    /* A pitch that is never stepped over means nothing. */
    EXPECT_OK(dcmem_transfer_box_in(view, (dcmem_layout){.row_pitch = 1, .slice_pitch = 1}, bytes, (dcmem_layout){0},
                                    box_of(10, 1, 1), NULL));
    /* The other end is named when it is that. */
    dcmem_layout too_tight = {.row_pitch = 5};
    EXPECT_RESULT(dcmem_transfer_box_in(view, (dcmem_layout){0}, bytes, too_tight, box_of(10, 2, 1), NULL),
                  DCMEM_E_INVALID_ARGUMENT);
    EXPECT_DETAIL("from: a row pitch");
    EXPECT_RESULT(dcmem_transfer_box_in(view, (dcmem_layout){0}, bytes, (dcmem_layout){.offset = UINT64_MAX - 20},
                                        box_of(10, 1, 1), NULL),
                  DCMEM_E_OVERFLOW);
    EXPECT_DETAIL("from:");
    EXPECT_RESULT(
        dcmem_transfer_box_copy(view, (dcmem_layout){0}, view, (dcmem_layout){.offset = 500}, box_of(1, 1, 1), NULL),
        DCMEM_E_OUT_OF_RANGE);
    EXPECT_DETAIL("from:");
    EXPECT_RESULT(dcmem_transfer_box_in(view, (dcmem_layout){0}, NULL, (dcmem_layout){0}, box_of(1, 1, 1), NULL),
                  DCMEM_E_INVALID_ARGUMENT);
    EXPECT_RESULT(dcmem_transfer_box_out(NULL, (dcmem_layout){0}, view, (dcmem_layout){0}, box_of(1, 1, 1), NULL),
                  DCMEM_E_INVALID_ARGUMENT);
    EXPECT_OK(dcmem_buffer_destroy(buffer));
    EXPECT_RESULT(dcmem_transfer_box_in(view, (dcmem_layout){0}, bytes, (dcmem_layout){0}, box_of(1, 1, 1), NULL),
                  DCMEM_E_STALE_BUFFER);
    cpu_close(manager);
}

TEST(box__of_more_rows_than_can_be_kept_apart_is_refused)
{
    device on = device_open(&split_profile);
    uint64_t rows = (1ull << 26) + 1;
    dcmem_buffer *buffer = buffer_of(on.manager, 3 * rows);
    char byte = 0;
    dcmem_layout apart = {.row_pitch = 2};
    EXPECT_RESULT(dcmem_transfer_box_in(dcmem_view_whole(buffer), apart, &byte, apart, box_of(1, rows, 1), NULL),
                  DCMEM_E_LIMIT);
    EXPECT_OK(dcmem_buffer_destroy(buffer));
    device_close(&on);
}
