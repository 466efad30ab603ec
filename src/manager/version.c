/* version.c: which dcmem this is and how it was built. */
#include <dcmem/version.h>

#ifdef DCMI_PORTABLE_FENCES
#define FENCES "portable fences"
#else
#define FENCES "membarrier"
#endif

#ifdef DCMI_HARDENED
#define HARDENED ", hardened"
#else
#define HARDENED ""
#endif

#ifdef DCMI_NO_STATS
#define STATS ", no statistics (for measuring only)"
#else
#define STATS ""
#endif

#ifdef DCMI_NO_CHECKS
#define CHECKS ", no checks (for measuring only)"
#else
#define CHECKS ""
#endif

const char *
dcmem_version(void)
{
    return DCMEM_VERSION;
}

const char *
dcmem_build(void)
{
    return "C " __VERSION__ ", " FENCES HARDENED STATS CHECKS;
}
