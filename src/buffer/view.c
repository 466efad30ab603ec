/* view.c: windows onto buffers: values that are only checked here against the buffer, and again when they are used. */
#include "base/size.h"
#include "buffer/slot.h"

/* The buffer's size, without the lock: the word before and after says that it was the handle's all along. */
static bool
peek_bytes(uint64_t *out, const dcmem_buffer *buffer)
{
    dcmi_slot *slot = dcmi_handle_slot(buffer);
    if (!slot || !dcmi_word_is(atomic_load_explicit(&slot->word, memory_order_acquire), buffer))
        return false;
    *out = dcmi_slot_bytes(slot);
    return dcmi_word_is(atomic_load_explicit(&slot->word, memory_order_acquire), buffer);
}

static dcmem_result
bytes_of(uint64_t *out, const dcmem_buffer *buffer)
{
    return peek_bytes(out, buffer) ? DCMEM_OK : dcmi_handle_refuse(buffer);
}

dcmem_view
dcmem_view_whole(dcmem_buffer *buffer)
{
    uint64_t bytes = 0;
    bool is_alive = peek_bytes(&bytes, buffer);
    return (dcmem_view){.buffer = buffer, .bytes = is_alive ? bytes : 0, .element_bytes = 1};
}

dcmem_result
dcmem_view_typed(dcmem_view *out, dcmem_buffer *buffer, uint64_t element_bytes)
{
    uint64_t bytes;
    DCMI_REQUIRE(out && element_bytes > 0);
    dcmem_result result = bytes_of(&bytes, buffer);
    if (result)
        return result;
    if (bytes % element_bytes)
        return dcmi_fail(DCMEM_E_MISALIGNED, "a buffer of %llu bytes is no whole number of elements of %llu",
                         (unsigned long long)bytes, (unsigned long long)element_bytes);
    *out = (dcmem_view){.buffer = buffer, .bytes = bytes, .element_bytes = element_bytes};
    return DCMEM_OK;
}

dcmem_result
dcmem_view_slice(dcmem_view *out, dcmem_view view, uint64_t first, uint64_t count)
{
    uint64_t bytes, begin, length, end;
    DCMI_REQUIRE(out);
    dcmem_result result = bytes_of(&bytes, view.buffer);
    if (result)
        return result;
    DCMI_REQUIRE(count > 0 && view.element_bytes > 0);
    if (!dcmi_size_mul(&begin, first, view.element_bytes) || !dcmi_size_mul(&length, count, view.element_bytes) ||
        !dcmi_size_add(&end, begin, length) || !dcmi_size_add(&begin, begin, view.offset))
        return dcmi_fail(DCMEM_E_OVERFLOW, "%llu elements of %llu bytes from element %llu", (unsigned long long)count,
                         (unsigned long long)view.element_bytes, (unsigned long long)first);
    if (end > view.bytes)
        return dcmi_fail(DCMEM_E_OUT_OF_RANGE, "%llu elements from element %llu of a view of %llu",
                         (unsigned long long)count, (unsigned long long)first,
                         (unsigned long long)(view.bytes / view.element_bytes));
    *out = (dcmem_view){view.buffer, begin, length, view.element_bytes};
    return DCMEM_OK;
}

dcmem_result
dcmem_view_cast(dcmem_view *out, dcmem_view view, uint64_t element_bytes)
{
    uint64_t bytes;
    DCMI_REQUIRE(out && element_bytes > 0);
    dcmem_result result = bytes_of(&bytes, view.buffer);
    if (result)
        return result;
    DCMI_REQUIRE(view.bytes > 0);
    if (view.bytes % element_bytes || view.offset % element_bytes)
        return dcmi_fail(DCMEM_E_MISALIGNED, "a view of %llu bytes from %llu does not divide into elements of %llu",
                         (unsigned long long)view.bytes, (unsigned long long)view.offset,
                         (unsigned long long)element_bytes);
    *out = (dcmem_view){view.buffer, view.offset, view.bytes, element_bytes};
    return DCMEM_OK;
}
