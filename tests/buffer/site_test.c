/* carry_test.c: sites. */
#include "buffer/site.h"

#include "test.h"

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
