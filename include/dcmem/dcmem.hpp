/* dcmem/dcmem.hpp: dcmem for C++17: owners that clean up, typed views, accesses as scopes, a memory resource.
 *
 *     dcmem::manager manager;                                      // the CPU
 *     dcmem::buffer pixels = dcmem::buffer::of<float>(manager, 1920 * 1080);
 *     {
 *         auto access = pixels.view<float>().write();              // the host side, until the end of the scope
 *         std::fill(access.begin(), access.end(), 0.5f);
 *     }
 *     pixels.view<float>().slice(0, 1920).fill(1.0f);
 *
 *     dcmem::memory_resource resource(manager);
 *     std::pmr::vector<int> numbers(&resource);
 *
 * What fails throws dcmem::error, which is a std::system_error with the result and its detail. For each such call
 * there is one that does not throw: `try_` makes an outcome<T>, which is a T or a result, or returns the result itself.
 * Without exceptions (-fno-exceptions) the throwing ones abort.
 *
 * Nothing here has state of its own: every object is a C handle, got with get() or c(), and C calls may be mixed in.
 * Threads are as the C calls say; an object itself is for one thread at a time, like any C++ value. */
#ifndef DCMEM_DCMEM_HPP
#define DCMEM_DCMEM_HPP

#include <dcmem/dcmem.h>

#include <cstddef>
#include <cstdlib>
#include <exception>
#include <limits>
#include <memory>
#include <memory_resource>
#include <new>
#include <optional>
#include <string>
#include <system_error>
#include <type_traits>
#include <utility>

/* ---- Results as error codes ---- */

namespace dcmem {

/* The category of dcmem_result. Codes compare with std::errc where one fits. */
inline const std::error_category &
category() noexcept
{
    struct the_category final : std::error_category {
        const char *name() const noexcept override
        {
            return "dcmem";
        }

        std::string message(int value) const override
        {
            return dcmem_result_text(static_cast<dcmem_result>(value));
        }

        std::error_condition default_error_condition(int value) const noexcept override
        {
            switch (static_cast<dcmem_result>(value)) {
            case DCMEM_E_INVALID_ARGUMENT:
            case DCMEM_E_MISALIGNED:
                return std::errc::invalid_argument;
            case DCMEM_E_UNSUPPORTED:
                return std::errc::not_supported;
            case DCMEM_E_OVERFLOW:
                return std::errc::value_too_large;
            case DCMEM_E_OUT_OF_RANGE:
                return std::errc::result_out_of_range;
            case DCMEM_E_NO_MEMORY:
            case DCMEM_E_NO_HOST_MEMORY:
            case DCMEM_E_LIMIT:
            case DCMEM_E_TOO_LARGE:
                return std::errc::not_enough_memory;
            case DCMEM_E_UNAVAILABLE:
                return std::errc::no_such_device;
            case DCMEM_E_PERMISSION:
                return std::errc::permission_denied;
            case DCMEM_E_BUSY:
                return std::errc::device_or_resource_busy;
            case DCMEM_E_TIMEOUT:
                return std::errc::timed_out;
            case DCMEM_E_CANCELLED:
                return std::errc::operation_canceled;
            default:
                return std::error_condition(value, *this);
            }
        }
    };
    static const the_category instance;
    return instance;
}

} // namespace dcmem

inline std::error_code
make_error_code(dcmem_result result) noexcept
{
    return std::error_code(static_cast<int>(result), dcmem::category());
}

template <> struct std::is_error_code_enum<dcmem_result> : std::true_type {
};

namespace dcmem {

/* A failed call: code(), and what dcmem_last_detail() said when it failed. */
class error : public std::system_error {
  public:
    explicit error(dcmem_result result) : error(result, *dcmem_last_detail())
    {
    }

    error(dcmem_result result, const dcmem_detail &detail)
        : std::system_error(make_error_code(result), detail.result == result ? detail.message : ""), detail_(detail)
    {
        /* The detail may be of an older failure, or of another thread's. */
        if (detail.result != result)
            detail_ = dcmem_detail{result, 0, "", {}};
    }

    dcmem_result result() const noexcept
    {
        return detail_.result;
    }

    dcmem_result_class result_class() const noexcept
    {
        return dcmem_result_class_of(detail_.result);
    }

    const dcmem_detail &detail() const noexcept
    {
        return detail_;
    }

