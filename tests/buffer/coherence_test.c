/* coherence_test.c: the pure table against its own words, and whole buffers against a model of every byte: three
 * ranges in every state, both sides, each operation, each way to fail. */
#include "buffer/coherence.h"

#include "devices.h"

#define H DCMEM_SIDE_HOST
#define D DCMEM_SIDE_DEVICE

/* ---- The table ---- */

static const struct expected {
    dcmi_operation operation;
    dcmem_result empty, lost; /* result where no side is current */
    bool copies;              /* brings its side where only the other is current */
    bool zeroes;              /* fills what was never written */
    bool writes;              /* ends with its side alone */
} table[] = {
    {DCMI_READ, DCMEM_E_UNWRITTEN, DCMEM_E_LOST, true, false, false},
    {DCMI_UPDATE, DCMEM_E_UNWRITTEN, DCMEM_E_LOST, true, false, true},
    {DCMI_WRITE, DCMEM_OK, DCMEM_OK, false, false, true},
    {DCMI_WRITE_PART, DCMEM_OK, DCMEM_OK, true, true, true},
    {DCMI_WRITE_SHARED, DCMEM_OK, DCMEM_OK, true, false, true},
    {DCMI_LOOK, DCMEM_E_UNWRITTEN, DCMEM_E_LOST, false, false, false},
};

static void
expect_row(const struct expected *row, unsigned own, dcmi_state state)
{
    dcmi_step step = dcmi_coherence_begin(row->operation, own, state);
    bool is_current = state != DCMI_STATE_UNWRITTEN && state != DCMI_STATE_LOST;
    dcmem_result wanted = is_current ? DCMEM_OK : state == DCMI_STATE_LOST ? row->lost : row->empty;
    bool must_copy = row->copies && is_current && !((unsigned)state & own);
    bool must_zero = row->zeroes && !is_current;
    EXPECT_EQ(step.result, wanted);
    EXPECT_EQ(step.work, must_copy ? DCMI_WORK_COPY : must_zero ? DCMI_WORK_ZERO : DCMI_WORK_NONE);
    EXPECT_EQ(step.during, must_copy ? (unsigned)state | own : (unsigned)state);

    unsigned left = (unsigned)state & ~own;
    unsigned aborted = !is_current ? (unsigned)state : left ? left : DCMI_STATE_LOST;
    EXPECT_EQ(dcmi_coherence_end(row->operation, own, state, false), row->writes ? own : (unsigned)state);
    EXPECT_EQ(dcmi_coherence_end(row->operation, own, state, true), row->writes ? aborted : (unsigned)state);
}

TEST(coherence__table_is_what_it_says)
{
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++)
        for (unsigned own = 1; own <= 3; own++)
            for (int from = 0; from < DCMI_STATE_COUNT; from++)
                expect_row(&table[i], own, (dcmi_state)from);
}

TEST(coherence__keeping_one_side_forgets_the_other_and_loses_nothing)
{
    static const dcmi_state host_kept[] = {DCMI_STATE_UNWRITTEN, DCMI_STATE_HOST, DCMI_STATE_HOST, DCMI_STATE_HOST,
                                           DCMI_STATE_LOST};
    for (int from = 0; from < DCMI_STATE_COUNT; from++) {
        dcmi_step step = dcmi_coherence_begin(DCMI_KEEP, DCMEM_SIDE_BIT(H), (dcmi_state)from);
        EXPECT_EQ(step.result, DCMEM_OK);
        EXPECT_EQ(step.work, from == DCMI_STATE_DEVICE ? DCMI_WORK_COPY : DCMI_WORK_NONE);
        EXPECT_EQ(dcmi_coherence_end(DCMI_KEEP, DCMEM_SIDE_BIT(H), step.during, false), host_kept[from]);
    }
    /* A no-overwrite writer may have come in between: its bytes stay. */
    EXPECT_EQ(dcmi_coherence_end(DCMI_KEEP, DCMEM_SIDE_BIT(H), DCMI_STATE_DEVICE, false), DCMI_STATE_DEVICE);
}

