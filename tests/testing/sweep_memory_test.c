/* sweep_memory_test.c: every function of dcmem/memory.h, with each of its calls failing in turn. */
#include "sweeps.h"

/* A block with a pattern, and no other memory cached, so that what follows needs the driver. */
static dcmem_result
prepare_block(subject *me)
{
    uint8_t pattern[3000];
    fill_pattern(pattern, sizeof pattern, 1);
    me->blocks[0] = dcmem_raw_allocate(me->manager, sizeof pattern);
    if (!me->blocks[0])
        return dcmem_last_detail()->result;
    return dcmem_raw_write(me->manager, me->blocks[0], pattern, sizeof pattern);
}

static const char *
block_has_pattern(subject *me)
{
    uint8_t got[3000];
    if (dcmem_raw_read(me->manager, got, me->blocks[0], sizeof got))
        return dcmem_last_detail()->message;
    return has_pattern(got, sizeof got, 1) ? NULL : "the block's bytes have changed";
}

static void
keep_block(subject *me)
{
    me->blocks[1] = me->out.address;
}

/* ---- Allocation ---- */

static dcmem_result
allocate(subject *me)
{
    void *block = dcmem_raw_allocate(me->manager, me->bytes);
    if (block)
        me->out.address = block;
    return result_of(block);
}

SWEEP_TEST(sweep__of_raw_allocate)
{
    static const uint64_t sizes[] = {1, 64, 5000, 300 * KIB, 33 * MIB};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        subject me = {.perform = allocate, .finish = keep_block, .bytes = sizes[i]};
        EXPECT_GE(sweep_over_all(&me), 1);
    }
}

static dcmem_result
allocate_aligned(subject *me)
{
    void *block = dcmem_raw_allocate_aligned(me->manager, me->bytes, 2 * MIB);
    if (block)
        me->out.address = block;
    return result_of(block);
}

SWEEP_TEST(sweep__of_raw_allocate_aligned)
{
    subject me = {.perform = allocate_aligned, .finish = keep_block, .bytes = 100 * KIB};
    EXPECT_GE(sweep_over_all(&me), 1);
}

static dcmem_result
allocate_zeroed(subject *me)
{
    void *block = dcmem_raw_allocate_zeroed(me->manager, me->bytes / 8, 8);
    if (block)
        me->out.address = block;
    return result_of(block);
}

static const char *
block_is_zero(subject *me)
{
    static uint8_t got[256 * KIB];
    if (dcmem_raw_read(me->manager, got, me->out.address, me->bytes))
        return dcmem_last_detail()->message;
    for (uint64_t i = 0; i < me->bytes; i++)
        if (got[i])
            return "a byte is not zero";
    return NULL;
}

/* What was used before must be cleared by a call that can fail. */
static dcmem_result
prepare_used_memory(subject *me)
{
    void *block = dcmem_raw_allocate(me->manager, me->bytes);
    dcmem_result result = block ? dcmem_raw_set(me->manager, block, 0xff, me->bytes) : dcmem_last_detail()->result;
    return result ? result : dcmem_raw_free(me->manager, block);
}

SWEEP_TEST(sweep__of_raw_allocate_zeroed)
{
    static const uint64_t sizes[] = {64, 200 * KIB};
    for (size_t i = 0; i < 2; i++) {
        subject me = {.prepare = prepare_used_memory,
                      .perform = allocate_zeroed,
                      .inspect = block_is_zero,
                      .finish = keep_block,
                      .bytes = sizes[i]};
        EXPECT_GE(sweep_over_all(&me), 1);
    }
}

static dcmem_result
reallocate(subject *me)
{
    void *block = dcmem_raw_reallocate(me->manager, me->blocks[0], me->bytes);
    if (block)
        me->blocks[0] = block;
    return result_of(block);
}

SWEEP_TEST(sweep__of_raw_reallocate_keeps_the_bytes_whatever_fails)
{
    static const uint64_t sizes[] = {20 * KIB, 3 * MIB};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        subject me = {.prepare = prepare_block, .perform = reallocate, .inspect = block_has_pattern, .bytes = sizes[i]};
        EXPECT_GE(sweep_over_all(&me), 1);
    }
}

/* ---- Free: nothing in it may need memory, and a driver's refusal loses nothing ---- */

static dcmem_result
prepare_large_block(subject *me)
{
    me->blocks[0] = dcmem_raw_allocate(me->manager, me->bytes);
    return result_of(me->blocks[0]);
}