  private:
    dcmem_detail detail_;
};

/* Throws where the result is a failure. */
inline void
check(dcmem_result result)
{
    if (result == DCMEM_OK)
        return;
#ifdef __cpp_exceptions
    throw error(result);
#else
    std::abort();
#endif
}

/* A T, or why there is none. */
template <class T> class outcome {
  public:
    outcome(T &&value) noexcept : value_(std::move(value))
    {
    }

    outcome(dcmem_result failure) noexcept : result_(failure)
    {
    }

    explicit operator bool() const noexcept
    {
        return value_.has_value();
    }

    dcmem_result result() const noexcept
    {
        return result_;
    }

    /* Throws where there is none. */
    T &value() &
    {
        check(result_);
        return *value_;
    }

    T &&value() &&
    {
        check(result_);
        return std::move(*value_);
    }

    /* There must be one. */
    T &operator*() noexcept
    {
        return *value_;
    }

    T *operator->() noexcept
    {
        return &*value_;
    }

  private:
    std::optional<T> value_;
    dcmem_result result_ = DCMEM_OK;
};

/* ---- Managers ---- */

/* Owns a dcmem_manager. A moved-from one owns nothing. */
class manager {
  public:
    /* The CPU, with every choice the library's. */
    manager() : manager(try_create().value())
    {
    }

    explicit manager(const dcmem_manager_options &options) : manager(try_create(&options).value())
    {
    }

    static outcome<manager> try_create(const dcmem_manager_options *options = nullptr) noexcept
    {
        dcmem_manager *made = nullptr;
        if (dcmem_result result = dcmem_manager_create(&made, options))
            return result;
        return adopt(made);
    }

    /* Takes over one that was made in C. */
    static manager adopt(dcmem_manager *made) noexcept
    {
        return manager(made);
    }

    manager(manager &&other) noexcept : handle_(std::exchange(other.handle_, nullptr))
    {
    }

    manager &operator=(manager &&other) noexcept
    {
        if (this != &other) {
            (void)try_close();
            handle_ = std::exchange(other.handle_, nullptr);
        }
        return *this;
    }

    /* What is still live is freed with it, and logged; close() tells of it. */
    ~manager()
    {
        (void)try_close();
    }

    /* Ends it now. Throws DCMEM_E_LEAKED where something was still live; it has ended all the same. */
    void close()
    {
        check(try_close());
    }

    dcmem_result try_close() noexcept
    {
        return dcmem_manager_destroy(std::exchange(handle_, nullptr));
    }

    dcmem_manager *get() const noexcept
    {
        return handle_;
    }

    /* Gives it up without ending it. */
    dcmem_manager *release() noexcept
    {
        return std::exchange(handle_, nullptr);
    }

    dcmem_device_info device_info() const
    {
        dcmem_device_info info{};
        info.size = sizeof info;
        check(dcmem_manager_device_info(&info, handle_));
        return info;
    }

    dcmem_limits limits() const
    {
        dcmem_limits limits{};
        limits.size = sizeof limits;
        check(dcmem_manager_limits(&limits, handle_));
        return limits;
    }

    void set_limit(std::uint64_t bytes)
    {
        check(dcmem_manager_set_limit(handle_, bytes));
    }

    void set_policy(dcmem_policy policy)
    {
        check(dcmem_manager_set_policy(handle_, policy));
    }

    /* Gives free memory back until at most `keep_bytes` are held free; returns what went back. */
    std::uint64_t trim(std::uint64_t keep_bytes = 0)
    {
        std::uint64_t bytes = 0;
        check(dcmem_manager_trim(&bytes, handle_, keep_bytes));
        return bytes;
    }

    dcmem_optimize_report optimize(std::uint64_t budget_bytes = 0, std::uint64_t budget_ns = 0)
    {
        dcmem_optimize_report report{};
        report.size = sizeof report;
        check(dcmem_manager_optimize(&report, handle_, budget_bytes, budget_ns));
        return report;
    }

    void clear()
    {
        check(dcmem_manager_clear(handle_));
    }

    /* Large, hence not on the stack. */
    std::unique_ptr<dcmem_stats> stats() const
    {
        auto stats = std::make_unique<dcmem_stats>();
        stats->size = sizeof *stats;
        check(dcmem_stats_snapshot(stats.get(), handle_));
        return stats;
    }