TEST(coherence__one_of_two_must_write_for_a_conflict_and_no_overwrite_never_conflicts)
{
    for (int a = 0; a < DCMI_OPERATION_COUNT; a++)
        for (int b = 0; b < DCMI_OPERATION_COUNT; b++) {
            bool reads_both = (a == DCMI_READ || a == DCMI_LOOK) && (b == DCMI_READ || b == DCMI_LOOK);
            bool is_shared = a == DCMI_WRITE_SHARED || b == DCMI_WRITE_SHARED;
            EXPECT_EQ(dcmi_operation_conflicts((dcmi_operation)a, (dcmi_operation)b), !reads_both && !is_shared);
        }
}

/* ---- The model: three ranges, each with a state and a value ---- */

#define RANGES 3
#define RANGE  64u
#define BYTES  (RANGES * RANGE)

typedef struct model {
    dcmi_state states[RANGES];
    uint8_t values[RANGES];
    bool has_host;
} model;

typedef enum act {
    ACT_READ,
    ACT_WRITE,
    ACT_UPDATE,
    ACT_NO_OVERWRITE,
    ACT_MAP_WRITE, /* host only */
    ACT_PREFETCH,
    ACT_SYNCHRONIZE,
    ACT_INVALIDATE,
    ACT_MARK_DIRTY,
    ACT_COPY_IN,
    ACT_COPY_OUT,
    ACT_FILL,
    ACT_COUNT
} act;

/* One case: an act on ranges [first, last) of a side; `failing` is which driver copy or fill fails, 0: none. */
typedef struct trial {
    act act;
    dcmem_side side;
    int first, last;
    bool is_aborted;
    unsigned failing;
} trial;

static bool
is_written(dcmi_state state)
{
    return state != DCMI_STATE_UNWRITTEN && state != DCMI_STATE_LOST;
}

static dcmem_result
model_readable(const model *of, const trial *t)
{
    for (int i = t->first; i < t->last; i++)
        if (!is_written(of->states[i]))
            return of->states[i] == DCMI_STATE_LOST ? DCMEM_E_LOST : DCMEM_E_UNWRITTEN;
    return DCMEM_OK;
}

/* How many runs of equal state, of those that `pick` names, are in the trial's ranges: one driver call each. */
static unsigned
model_runs(const model *of, const trial *t, unsigned pick)
{
    unsigned runs = 0;
    for (int i = t->first; i < t->last; i++)
        if ((pick >> of->states[i] & 1) && (i == t->first || of->states[i] != of->states[i - 1]))
            runs++;
    return runs;
}

#define PICK(state) (1u << (state))

static void
model_bring(model *of, const trial *t, dcmem_side side)
{
    for (int i = t->first; i < t->last; i++)
        if (is_written(of->states[i]))
            of->states[i] = (dcmi_state)((unsigned)of->states[i] | DCMEM_SIDE_BIT(side));
    of->has_host |= side == H;
}

static void
model_write(model *of, const trial *t, dcmem_side side, uint8_t value)
{
    for (int i = t->first; i < t->last; i++) {
        of->states[i] = (dcmi_state)DCMEM_SIDE_BIT(side);
        of->values[i] = value;
    }
}

static void
model_abort(model *of, const trial *t, dcmem_side side)
{
    for (int i = t->first; i < t->last; i++) {
        unsigned left = (unsigned)of->states[i] & ~DCMEM_SIDE_BIT(side);
        if (is_written(of->states[i]))
            of->states[i] = left ? (dcmi_state)left : DCMI_STATE_LOST;
    }
}

/* What must come out, and what must be afterwards. `value` is what writers write. */
static dcmem_result
model_access(model *of, const trial *t, uint8_t value)
{
    bool reads = t->act == ACT_READ || t->act == ACT_UPDATE;
    dcmem_result result = reads ? model_readable(of, t) : DCMEM_OK;
    unsigned other = t->side == H ? PICK(DCMI_STATE_DEVICE) : PICK(DCMI_STATE_HOST);
    unsigned copies = t->act == ACT_WRITE ? 0 : model_runs(of, t, other);
    if (result)
        return result;
    of->has_host |= t->side == H; /* memory that a failure leaves is kept for the next try */
    if (t->failing && t->failing <= copies)
        return DCMEM_E_DRIVER;
    if (t->act != ACT_WRITE)
        model_bring(of, t, t->side);
    if (t->act == ACT_READ)
        return DCMEM_OK;
    if (t->is_aborted)
        model_abort(of, t, t->side);
    else
        model_write(of, t, t->side, value);
    return DCMEM_OK;
}

