/* cpp_test.cpp: dcmem.hpp: owners end what they own exactly once, views alias, accesses end with their scope, failures
 * arrive as exceptions or as results, never as both. */
#include "test.h"

#include <dcmem/dcmem.hpp>
#include <dcmem/testing.h>

#include <algorithm>
#include <cstring>
#include <list>
#include <map>
#include <memory_resource>
#include <numeric>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <vector>

/* The result that a callable throws, or DCMEM_OK. */
template <class Callable>
static dcmem_result
thrown_by(Callable callable)
{
    try {
        callable();
    } catch (const dcmem::error &error) {
        return error.result();
    }
    return DCMEM_OK;
}

/* A backend whose memory the host cannot touch. */
struct discrete {
    dcmem_backend *backend = nullptr;

    discrete()
    {
        dcmem_simulated_profile profile = dcmem_simulated_profile_of(DCMEM_SIMULATED_DEVICE_DISCRETE);
        dcmem::check(dcmem_simulated_create(&backend, &profile, 1));
    }

    ~discrete()
    {
        (void)dcmem_simulated_destroy(backend);
    }

    dcmem_manager_options options() const
    {
        dcmem_manager_options options{};
        options.size = sizeof options;
        options.driver = backend;
        options.maintenance_interval_ns = DCMEM_MAINTENANCE_OFF;
        return options;
    }
};

/* ---- Errors ---- */

TEST(error__carries_the_result_its_class_and_the_detail)
{
    dcmem::manager manager;
    try {
        dcmem::buffer none(manager, 0);
        EXPECT(false);
    } catch (const std::system_error &error) {
        EXPECT(error.code() == DCMEM_E_INVALID_ARGUMENT);
        EXPECT(error.code() == std::errc::invalid_argument);
        EXPECT(&error.code().category() == &dcmem::category());
        EXPECT(std::strstr(error.what(), "bytes"));
        const auto &ours = dynamic_cast<const dcmem::error &>(error);
        EXPECT_EQ(ours.result_class(), DCMEM_CLASS_PROGRAMMER);
        EXPECT_EQ(ours.detail().result, DCMEM_E_INVALID_ARGUMENT);
    }
}

TEST(error__of_a_result_that_was_not_the_last_failure_has_no_strange_detail)
{
    (void)dcmem_backend_fail(DCMEM_E_BUSY, "", 0, "somebody else's trouble");
    dcmem::error error(DCMEM_E_TIMEOUT);
    EXPECT_EQ(error.result(), DCMEM_E_TIMEOUT);
    EXPECT(!std::strstr(error.what(), "somebody"));
}