  private:
    explicit manager(dcmem_manager *made) noexcept : handle_(made)
    {
    }

    dcmem_manager *handle_ = nullptr;
};

/* ---- Accesses ---- */

/* One open access, ended with its scope; aborted, where it writes, if the scope is left by an exception. T is const
 * for reading. The host side is a range of T; the device side has native() only. */
template <class T> class access {
  public:
    access(access &&other) noexcept
        : access_(other.access_), is_open_(std::exchange(other.is_open_, false)), exceptions_(other.exceptions_)
    {
    }

    access &operator=(access &&other) noexcept
    {
        if (this != &other) {
            finish();
            access_ = other.access_;
            is_open_ = std::exchange(other.is_open_, false);
            exceptions_ = other.exceptions_;
        }
        return *this;
    }

    ~access()
    {
        finish();
    }

    /* Ends it now. Where that fails it stays open, and may be closed again or aborted. */
    void close()
    {
        check(try_close());
    }

    dcmem_result try_close() noexcept
    {
        return ended(is_open_ ? dcmem_access_end(&access_) : DCMEM_OK);
    }

    /* Ends it without trusting what was written. */
    void abort()
    {
        check(try_abort());
    }

    dcmem_result try_abort() noexcept
    {
        return ended(is_open_ ? dcmem_access_abort(&access_) : DCMEM_OK);
    }

    T *data() const noexcept
    {
        return static_cast<T *>(access_.host);
    }

    std::size_t size() const noexcept
    {
        return static_cast<std::size_t>(access_.view.bytes / sizeof(T));
    }

    T *begin() const noexcept
    {
        return data();
    }

    T *end() const noexcept
    {
        return data() + (data() ? size() : 0);
    }

    T &operator[](std::size_t i) const noexcept
    {
        return data()[i];
    }

    /* What a kernel is given. */
    const dcmem_native &native() const noexcept
    {
        return access_.native;
    }

    const dcmem_access &c() const noexcept
    {
        return access_;
    }

    static outcome<access> try_begin(const dcmem_view &view, dcmem_side side, dcmem_access_mode mode,
                                     std::uint64_t timeout_ns) noexcept
    {
        dcmem_access opened{};
        if (dcmem_result result = dcmem_access_begin(&opened, view, side, mode, timeout_ns))
            return result;
        return access(opened);
    }

  private:
    explicit access(const dcmem_access &opened) noexcept
        : access_(opened), is_open_(true), exceptions_(std::uncaught_exceptions())
    {
    }

    dcmem_result ended(dcmem_result result) noexcept
    {
        is_open_ = is_open_ && result != DCMEM_OK;
        return result;
    }

    void finish() noexcept
    {
        if (std::uncaught_exceptions() > exceptions_ || try_close() != DCMEM_OK)
            (void)try_abort();
    }

    dcmem_access access_;
    bool is_open_;
    int exceptions_;
};

/* ---- Transfers ---- */

/* A word that says stop, for transfers in any thread. It must outlive them. */
class cancel_word {
  public:
    cancel_word() noexcept = default;
    cancel_word(const cancel_word &) = delete;
    cancel_word &operator=(const cancel_word &) = delete;

    void set() noexcept
    {
        dcmem_cancel_set(&word_);
    }

    void clear() noexcept
    {
        dcmem_cancel_clear(&word_);
    }

    bool is_set() const noexcept
    {
        return dcmem_cancel_is_set(&word_);
    }

    const dcmem_cancel &c() const noexcept
    {
        return word_;
    }

  private:
    dcmem_cancel word_{};
};

/* How a transfer is to be done: dcmem::transfer_options().timeout(1'000'000'000).progress(show).cancel(word). */
class transfer_options {
  public:
    transfer_options() noexcept
    {
        options_.size = sizeof options_;
    }

    transfer_options &timeout(std::uint64_t nanoseconds) noexcept
    {
        options_.timeout_ns = nanoseconds;
        return *this;
    }

    /* `function(done_bytes, total_bytes)` is called as dcmem_transfer_progress says; true goes on. It is not copied and
     * must outlive the transfer; an exception that leaves it ends the program. */
    template <class Function>
    transfer_options &progress(Function &function, std::uint64_t every_bytes = 0, std::uint64_t every_ns = 0) noexcept
    {
        options_.progress = [](void *user, std::uint64_t done, std::uint64_t total) noexcept -> bool {
            return (*static_cast<Function *>(user))(done, total);
        };
        options_.user = const_cast<void *>(static_cast<const void *>(std::addressof(function)));
        options_.progress_bytes = every_bytes;
        options_.progress_ns = every_ns;
        return *this;
    }