static dcmem_result
model_prefetch(model *of, const trial *t, dcmem_side side, unsigned *failing)
{
    dcmem_result result = model_readable(of, t);
    if (result)
        return result;
    unsigned copies = model_runs(of, t, side == H ? PICK(DCMI_STATE_DEVICE) : PICK(DCMI_STATE_HOST));
    of->has_host |= side == H && copies > 0;
    if (*failing && *failing <= copies)
        return DCMEM_E_DRIVER;
    *failing = *failing > copies ? *failing - copies : 0;
    model_bring(of, t, side);
    return DCMEM_OK;
}

static dcmem_result
model_invalidate(model *of, const trial *t)
{
    dcmem_side kept = t->side == H ? D : H;
    unsigned copies = model_runs(of, t, t->side == H ? PICK(DCMI_STATE_HOST) : PICK(DCMI_STATE_DEVICE));
    of->has_host |= kept == H && copies > 0;
    if (t->failing && t->failing <= copies)
        return DCMEM_E_DRIVER;
    bool has_lost = false;
    for (int i = t->first; i < t->last; i++) {
        has_lost |= of->states[i] == DCMI_STATE_LOST;
        if (is_written(of->states[i]))
            of->states[i] = (dcmi_state)DCMEM_SIDE_BIT(kept);
    }
    if (t->side == H && t->last - t->first == RANGES && !has_lost)
        of->has_host = false;
    return DCMEM_OK;
}

static dcmem_result
model_apply(model *of, const trial *t, uint8_t value)
{
    unsigned failing = t->failing;
    dcmem_side near = of->has_host ? H : D;
    dcmem_result result;
    switch (t->act) {
    case ACT_PREFETCH:
        return model_prefetch(of, t, t->side, &failing);
    case ACT_SYNCHRONIZE:
        result = model_prefetch(of, t, H, &failing);
        return result ? result : model_prefetch(of, t, D, &failing);
    case ACT_INVALIDATE:
        return model_invalidate(of, t);
    case ACT_MARK_DIRTY:
        if (t->side == H && !of->has_host)
            return DCMEM_E_WRONG_STATE;
        model_write(of, t, t->side, value);
        return DCMEM_OK;
    case ACT_COPY_IN:
        if (failing == 1) {
            model_abort(of, t, near);
            return DCMEM_E_DRIVER;
        }
        model_write(of, t, near, value);
        return DCMEM_OK;
    case ACT_COPY_OUT:
        result = model_readable(of, t);
        return result ? result : failing && failing <= model_runs(of, t, 0xf) ? DCMEM_E_DRIVER : DCMEM_OK;
    case ACT_FILL:
        model_write(of, t, D, value);
        return DCMEM_OK;
    default:
        return model_access(of, t, value);
    }
}

/* ---- The same with a buffer ---- */

static dcmem_view
range_view(dcmem_buffer *buffer, int first, int last)
{
    return view_of(buffer, (uint64_t)first * RANGE, (uint64_t)(last - first) * RANGE);
}

/* Writes through an open access, as a kernel or the host would. */
static void
write_through(const device *on, const dcmem_access *access, uint8_t value)
{
    uint8_t bytes[BYTES];
    memset(bytes, value, sizeof bytes);
    if (access->side == H)
        memcpy(access->host, bytes, access->view.bytes);
    else
        EXPECT_OK(dcmem_simulated_write(on->simulated, 0, &access->native, 0, bytes, access->view.bytes));
}

static dcmem_result
perform_access(const device *on, dcmem_buffer *buffer, const trial *t, uint8_t value)
{
    static const dcmem_access_mode modes[] = {DCMEM_ACCESS_READ, DCMEM_ACCESS_WRITE, DCMEM_ACCESS_UPDATE,
                                              DCMEM_ACCESS_WRITE_NO_OVERWRITE};
    dcmem_access access;
    dcmem_result result;
    dcmem_view view = range_view(buffer, t->first, t->last);
    if (t->act == ACT_MAP_WRITE) {
        dcmem_map map;
        result = dcmem_buffer_map(&map, view, DCMEM_MAP_WRITE);
        access = map.access;
    } else
        result = dcmem_access_begin(&access, view, t->side, modes[t->act], 0);
    if (result)
        return result;
    if (t->act != ACT_READ)
        write_through(on, &access, t->is_aborted ? 0xee : value);
    return t->is_aborted ? dcmem_access_abort(&access) : dcmem_access_end(&access);
}