TEST(category__names_every_result_and_maps_those_that_the_standard_knows)
{
    EXPECT(std::string(dcmem::category().name()) == "dcmem");
#define DCMEM_X(name, class, number, text)                                                                             \
    EXPECT(make_error_code(DCMEM_##name).message() == std::string(dcmem_result_text(DCMEM_##name)));
    DCMEM_RESULTS(DCMEM_X)
#undef DCMEM_X
    EXPECT(make_error_code(DCMEM_E_MISALIGNED) == std::errc::invalid_argument);
    EXPECT(make_error_code(DCMEM_E_UNSUPPORTED) == std::errc::not_supported);
    EXPECT(make_error_code(DCMEM_E_OVERFLOW) == std::errc::value_too_large);
    EXPECT(make_error_code(DCMEM_E_OUT_OF_RANGE) == std::errc::result_out_of_range);
    EXPECT(make_error_code(DCMEM_E_NO_MEMORY) == std::errc::not_enough_memory);
    EXPECT(make_error_code(DCMEM_E_UNAVAILABLE) == std::errc::no_such_device);
    EXPECT(make_error_code(DCMEM_E_PERMISSION) == std::errc::permission_denied);
    EXPECT(make_error_code(DCMEM_E_BUSY) == std::errc::device_or_resource_busy);
    EXPECT(make_error_code(DCMEM_E_TIMEOUT) == std::errc::timed_out);
    EXPECT(make_error_code(DCMEM_E_CANCELLED) == std::errc::operation_canceled);
    EXPECT(make_error_code(DCMEM_E_STALE_BUFFER) != std::errc::invalid_argument);
    EXPECT(!make_error_code(DCMEM_OK));
}

/* ---- Managers ---- */

TEST(manager__is_moved_not_copied_and_ends_once)
{
    static_assert(!std::is_copy_constructible_v<dcmem::manager> && !std::is_copy_assignable_v<dcmem::manager>);
    static_assert(std::is_nothrow_move_constructible_v<dcmem::manager>);
    dcmem::manager first;
    dcmem_manager *handle = first.get();
    dcmem::manager second(std::move(first));
    EXPECT(second.get() == handle && !first.get());
    dcmem::manager third;
    dcmem_manager *replaced = third.get();
    third = std::move(second);
    EXPECT(third.get() == handle);
    EXPECT_RESULT(dcmem_manager_destroy(replaced), DCMEM_E_STALE_MANAGER);
    dcmem::manager &same = third;
    third = std::move(same);
    EXPECT(third.get() == handle);
    third.close();
    EXPECT_RESULT(dcmem_manager_destroy(handle), DCMEM_E_STALE_MANAGER);
    third.close(); /* owns nothing any more */
}

TEST(manager__close_throws_what_was_leaked_and_has_ended_all_the_same)
{
    dcmem::manager manager;
    dcmem_manager *handle = manager.get();
    EXPECT(dcmem_raw_allocate(handle, 100));
    dcmem_log_set(nullptr, nullptr, DCMEM_LOG_OFF);
    EXPECT_EQ(thrown_by([&] { manager.close(); }), DCMEM_E_LEAKED);
    dcmem_log_set(nullptr, nullptr, DCMEM_LOG_WARNING);
    EXPECT(!manager.get());
    EXPECT_RESULT(dcmem_manager_destroy(handle), DCMEM_E_STALE_MANAGER);
}

TEST(manager__that_cannot_be_made_throws_or_tells)
{
    dcmem_manager_options options{};
    options.size = sizeof options;
    options.backend = "no such backend";
    EXPECT_EQ(thrown_by([&] { dcmem::manager none(options); }), DCMEM_E_UNAVAILABLE);
    auto outcome = dcmem::manager::try_create(&options);
    EXPECT(!outcome);
    EXPECT_EQ(outcome.result(), DCMEM_E_UNAVAILABLE);
    EXPECT_EQ(thrown_by([&] { (void)outcome.value(); }), DCMEM_E_UNAVAILABLE);
}

TEST(manager__passes_every_call_on)
{
    dcmem::manager manager;
    manager.set_limit(1u << 30);
    manager.set_policy(DCMEM_POLICY_TIGHT);
    EXPECT_EQ(manager.limits().limit_bytes, 1u << 30);
    EXPECT(manager.device_info().is_unified);
    {
        dcmem::buffer buffer(manager, 100000);
        EXPECT_EQ(manager.stats()->live_buffers, 1);
    }
    EXPECT_EQ(manager.stats()->buffers_destroyed, 1);
    EXPECT_GE(manager.trim(), 1);
    EXPECT(manager.optimize().is_complete);
    manager.clear();
    EXPECT_EQ(manager.stats()->reserved_bytes, 0);
    dcmem_manager *handle = manager.release();
    EXPECT(!manager.get());
    dcmem::manager::adopt(handle).close();
}

TEST(manager__that_owns_nothing_throws_from_every_call)
{
    dcmem::manager manager;
    manager.close();
    EXPECT(thrown_by([&] { (void)manager.limits(); }) != DCMEM_OK);
    EXPECT(thrown_by([&] { (void)manager.device_info(); }) != DCMEM_OK);
    EXPECT(thrown_by([&] { (void)manager.stats(); }) != DCMEM_OK);
    EXPECT(thrown_by([&] { manager.trim(); }) != DCMEM_OK);
    EXPECT(thrown_by([&] { manager.optimize(); }) != DCMEM_OK);
    EXPECT(thrown_by([&] { manager.clear(); }) != DCMEM_OK);
    EXPECT(thrown_by([&] { manager.set_limit(1); }) != DCMEM_OK);
    EXPECT(thrown_by([&] { manager.set_policy(DCMEM_POLICY_LOOSE); }) != DCMEM_OK);
}

/* ---- Buffers ---- */

TEST(buffer__is_moved_not_copied_and_ends_once)
{
    static_assert(!std::is_copy_constructible_v<dcmem::buffer> && !std::is_copy_assignable_v<dcmem::buffer>);
    dcmem::manager manager;
    dcmem::buffer first(manager, 100), empty;
    EXPECT(first && !empty);
    dcmem_buffer *handle = first.get();
    dcmem::buffer second(std::move(first));
    EXPECT(second.get() == handle && !first);
    dcmem::buffer third(manager, 200);
    dcmem_buffer *replaced = third.get();
    third = std::move(second);
    EXPECT_RESULT(dcmem_buffer_destroy(replaced), DCMEM_E_STALE_BUFFER);
    dcmem::buffer &same = third;
    third = std::move(same);
    EXPECT(third.get() == handle);
    third.close();
    EXPECT(!third);
    EXPECT_RESULT(dcmem_buffer_destroy(handle), DCMEM_E_STALE_BUFFER);
    EXPECT_EQ(manager.stats()->live_buffers, 0);
}

TEST(buffer__that_is_in_use_is_still_owned_after_close_failed)
{
    dcmem::manager manager;
    auto buffer = dcmem::buffer::of<int>(manager, 10);
    {
        auto access = buffer.view<int>().write();
        EXPECT_EQ(thrown_by([&] { buffer.close(); }), DCMEM_E_BUSY);
        EXPECT(buffer);
    }
    buffer.close();
}

TEST(buffer__holds_a_copy_of_elements_and_tells_of_itself)
{
    dcmem::manager manager;
    std::vector<int> numbers(1000);
    std::iota(numbers.begin(), numbers.end(), 0);
    auto buffer = dcmem::buffer::copy_of(manager, numbers.data(), numbers.size());
    buffer.set_tag(5);
    EXPECT_EQ(buffer.size_bytes(), 4000);
    EXPECT_EQ(buffer.info().tag, 5);
    std::vector<int> got(1000);
    buffer.view<int>().copy_to(got.data());
    EXPECT(got == numbers);
    buffer.resize(2000);
    EXPECT_EQ(buffer.view<int>().size(), 500);
    dcmem::buffer::adopt(buffer.release()).close();
}

TEST(buffer__that_cannot_be_made_throws_or_tells)
{
    dcmem::manager manager;
    const std::uint64_t huge = UINT64_MAX / 2;
    EXPECT_EQ(thrown_by([&] { (void)dcmem::buffer::of<double>(manager, huge); }), DCMEM_E_OVERFLOW);
    EXPECT_EQ(dcmem::buffer::try_of<double>(manager, huge).result(), DCMEM_E_OVERFLOW);
    EXPECT_EQ(dcmem::buffer::try_create(manager, 0).result(), DCMEM_E_INVALID_ARGUMENT);
    EXPECT_EQ(dcmem::buffer::try_copy_of<int>(manager, nullptr, 1).result(), DCMEM_E_INVALID_ARGUMENT);
    EXPECT_EQ(thrown_by([&] { dcmem::buffer().resize(10); }), DCMEM_E_NOT_A_BUFFER);
    EXPECT_EQ(thrown_by([&] { dcmem::buffer().set_tag(1); }), DCMEM_E_NOT_A_BUFFER);
    EXPECT_EQ(thrown_by([&] { (void)dcmem::buffer().info(); }), DCMEM_E_NOT_A_BUFFER);
    EXPECT_EQ(thrown_by([&] { (void)dcmem::buffer().view<int>(); }), DCMEM_E_NOT_A_BUFFER);
}

/* ---- Views and accesses ---- */

TEST(view__aliases_its_parent_through_slices_and_casts)
{
    dcmem::manager manager;
    auto buffer = dcmem::buffer::of<std::uint32_t>(manager, 100);
    auto whole = buffer.view<std::uint32_t>();
    whole.fill(7);
    whole.slice(10, 20).slice(5, 2).fill(9);
    whole.slice(15, 1).cast<std::uint8_t>().slice(1, 1).fill(1);
    auto access = whole.read();
    EXPECT_EQ(access.size(), 100);
    EXPECT_EQ(access[14], 7);
    EXPECT_EQ(access[15], 9 + 256);
    EXPECT_EQ(access[16], 9);
    EXPECT_EQ(std::count(access.begin(), access.end(), 7u), 98);
}

TEST(view__that_does_not_fit_throws_or_tells)
{
    dcmem::manager manager;
    dcmem::buffer buffer(manager, 10);
    EXPECT_EQ(thrown_by([&] { (void)buffer.view<int>(); }), DCMEM_E_MISALIGNED);
    auto bytes = buffer.view<char>();
    EXPECT_EQ(bytes.size(), 10);
    EXPECT_EQ(bytes.size_bytes(), 10);
    EXPECT_EQ(thrown_by([&] { (void)bytes.slice(5, 6); }), DCMEM_E_OUT_OF_RANGE);
    EXPECT_EQ(bytes.try_slice(5, 6).result(), DCMEM_E_OUT_OF_RANGE);
    EXPECT_EQ(thrown_by([&] { (void)bytes.cast<int>(); }), DCMEM_E_MISALIGNED);
    EXPECT_EQ(thrown_by([&] { (void)bytes.read(); }), DCMEM_E_UNWRITTEN);
    EXPECT_EQ(bytes.try_read().result(), DCMEM_E_UNWRITTEN);
    EXPECT_EQ(bytes.try_update().result(), DCMEM_E_UNWRITTEN);
    EXPECT_EQ(thrown_by([&] { bytes.synchronize(); }), DCMEM_E_UNWRITTEN);
    EXPECT(dcmem::view<int>().empty());
}

TEST(view__copies_between_hosts_and_buffers)
{
    dcmem::manager manager;
    auto a = dcmem::buffer::of<int>(manager, 4), b = dcmem::buffer::of<int>(manager, 4);
    const int sent[4] = {1, 2, 3, 4};
    int got[4] = {};
    a.view<int>().copy_from(sent);
    b.view<int>().copy_from(a.view<int>());
    b.view<int>().prefetch(DCMEM_SIDE_DEVICE);
    b.view<int>().synchronize();
    b.view<int>().copy_to(got);
    EXPECT(std::equal(sent, sent + 4, got));
    EXPECT_EQ(a.view<int>().try_copy_from(b.view<int>().slice(0, 2)), DCMEM_E_INVALID_ARGUMENT);
    EXPECT_EQ(thrown_by([&] { a.view<int>().copy_from(static_cast<const int *>(nullptr)); }), DCMEM_E_INVALID_ARGUMENT);
}

TEST(access__ends_with_its_scope_and_once)
{
    dcmem::manager manager;
    auto buffer = dcmem::buffer::of<int>(manager, 8);
    {
        auto access = buffer.view<int>().write();
        EXPECT_EQ(buffer.info().open_writers, 1);
        std::fill(access.begin(), access.end(), 3);
        auto moved = std::move(access);
        EXPECT_EQ(buffer.info().open_writers, 1);
        moved.close();
        EXPECT_EQ(buffer.info().open_writers, 0);
        moved.close(); /* closed already: nothing */
    }
    {
        auto first = buffer.view<int>().slice(0, 2).read();
        auto second = buffer.view<int>().slice(2, 2).read();
        EXPECT_EQ(buffer.info().open_readers, 2);
        first = std::move(second);
        EXPECT_EQ(buffer.info().open_readers, 1);
        EXPECT(first.data() == first.c().host);
    }
    EXPECT_EQ(buffer.info().open_readers, 0);
}

TEST(access__that_writes_is_aborted_when_an_exception_leaves_its_scope)
{
    dcmem::manager manager;
    auto buffer = dcmem::buffer::of<int>(manager, 8);
    auto view = buffer.view<int>();
    view.fill(1);
    try {
        auto access = view.slice(0, 4).update();
        access[0] = 99;
        throw std::runtime_error("half way");
    } catch (const std::runtime_error &) {
    }
    EXPECT_EQ(buffer.info().open_writers, 0);
    EXPECT_EQ(thrown_by([&] { (void)view.slice(0, 4).read(); }), DCMEM_E_LOST);
    EXPECT_EQ(view.slice(4, 4).read()[0], 1);

    auto access = view.slice(4, 4).update();
    access.abort();
    EXPECT_EQ(view.slice(4, 4).try_read().result(), DCMEM_E_LOST);
}

TEST(access__of_the_device_side_has_no_host_range_and_conflicts_like_any_other)
{
    discrete device;
    dcmem::manager manager(device.options());
    auto buffer = dcmem::buffer::of<int>(manager, 8);
    auto view = buffer.view<int>();
    view.fill(5);
    {
        auto access = view.on_device();
        EXPECT(access.begin() == access.end() && !access.data());
        int element = 6;
        EXPECT(access.native().object != 0);
        EXPECT_OK(dcmem_simulated_write(device.backend, 0, &access.native(), 4, &element, sizeof element));
        EXPECT_EQ(thrown_by([&] { (void)view.read(); }), DCMEM_E_BUSY);
        EXPECT_EQ(view.try_on_device(DCMEM_ACCESS_READ).result(), DCMEM_E_BUSY);
    }
    auto access = view.read();
    EXPECT_EQ(access[0], 5);
    EXPECT_EQ(access[1], 6);
}

TEST(access__closes_in_its_destructor_even_where_the_driver_fails)
{
    dcmem_simulated_profile profile{};
    profile.size = sizeof profile;
    profile.flags = DCMEM_SIMULATED_UNIFIED | DCMEM_SIMULATED_NON_COHERENT;
    profile.total_bytes = 64u << 20;
    dcmem_fake_options fake_options{};
    fake_options.size = sizeof fake_options;
    fake_options.profile = &profile;
    dcmem_fake *fake = nullptr;
    EXPECT_OK(dcmem_fake_create(&fake, &fake_options));
    {
        dcmem_manager_options options{};
        options.size = sizeof options;
        options.driver = dcmem_fake_backend(fake);
        options.maintenance_interval_ns = DCMEM_MAINTENANCE_OFF;
        dcmem::manager manager(options);
        auto buffer = dcmem::buffer::of<int>(manager, 8);
        {
            auto access = buffer.view<int>().write();
            EXPECT_OK(dcmem_fake_fail(fake, DCMEM_FAKE_flush, DCMEM_E_DRIVER, 1, UINT64_MAX));
            EXPECT_EQ(thrown_by([&] { access.close(); }), DCMEM_E_DRIVER);
            EXPECT_EQ(buffer.info().open_writers, 1); /* still open: may be closed again */
        }
        EXPECT_EQ(buffer.info().open_writers, 0);
        EXPECT_EQ(buffer.view<int>().try_read().result(), DCMEM_E_UNWRITTEN);
        dcmem_fake_reset(fake);
    }
    EXPECT_OK(dcmem_fake_destroy(fake));
}

/* ---- Transfers ---- */

TEST(view__copies_boxes_in_elements)
{
    dcmem::manager manager;
    auto image = dcmem::buffer::of<float>(manager, 10 * 8 * 2), other = dcmem::buffer::of<float>(manager, 10 * 8 * 2);
    auto view = image.view<float>(), copy = other.view<float>();
    view.fill(0.0f);
    copy.fill(0.0f);
    std::vector<float> tile(3 * 2 * 2), back(3 * 2 * 2);
    std::iota(tile.begin(), tile.end(), 1.0f);
    dcmem::layout in_image{12, 10, 80}, tight{};
    view.copy_box_from(in_image, tile.data(), tight, {3, 2, 2});
    copy.copy_box_from(in_image, view, in_image, {3, 2, 2});
    copy.copy_box_to(back.data(), tight, in_image, {3, 2, 2});
    EXPECT(back == tile);
    auto pixels = copy.read();
    EXPECT(pixels[11] == 0.0f && pixels[12] == 1.0f && pixels[15] == 0.0f && pixels[22] == 4.0f && pixels[92] == 7.0f);
    pixels.close();
    EXPECT_EQ(thrown_by([&] { view.copy_box_from({158, 0, 0}, tile.data(), tight, {3}); }), DCMEM_E_OUT_OF_RANGE);
    EXPECT_EQ(view.try_copy_box_from({UINT64_MAX / 2, 0, 0}, tile.data(), tight, {3}), DCMEM_E_OVERFLOW);
    EXPECT_EQ(view.try_copy_box_to(back.data(), tight, {0, 2, 0}, {3, 2}), DCMEM_E_INVALID_ARGUMENT);
    EXPECT_EQ(view.try_copy_box_from(tight, view, tight, {3}), DCMEM_E_INVALID_ARGUMENT);
}

TEST(transfer__is_watched_and_stopped_by_callables)
{
    dcmem::manager manager;
    auto buffer = dcmem::buffer::of<int>(manager, 1000), other = dcmem::buffer::of<int>(manager, 1000);
    std::vector<int> numbers(1000, 7), back(1000);
    std::uint64_t last = 0;
    auto show = [&](std::uint64_t done, std::uint64_t) { return last = done, true; };
    dcmem::cancel_word stop;
    auto options = dcmem::transfer_options().progress(show, 1).cancel(stop).timeout(1000);
    buffer.view<int>().copy_from(numbers.data(), options);
    other.view<int>().copy_from(buffer.view<int>(), options);
    other.view<int>().copy_to(back.data(), options);
    EXPECT(back == numbers);
    EXPECT_EQ(last, 4000);
    stop.set();
    EXPECT(stop.is_set());
    EXPECT_EQ(thrown_by([&] { other.view<int>().copy_to(back.data(), options); }), DCMEM_E_CANCELLED);
    stop.clear();
    EXPECT(!stop.is_set());
    auto refuse = [](std::uint64_t, std::uint64_t) { return false; };
    options.progress(refuse, 1);
    dcmem_transfer both[2] = {};
    both[0].to = buffer.view<int>().slice(0, 10).c();
    both[0].from_host = numbers.data();
    both[1].to = buffer.view<int>().slice(500, 10).c();
    both[1].from_host = numbers.data();
    std::uint64_t done = 99;
    EXPECT_EQ(dcmem::try_transfer(done, both, 2, options), DCMEM_E_CANCELLED);
    EXPECT_LE(done, 1);
    dcmem::transfer(both, 2);
    both[1].from_host = nullptr;
    EXPECT_EQ(thrown_by([&] { dcmem::transfer(both, 2); }), DCMEM_E_INVALID_ARGUMENT);
}

/* ---- Memory for containers ---- */

TEST(memory_resource__serves_containers_and_gets_everything_back)
{
    dcmem::manager manager;
    {
        dcmem::memory_resource resource(manager);
        std::pmr::vector<int> numbers(&resource);
        std::pmr::list<std::pmr::string> words(&resource);
        std::pmr::map<int, std::pmr::vector<double>> table(&resource);
        for (int i = 0; i < 10000; i++) {
            numbers.push_back(i);
            table[i % 100].push_back(i);
            if (i % 10 == 0)
                words.emplace_back("a word that is too long for the string itself");
        }
        EXPECT_EQ(std::accumulate(numbers.begin(), numbers.end(), 0), 49995000);
        EXPECT(words.front().get_allocator().resource() == &resource);
        EXPECT_GE(manager.stats()->live_allocations, 1000);
    }
    EXPECT_EQ(manager.stats()->live_allocations, 0);
}

TEST(memory_resource__honours_every_alignment_and_size)
{
    dcmem::manager manager;
    dcmem::memory_resource resource(manager);
    for (std::size_t alignment = 1; alignment <= 1u << 20; alignment *= 2)
        for (std::size_t bytes : {std::size_t(0), std::size_t(1), std::size_t(100), alignment, 3 * alignment}) {
            void *block = resource.allocate(bytes, alignment);
            EXPECT(reinterpret_cast<std::uintptr_t>(block) % alignment == 0);
            std::memset(block, 0x7f, bytes);
            std::uint64_t usable = 0;
            EXPECT_OK(dcmem_raw_usable_size(&usable, manager.get(), block));
            EXPECT_GE(usable, bytes);
            resource.deallocate(block, bytes, alignment);
        }
    EXPECT_EQ(manager.stats()->live_allocations, 0);
}

TEST(memory_resource__throws_bad_alloc_and_the_detail_says_why)
{
    dcmem::manager manager;
    dcmem::memory_resource resource(manager);
    manager.set_limit(1u << 20);
    bool was_thrown = false;
    try {
        (void)resource.allocate(64u << 20);
    } catch (const std::bad_alloc &) {
        was_thrown = true;
    }
    EXPECT(was_thrown);
    EXPECT_EQ(dcmem_last_detail()->result, DCMEM_E_LIMIT);
}

TEST(memory_resource__is_equal_to_those_of_the_same_manager_only)
{
    dcmem::manager one, other;
    dcmem::memory_resource a(one), b(one), c(other);
    EXPECT(a.is_equal(a) && a.is_equal(b) && !a.is_equal(c));
    EXPECT(!a.is_equal(*std::pmr::new_delete_resource()));
    void *block = a.allocate(100);
    b.deallocate(block, 100);
    EXPECT_EQ(one.stats()->live_allocations, 0);
    EXPECT(a.get() == one.get());
}

TEST(memory_resource__refuses_memory_that_the_host_cannot_touch)
{
    discrete device;
    dcmem::manager manager(device.options());
    EXPECT_EQ(thrown_by([&] { dcmem::memory_resource none(manager); }), DCMEM_E_UNSUPPORTED);
    EXPECT_EQ(thrown_by([&] { dcmem::allocator<int> none(manager); }), DCMEM_E_UNSUPPORTED);
    EXPECT_EQ(thrown_by([&] { dcmem::memory_resource none(nullptr); }), DCMEM_E_NOT_A_MANAGER);
}

struct alignas(256) wide {
    char bytes[300];
};

TEST(allocator__serves_containers_of_any_alignment)
{
    dcmem::manager manager, other;
    dcmem::allocator<int> allocator(manager);
    {
        std::vector<int, dcmem::allocator<int>> numbers(allocator);
        for (int i = 0; i < 1000; i++)
            numbers.push_back(i);
        EXPECT_EQ(numbers[999], 999);
        std::vector<wide, dcmem::allocator<wide>> wides(7, wide{}, dcmem::allocator<wide>(allocator));
        EXPECT(reinterpret_cast<std::uintptr_t>(wides.data()) % 256 == 0);
        std::list<int, dcmem::allocator<int>> linked(allocator);
        linked.push_back(1);
    }
    EXPECT_EQ(manager.stats()->live_allocations, 0);
    EXPECT(allocator == dcmem::allocator<wide>(allocator));
    EXPECT(allocator != dcmem::allocator<int>(other));
    bool was_thrown = false;
    try {
        (void)allocator.allocate(SIZE_MAX / 2);
    } catch (const std::bad_array_new_length &) {
        was_thrown = true;
    }
    EXPECT(was_thrown);
    manager.set_limit(1u << 20);
    was_thrown = false;
    try {
        (void)allocator.allocate(16u << 20);
    } catch (const std::bad_alloc &) {
        was_thrown = true;
    }
    EXPECT(was_thrown);
    allocator.deallocate(allocator.allocate(0), 0);
}