    transfer_options &cancel(const cancel_word &word) noexcept
    {
        options_.cancel = &word.c();
        return *this;
    }

    const dcmem_transfer_options &c() const noexcept
    {
        return options_;
    }

  private:
    dcmem_transfer_options options_{};
};

/* The shape of a box, and how it lies in a view or in host memory, in elements. 0 pitches: as tight as can be. */
struct box {
    std::uint64_t width;
    std::uint64_t rows = 1;
    std::uint64_t slices = 1;
};

struct layout {
    std::uint64_t first = 0;
    std::uint64_t row_pitch = 0;
    std::uint64_t slice_pitch = 0;
};

/* Does many transfers in one call; `done` gets how many have arrived in full. */
inline dcmem_result
try_transfer(std::uint64_t &done, const dcmem_transfer *transfers, std::size_t count,
             const transfer_options &options = {}) noexcept
{
    return dcmem_transfer_batch(&done, transfers, count, &options.c());
}

inline void
transfer(const dcmem_transfer *transfers, std::size_t count, const transfer_options &options = {})
{
    std::uint64_t done = 0;
    check(try_transfer(done, transfers, count, options));
}

/* ---- Views ---- */

/* A typed window onto a buffer: a small value that owns nothing. Offsets and counts are in elements. */
template <class T> class view {
    static_assert(std::is_trivially_copyable_v<T> && !std::is_const_v<T>, "bytes are all that devices know");

  public:
    view() noexcept : view_{nullptr, 0, 0, sizeof(T)}
    {
    }

    /* Throws DCMEM_E_MISALIGNED where the bytes are no whole number of T. */
    explicit view(const dcmem_view &untyped) : view(try_from(untyped).value())
    {
    }

    static outcome<view> try_from(const dcmem_view &untyped) noexcept
    {
        view made;
        if (dcmem_result result = dcmem_view_cast(&made.view_, untyped, sizeof(T)))
            return result;
        return made;
    }

    std::size_t size() const noexcept
    {
        return static_cast<std::size_t>(view_.bytes / sizeof(T));
    }

    std::uint64_t size_bytes() const noexcept
    {
        return view_.bytes;
    }

    bool empty() const noexcept
    {
        return view_.bytes == 0;
    }

    const dcmem_view &c() const noexcept
    {
        return view_;
    }

    /* `count` elements from element `first`, of the same bytes. */
    view slice(std::uint64_t first, std::uint64_t count) const
    {
        return std::move(try_slice(first, count)).value();
    }

    outcome<view> try_slice(std::uint64_t first, std::uint64_t count) const noexcept
    {
        view made;
        if (dcmem_result result = dcmem_view_slice(&made.view_, view_, first, count))
            return result;
        return made;
    }

    /* The same bytes as elements of another type. */
    template <class U> view<U> cast() const
    {
        return view<U>(view_);
    }

    /* The host side, until the access ends. `write` means that every element will be written. */
    access<const T> read(std::uint64_t timeout_ns = 0) const
    {
        return try_read(timeout_ns).value();
    }

    access<T> write(std::uint64_t timeout_ns = 0) const
    {
        return try_write(timeout_ns).value();
    }

    access<T> update(std::uint64_t timeout_ns = 0) const
    {
        return try_update(timeout_ns).value();
    }

    outcome<access<const T>> try_read(std::uint64_t timeout_ns = 0) const noexcept
    {
        return access<const T>::try_begin(view_, DCMEM_SIDE_HOST, DCMEM_ACCESS_READ, timeout_ns);
    }

    outcome<access<T>> try_write(std::uint64_t timeout_ns = 0) const noexcept
    {
        return access<T>::try_begin(view_, DCMEM_SIDE_HOST, DCMEM_ACCESS_WRITE, timeout_ns);
    }

    outcome<access<T>> try_update(std::uint64_t timeout_ns = 0) const noexcept
    {
        return access<T>::try_begin(view_, DCMEM_SIDE_HOST, DCMEM_ACCESS_UPDATE, timeout_ns);
    }

    /* The device side, for kernels. */
    access<T> on_device(dcmem_access_mode mode = DCMEM_ACCESS_UPDATE, std::uint64_t timeout_ns = 0) const
    {
        return try_on_device(mode, timeout_ns).value();
    }

    outcome<access<T>> try_on_device(dcmem_access_mode mode = DCMEM_ACCESS_UPDATE,
                                     std::uint64_t timeout_ns = 0) const noexcept
    {
        return access<T>::try_begin(view_, DCMEM_SIDE_DEVICE, mode, timeout_ns);
    }

    /* Host memory holds size() elements. */
    void copy_from(const T *host, std::uint64_t timeout_ns = 0) const
    {
        check(try_copy_from(host, timeout_ns));
    }

    void copy_to(T *host, std::uint64_t timeout_ns = 0) const
    {
        check(try_copy_to(host, timeout_ns));
    }

    void copy_from(const view &other) const
    {
        check(try_copy_from(other));
    }

    void fill(const T &element) const
    {
        check(try_fill(element));
    }

    dcmem_result try_copy_from(const T *host, std::uint64_t timeout_ns = 0) const noexcept
    {
        return dcmem_buffer_copy_in(view_, host, timeout_ns);
    }

    dcmem_result try_copy_to(T *host, std::uint64_t timeout_ns = 0) const noexcept
    {
        return dcmem_buffer_copy_out(host, view_, timeout_ns);
    }

    dcmem_result try_copy_from(const view &other) const noexcept
    {
        return dcmem_buffer_copy(view_, other.view_);
    }

    dcmem_result try_fill(const T &element) const noexcept
    {
        static_assert(sizeof(T) <= 16, "patterns have at most 16 bytes");
        return dcmem_buffer_fill(view_, &element, sizeof(T));
    }

    /* The same, watched. */
    void copy_from(const T *host, const transfer_options &options) const
    {
        check(dcmem_transfer_in(view_, host, &options.c()));
    }

    void copy_to(T *host, const transfer_options &options) const
    {
        check(dcmem_transfer_out(host, view_, &options.c()));
    }

    void copy_from(const view &other, const transfer_options &options) const
    {
        check(dcmem_transfer_copy(view_, other.view_, &options.c()));
    }

    /* Boxes. `here` is the layout in this view. */
    void copy_box_from(const layout &here, const T *host, const layout &there, const box &shape,
                       const transfer_options &options = {}) const
    {
        check(try_copy_box_from(here, host, there, shape, options));
    }

    void copy_box_to(T *host, const layout &there, const layout &here, const box &shape,
                     const transfer_options &options = {}) const
    {
        check(try_copy_box_to(host, there, here, shape, options));
    }

    void copy_box_from(const layout &here, const view &other, const layout &there, const box &shape,
                       const transfer_options &options = {}) const
    {
        check(try_copy_box_from(here, other, there, shape, options));
    }

    dcmem_result try_copy_box_from(const layout &here, const T *host, const layout &there, const box &shape,
                                   const transfer_options &options = {}) const noexcept
    {
        return dcmem_transfer_box_in(view_, bytes_of(here), host, bytes_of(there), bytes_of(shape), &options.c());
    }

    dcmem_result try_copy_box_to(T *host, const layout &there, const layout &here, const box &shape,
                                 const transfer_options &options = {}) const noexcept
    {
        return dcmem_transfer_box_out(host, bytes_of(there), view_, bytes_of(here), bytes_of(shape), &options.c());
    }

    dcmem_result try_copy_box_from(const layout &here, const view &other, const layout &there, const box &shape,
                                   const transfer_options &options = {}) const noexcept
    {
        return dcmem_transfer_box_copy(view_, bytes_of(here), other.view_, bytes_of(there), bytes_of(shape),
                                       &options.c());
    }

    void prefetch(dcmem_side side) const
    {
        check(dcmem_buffer_prefetch(view_, side));
    }

    void synchronize() const
    {
        check(dcmem_buffer_synchronize(view_));
    }

  private:
    /* What does not fit is as large as can be, and refused for that. */
    static std::uint64_t bytes_of(std::uint64_t elements) noexcept
    {
        constexpr std::uint64_t most = std::numeric_limits<std::uint64_t>::max();
        return elements > most / sizeof(T) ? most : elements * sizeof(T);
    }

    static dcmem_layout bytes_of(const layout &of) noexcept
    {
        return dcmem_layout{bytes_of(of.first), bytes_of(of.row_pitch), bytes_of(of.slice_pitch)};
    }

    static dcmem_box bytes_of(const box &of) noexcept
    {
        return dcmem_box{bytes_of(of.width), of.rows, of.slices};
    }

    dcmem_view view_;
};

/* ---- Buffers ---- */

/* Owns a dcmem_buffer. A moved-from one owns nothing. No access of it may be open when it ends. */
class buffer {
  public:
    buffer() noexcept = default;