static dcmem_result
perform(const device *on, dcmem_buffer *buffer, const trial *t, uint8_t value)
{
    uint8_t bytes[BYTES];
    dcmem_view view = range_view(buffer, t->first, t->last);
    memset(bytes, value, sizeof bytes);
    switch (t->act) {
    case ACT_PREFETCH:
        return dcmem_buffer_prefetch(view, t->side);
    case ACT_SYNCHRONIZE:
        return dcmem_buffer_synchronize(view);
    case ACT_INVALIDATE:
        return dcmem_buffer_invalidate(view, t->side);
    case ACT_MARK_DIRTY:
        return dcmem_buffer_mark_dirty(view, t->side);
    case ACT_COPY_IN:
        return dcmem_buffer_copy_in(view, bytes, 0);
    case ACT_COPY_OUT:
        return dcmem_buffer_copy_out(bytes, view, 0);
    case ACT_FILL:
        return dcmem_buffer_fill(view, &value, 1);
    default:
        return perform_access(on, buffer, t, value);
    }
}

/* Brings range i of a fresh buffer into a state. */
static void
put_state(const device *on, dcmem_buffer *buffer, int i, dcmi_state state, uint8_t value)
{
    trial write = {.act = ACT_WRITE, .side = state == DCMI_STATE_HOST ? H : D, .first = i, .last = i + 1};
    if (state == DCMI_STATE_UNWRITTEN)
        return;
    EXPECT_OK(perform(on, buffer, &write, value));
    if (state == DCMI_STATE_BOTH)
        EXPECT_OK(dcmem_buffer_prefetch(range_view(buffer, i, i + 1), H));
    write.is_aborted = true;
    if (state == DCMI_STATE_LOST)
        EXPECT_OK(perform(on, buffer, &write, value));
}

/* The states are the model's, and on each side that is current lie the model's bytes. */
static void
expect_model(const device *on, dcmem_buffer *buffer, const model *of, bool checks_bytes)
{
    (void)on;
    for (int i = 0; i < RANGES; i++) {
        EXPECT_EQ(state_at(buffer, (uint64_t)i * RANGE), of->states[i]);
        EXPECT_EQ(state_at(buffer, (uint64_t)i * RANGE + RANGE - 1), of->states[i]);
        for (unsigned side = 0; side < 2 && checks_bytes; side++) {
            uint8_t bytes[RANGE];
            if (!is_written(of->states[i]) || !((unsigned)of->states[i] >> side & 1))
                continue;
            peek_side(bytes, buffer, (dcmem_side)side, (uint64_t)i * RANGE, RANGE);
            EXPECT(are_all(bytes, of->values[i], RANGE));
        }
    }
    EXPECT_EQ(info_of(buffer).has_host_side, of->has_host);
}

static void
run_trial(const device *on, unsigned states, const trial *t)
{
    dcmem_buffer *buffer = buffer_of(on->manager, BYTES);
    model of = {.values = {1, 2, 3}};
    for (int i = 0; i < RANGES; i++, states /= DCMI_STATE_COUNT) {
        of.states[i] = (dcmi_state)(states % DCMI_STATE_COUNT);
        put_state(on, buffer, i, of.states[i], of.values[i]);
        of.has_host |= of.states[i] == DCMI_STATE_HOST || of.states[i] == DCMI_STATE_BOTH;
    }
    expect_model(on, buffer, &of, false);

    dcmem_result wanted = model_apply(&of, t, 9);
    if (t->failing)
        EXPECT_OK(dcmem_fake_fail(on->fake, DCMEM_FAKE_copy, DCMEM_E_DRIVER, t->failing, 1));
    dcmem_result result = perform(on, buffer, t, 9);
    if (result != wanted)
        print_message("act %d of ranges %d to %d on side %d, aborted %d, failing %u\n", t->act, t->first, t->last,
                      t->side, t->is_aborted, t->failing);
    EXPECT_RESULT(result, wanted);
    dcmem_fake_reset(on->fake);

    /* Marking dirty is the caller's word, no bytes. */
    expect_model(on, buffer, &of, t->act != ACT_MARK_DIRTY);
    EXPECT_OK(dcmem_buffer_destroy(buffer));
}

