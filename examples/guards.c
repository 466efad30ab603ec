/* guards.c: a program with three mistakes, and what the guards say of them. Run by itself, it shows the lines; run a
 * program of yours that knows nothing of guards with DCMEM_GUARDS=all in the environment. */
#include <dcmem/dcmem.h>
#include <dcmem/testing.h>
#include <stdio.h>
#include <string.h>

#define WEIGHTS 1u /* tags are the program's own numbers */
#define PIXELS  2u

static void
show(const char *what, dcmem_result result)
{
    printf("%s: %s\n", what, dcmem_result_name(result));
    if (result)
        printf("    %s\n", dcmem_last_detail()->message);
}

static bool
list(void *user, const dcmem_allocation *allocation)
{
    (void)user;
    printf("    tag %u, %llu bytes%s\n", allocation->tag, (unsigned long long)allocation->bytes,
           allocation->is_host_side ? ", host side" : "");
    return true;
}

static dcmem_buffer *
make(dcmem_manager *manager, uint64_t bytes, dcmem_tag tag)
{
    dcmem_buffer *buffer = NULL;
    dcmem_buffer_options options = {.size = sizeof options, .tag = tag};
    if (dcmem_buffer_create(&buffer, manager, bytes, &options))
        puts(dcmem_last_detail()->message);
    return buffer;
}

/* What a kernel with a wrong bound does: it writes four bytes where the buffer has but one left. */
static void
run_kernel(const dcmem_backend *device, dcmem_buffer *buffer)
{
    dcmem_native face;
    if (dcmem_buffer_pin(&face, buffer))
        return;
    uint64_t last = face.bytes - 1;
    face.bytes += 3;
    if (dcmem_simulated_write(device, 0, &face, last, "\x01\x02\x03\x04", 4) || dcmem_buffer_unpin(buffer))
        puts(dcmem_last_detail()->message);
}

int
main(void)
{
    /* A device whose memory the host cannot touch. */
    dcmem_backend *device;
    dcmem_simulated_profile profile = dcmem_simulated_profile_of(DCMEM_SIMULATED_DEVICE_DISCRETE);
    dcmem_manager *manager;
    dcmem_manager_options options = {.size = sizeof options, .guards = DCMEM_GUARD_ALL};
    if (dcmem_simulated_create(&device, &profile, 1))
        return 1;
    options.driver = device;
    if (dcmem_manager_create(&manager, &options)) {
        puts(dcmem_last_detail()->message);
        return 1;
    }

    dcmem_buffer *weights = make(manager, 1000, WEIGHTS), *pixels = make(manager, 5000, PIXELS);
    puts("live:");
    if (dcmem_guard_live(manager, list, NULL))
        return 1;

    run_kernel(device, weights);
    show("check after a kernel", dcmem_guard_check(manager));

    dcmem_access access;
    if (dcmem_access_begin(&access, dcmem_view_whole(weights), DCMEM_SIDE_HOST, DCMEM_ACCESS_WRITE, 0))
        return 1;
    memset(access.host, 0, 1001);
    show("end of the access", dcmem_access_end(&access));
    show("destroy weights", dcmem_buffer_destroy(weights));

    (void)pixels; /* forgotten */
    show("end of the manager", dcmem_manager_destroy(manager));
    return dcmem_simulated_destroy(device) ? 1 : 0;
}