    buffer(const manager &from, std::uint64_t bytes, const dcmem_buffer_options *options = nullptr)
        : buffer(try_create(from, bytes, options).value())
    {
    }

    static outcome<buffer> try_create(const manager &from, std::uint64_t bytes,
                                      const dcmem_buffer_options *options = nullptr) noexcept
    {
        dcmem_buffer *made = nullptr;
        if (dcmem_result result = dcmem_buffer_create(&made, from.get(), bytes, options))
            return result;
        return adopt(made);
    }

    /* `count` elements of T. */
    template <class T>
    static buffer of(const manager &from, std::uint64_t count, const dcmem_buffer_options *options = nullptr)
    {
        return try_of<T>(from, count, options).value();
    }

    template <class T>
    static outcome<buffer> try_of(const manager &from, std::uint64_t count,
                                  const dcmem_buffer_options *options = nullptr) noexcept
    {
        dcmem_buffer *made = nullptr;
        if (dcmem_result result = dcmem_buffer_create_typed(&made, from.get(), count, sizeof(T), options))
            return result;
        return adopt(made);
    }

    /* A copy of `count` elements. */
    template <class T>
    static buffer copy_of(const manager &from, const T *elements, std::size_t count,
                          const dcmem_buffer_options *options = nullptr)
    {
        return try_copy_of(from, elements, count, options).value();
    }

