/* carry_test.c: which way a copy goes: every combination of two devices, host memory, and what the host can touch. */
#include "buffer/carry.h"

#include "test.h"

TEST(route__is_the_driver_that_can_reach_both_ends_and_a_detour_only_where_none_can)
{
    dcmi_device a, b;
    char host[1];
    static const struct {
        int to, to_host, from, from_host; /* device 0: the host's own memory */
        dcmi_route wanted;
    } cases[] = {
        {1, 0, 1, 0, DCMI_ROUTE_TO},     /* within a device */
        {1, 1, 1, 1, DCMI_ROUTE_TO},     /* within a unified one */
        {1, 0, 0, 1, DCMI_ROUTE_TO},     /* in from the caller's memory */
        {0, 1, 1, 0, DCMI_ROUTE_FROM},   /* out to the caller's memory */
        {1, 0, 2, 1, DCMI_ROUTE_TO},     /* from memory that the host can touch */
        {1, 1, 2, 1, DCMI_ROUTE_TO},     /* between two unified devices */
        {1, 1, 2, 0, DCMI_ROUTE_FROM},   /* to memory that the host can touch */
        {1, 0, 2, 0, DCMI_ROUTE_STAGED}, /* between two memories that only their own drivers know */
    };
    const dcmi_device *devices[] = {NULL, &a, &b};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        EXPECT_EQ(dcmi_route_choose(devices[cases[i].to], cases[i].to_host ? host : NULL, devices[cases[i].from],
                                    cases[i].from_host ? host : NULL),
                  cases[i].wanted);
}

TEST(site__further_on_is_further_on_for_the_host_too)
{
    char host[16];
    dcmi_site site = dcmi_site_at(&(dcmi_site){.place = {.offset = 100, .host = host}}, 5);
    EXPECT_EQ(site.place.offset, 105);
    EXPECT(site.place.host == host + 5);
    site = dcmi_site_at(&(dcmi_site){.place = {.offset = 100}}, 1ull << 40);
    EXPECT_EQ(site.place.offset, (1ull << 40) + 100);
    EXPECT(!site.place.host);
}