static bool
is_possible(const trial *t)
{
    bool is_access =
        t->act == ACT_WRITE || t->act == ACT_UPDATE || t->act == ACT_NO_OVERWRITE || t->act == ACT_MAP_WRITE;
    bool is_sided = t->act != ACT_SYNCHRONIZE && t->act != ACT_COPY_IN && t->act != ACT_COPY_OUT && t->act != ACT_FILL;
    if (t->act == ACT_MAP_WRITE && t->side != H)
        return false;
    return (is_access || !t->is_aborted) && (is_sided || t->side == H) && (t->act != ACT_FILL || !t->failing);
}

LONG_TEST(coherence__three_ranges_both_sides_each_operation_and_failure_agree_with_a_model_of_every_byte)
{
    device on = device_open(&split_profile);
    const unsigned combinations = DCMI_STATE_COUNT * DCMI_STATE_COUNT * DCMI_STATE_COUNT;
    for (unsigned states = 0; states < combinations; states++)
        for (trial t = {0}; t.act < ACT_COUNT; t.act++)
            for (int variant = 0; variant < 2 * 2 * 4; variant++)
                for (t.first = 0; t.first < RANGES; t.first++)
                    for (t.last = t.first + 1; t.last <= RANGES; t.last++) {
                        t.side = (dcmem_side)(variant & 1);
                        t.is_aborted = variant >> 1 & 1;
                        t.failing = (unsigned)(variant >> 2);
                        if (is_possible(&t))
                            run_trial(&on, states, &t);
                    }
    device_close(&on);
}

/* ---- One memory with two sides: only unwritten, both and lost exist ---- */

typedef struct unified_trial {
    dcmi_state from;
    dcmem_access_mode mode;
    dcmem_side side;
    bool is_aborted;
} unified_trial;

static dcmi_state
unified_after(const unified_trial *t)
{
    if (t->mode == DCMEM_ACCESS_READ)
        return t->from;
    if (!t->is_aborted)
        return DCMI_STATE_BOTH;
    return t->from == DCMI_STATE_UNWRITTEN ? DCMI_STATE_UNWRITTEN : DCMI_STATE_LOST;
}

static void
run_unified(const device *on, const unified_trial *t)
{
    dcmem_buffer *buffer = buffer_of(on->manager, BYTES);
    put_state(on, buffer, 0, t->from == DCMI_STATE_BOTH ? DCMI_STATE_DEVICE : t->from, 5);
    EXPECT_EQ(state_at(buffer, 0), t->from);

    bool reads = t->mode == DCMEM_ACCESS_READ || t->mode == DCMEM_ACCESS_UPDATE;
    dcmem_result wanted = !reads || t->from == DCMI_STATE_BOTH ? DCMEM_OK
                          : t->from == DCMI_STATE_LOST         ? DCMEM_E_LOST
                                                               : DCMEM_E_UNWRITTEN;
    dcmem_access access;
    uint64_t copies = dcmem_fake_count_of(on->fake, DCMEM_FAKE_copy).tried;
    EXPECT_RESULT(dcmem_access_begin(&access, range_view(buffer, 0, 1), t->side, t->mode, 0), wanted);
    if (!wanted)
        EXPECT_OK(t->is_aborted ? dcmem_access_abort(&access) : dcmem_access_end(&access));
    EXPECT_EQ(state_at(buffer, 0), wanted ? t->from : unified_after(t));
    EXPECT_EQ(state_at(buffer, RANGE), DCMI_STATE_UNWRITTEN);
    EXPECT_EQ(dcmem_fake_count_of(on->fake, DCMEM_FAKE_copy).tried, copies);
    EXPECT_OK(dcmem_buffer_destroy(buffer));
}

TEST(coherence__one_memory_with_two_sides_is_never_copied_and_keeps_unwritten_and_lost_apart)
{
    static const dcmi_state states[] = {DCMI_STATE_UNWRITTEN, DCMI_STATE_BOTH, DCMI_STATE_LOST};
    device on = device_open(&unified_profile);
    for (int variant = 0; variant < 3 * 4 * 2 * 2; variant++)
        run_unified(&on, &(unified_trial){.from = states[variant / 16],
                                          .mode = (dcmem_access_mode)(variant / 4 % 4),
                                          .side = (dcmem_side)(variant / 2 % 2),
                                          .is_aborted = variant % 2});
    device_close(&on);
}