    template <class T>
    static outcome<buffer> try_copy_of(const manager &from, const T *elements, std::size_t count,
                                       const dcmem_buffer_options *options = nullptr) noexcept
    {
        static_assert(std::is_trivially_copyable_v<T>, "bytes are all that devices know");
        dcmem_buffer *made = nullptr;
        if (dcmem_result result = dcmem_buffer_create_from(&made, from.get(), elements, count * sizeof(T), options))
            return result;
        return adopt(made);
    }

    /* Takes over one that was made in C. */
    static buffer adopt(dcmem_buffer *made) noexcept
    {
        buffer owner;
        owner.handle_ = made;
        return owner;
    }

    buffer(buffer &&other) noexcept : handle_(std::exchange(other.handle_, nullptr))
    {
    }

    buffer &operator=(buffer &&other) noexcept
    {
        if (this != &other) {
            (void)dcmem_buffer_destroy(handle_);
            handle_ = std::exchange(other.handle_, nullptr);
        }
        return *this;
    }

    ~buffer()
    {
        (void)dcmem_buffer_destroy(handle_);
    }

    /* Ends it now. Where that fails (an access is open) it is still owned. */
    void close()
    {
        check(try_close());
    }

    dcmem_result try_close() noexcept
    {
        dcmem_result result = dcmem_buffer_destroy(handle_);
        if (result == DCMEM_OK)
            handle_ = nullptr;
        return result;
    }

    dcmem_buffer *get() const noexcept
    {
        return handle_;
    }

    /* Gives it up without ending it. */
    dcmem_buffer *release() noexcept
    {
        return std::exchange(handle_, nullptr);
    }

    explicit operator bool() const noexcept
    {
        return handle_ != nullptr;
    }

    dcmem_buffer_info info() const
    {
        dcmem_buffer_info info{};
        info.size = sizeof info;
        check(dcmem_buffer_describe(&info, handle_));
        return info;
    }

    std::uint64_t size_bytes() const
    {
        return info().bytes;
    }

    void resize(std::uint64_t bytes)
    {
        check(dcmem_buffer_resize(handle_, bytes));
    }

    void set_tag(dcmem_tag tag)
    {
        check(dcmem_buffer_set_tag(handle_, tag));
    }

    /* The whole of it as elements of T. */
    template <class T> dcmem::view<T> view() const
    {
        return try_view<T>().value();
    }