static dcmem_result
free_block(subject *me)
{
    dcmem_result result = dcmem_raw_free(me->manager, me->blocks[0]);
    me->blocks[0] = NULL;
    return result;
}

SWEEP_TEST(sweep__of_raw_free)
{
    static const uint64_t sizes[] = {64, 100 * KIB, 40 * MIB};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        subject me = {.prepare = prepare_large_block, .perform = free_block, .bytes = sizes[i], .no_retry = true};
        sweep_over_all(&me);
    }
}

/* ---- Bytes ---- */

static dcmem_result
set_bytes(subject *me)
{
    return dcmem_raw_set(me->manager, (uint8_t *)me->blocks[0] + 100, 0x77, 1000);
}

static const char *
middle_is_set(subject *me)
{
    uint8_t got[3000];
    if (dcmem_raw_read(me->manager, got, me->blocks[0], sizeof got))
        return dcmem_last_detail()->message;
    for (int i = 100; i < 1100; i++)
        if (got[i] != 0x77)
            return "a byte was not set";
    return has_pattern(got, 100, 1) ? NULL : "a byte outside was set";
}

SWEEP_TEST(sweep__of_raw_set)
{
    subject me = {.prepare = prepare_block, .perform = set_bytes, .inspect = middle_is_set};
    EXPECT_GE(sweep_over_all(&me), 1);
}

static dcmem_result
prepare_two_blocks(subject *me)
{
    dcmem_result result = prepare_block(me);
    me->blocks[1] = dcmem_raw_allocate(me->manager, 3000);
    return result ? result : result_of(me->blocks[1]);
}

static dcmem_result
copy_block(subject *me)
{
    return dcmem_raw_copy(me->manager, me->blocks[1], me->blocks[0], 3000);
}

static const char *
copy_has_pattern(subject *me)
{
    uint8_t got[3000];
    if (dcmem_raw_read(me->manager, got, me->blocks[1], sizeof got))
        return dcmem_last_detail()->message;
    return has_pattern(got, sizeof got, 1) ? block_has_pattern(me) : "the copy's bytes are not the source's";
}

SWEEP_TEST(sweep__of_raw_copy)
{
    subject me = {.prepare = prepare_two_blocks, .perform = copy_block, .inspect = copy_has_pattern};
    EXPECT_GE(sweep_over_all(&me), 1);
}

static dcmem_result
write_block(subject *me)
{
    uint8_t pattern[3000];
    fill_pattern(pattern, sizeof pattern, 1);
    return dcmem_raw_write(me->manager, me->blocks[1], pattern, sizeof pattern);
}

SWEEP_TEST(sweep__of_raw_write)
{
    subject me = {.prepare = prepare_two_blocks, .perform = write_block, .inspect = copy_has_pattern};
    EXPECT_GE(sweep_over_all(&me), 1);
}

static dcmem_result
read_block(subject *me)
{
    return dcmem_raw_read(me->manager, me->out.host, (uint8_t *)me->blocks[0] + 500, 1000);
}

static const char *
bytes_were_read(subject *me)
{
    uint8_t whole[3000];
    fill_pattern(whole, sizeof whole, 1);
    return memcmp(me->out.host, whole + 500, 1000) == 0 ? NULL : "what was read is wrong";
}

SWEEP_TEST(sweep__of_raw_read)
{
    subject me = {.prepare = prepare_block, .perform = read_block, .inspect = bytes_were_read};
    EXPECT_GE(sweep_over_all(&me), 1);
}

static dcmem_result
ask_usable_size(subject *me)
{
    uint64_t size = 0;
    dcmem_result result = dcmem_raw_usable_size(&size, me->manager, me->blocks[0]);
    return result ? result : size >= 3000 ? DCMEM_OK : DCMEM_E_INTERNAL;
}

SWEEP_TEST(sweep__of_raw_usable_size)
{
    subject me = {.prepare = prepare_block, .perform = ask_usable_size, .inspect = block_has_pattern};
    sweep_over_all(&me);
}

static dcmem_result
ask_native(subject *me)
{
    dcmem_native native;
    dcmem_result result = dcmem_raw_native(&native, me->manager, (uint8_t *)me->blocks[0] + 10);
    if (!result)
        me->out.native = native;
    return result;
}

SWEEP_TEST(sweep__of_raw_native)
{
    subject me = {.prepare = prepare_block, .perform = ask_native};
    sweep_over_all(&me);
}
