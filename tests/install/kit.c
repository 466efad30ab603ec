/* kit.c: somebody else's test program: the testing kit is there and fits the library. */
#include <dcmem/dcmem.h>
#include <dcmem/testing.h>

int
main(void)
{
    return dcmem_version()[0] ? 0 : 1;
}