    template <class T> outcome<dcmem::view<T>> try_view() const noexcept
    {
        dcmem_view typed{};
        if (dcmem_result result = dcmem_view_typed(&typed, handle_, sizeof(T)))
            return result;
        return dcmem::view<T>::try_from(typed);
    }

  private:
    dcmem_buffer *handle_ = nullptr;
};

/* ---- Raw memory for containers ---- */

/* A std::pmr resource over a manager's raw memory, which the host must be able to touch. The manager must outlive it
 * and everything allocated from it. Threads: any, several at once. */
class memory_resource final : public std::pmr::memory_resource {
  public:
    /* Throws DCMEM_E_UNSUPPORTED for a device whose memory is not the host's. */
    explicit memory_resource(const manager &from) : memory_resource(from.get())
    {
    }

    explicit memory_resource(dcmem_manager *from) : handle_(from)
    {
        check(check_reach(from));
    }

    dcmem_manager *get() const noexcept
    {
        return handle_;
    }

    /* DCMEM_OK where the host can touch what this manager's raw calls give. */
    static dcmem_result check_reach(dcmem_manager *manager) noexcept
    {
        constexpr std::uint64_t wanted = DCMEM_CAP_UNIFIED | DCMEM_CAP_ADDRESSED;
        dcmem_device_info info{};
        info.size = sizeof info;
        if (dcmem_result result = dcmem_manager_device_info(&info, manager))
            return result;
        if ((info.capabilities & wanted) == wanted && info.flush_bytes == 0)
            return DCMEM_OK;
        return dcmem_backend_fail(DCMEM_E_UNSUPPORTED, "", 0, "the host cannot touch raw memory of %s", info.backend);
    }

  private:
    [[noreturn]] static void give_up()
    {
#ifdef __cpp_exceptions
        throw std::bad_alloc();
#else
        std::abort();
#endif
    }

    /* std::bad_alloc; dcmem_last_detail() says why. */
    void *do_allocate(std::size_t bytes, std::size_t alignment) override
    {
        constexpr std::size_t given = 64; /* by dcmem_raw_allocate() to every block */
        std::size_t some = bytes ? bytes : 1;
        void *block = alignment <= given ? dcmem_raw_allocate(handle_, some)
                                         : dcmem_raw_allocate_aligned(handle_, some, alignment);
        return block ? block : (give_up(), nullptr);
    }

    /* A wrong free is the program's fault; dcmem_last_detail() says which. */
    void do_deallocate(void *block, std::size_t, std::size_t) override
    {
        (void)dcmem_raw_free(handle_, block);
    }

    bool do_is_equal(const std::pmr::memory_resource &other) const noexcept override
    {
#ifdef __cpp_rtti
        const auto *same = dynamic_cast<const memory_resource *>(&other);
        return same && same->handle_ == handle_;
#else
        return this == &other;
#endif
    }

    dcmem_manager *handle_;
};

/* A classic allocator over a manager's raw memory, for containers that take one as a type. */
template <class T> class allocator {
  public:
    using value_type = T;

    explicit allocator(const manager &from) : handle_(from.get())
    {
        check(memory_resource::check_reach(handle_));
    }

    template <class U> allocator(const allocator<U> &other) noexcept : handle_(other.get())
    {
    }

    T *allocate(std::size_t count)
    {
        if (count > std::numeric_limits<std::size_t>::max() / sizeof(T))
            give_up<std::bad_array_new_length>();
        std::size_t bytes = count ? count * sizeof(T) : 1;
        void *block = alignof(T) <= 64 ? dcmem_raw_allocate(handle_, bytes)
                                       : dcmem_raw_allocate_aligned(handle_, bytes, alignof(T));
        if (!block)
            give_up<std::bad_alloc>();
        return static_cast<T *>(block);
    }

    void deallocate(T *block, std::size_t) noexcept
    {
        (void)dcmem_raw_free(handle_, block);
    }

    dcmem_manager *get() const noexcept
    {
        return handle_;
    }

    template <class U> bool operator==(const allocator<U> &other) const noexcept
    {
        return handle_ == other.get();
    }

    template <class U> bool operator!=(const allocator<U> &other) const noexcept
    {
        return handle_ != other.get();
    }

  private:
    template <class Exception> [[noreturn]] static void give_up()
    {
#ifdef __cpp_exceptions
        throw Exception();
#else
        std::abort();
#endif
    }

    dcmem_manager *handle_;
};

} // namespace dcmem

#endif
