/* dcmem/version.h: which dcmem this is. */
#ifndef DCMEM_VERSION_H
#define DCMEM_VERSION_H

#include <dcmem/base.h>

DCMEM_BEGIN

#define DCMEM_VERSION_MAJOR 0
#define DCMEM_VERSION_MINOR 1
#define DCMEM_VERSION_PATCH 0
#define DCMEM_VERSION       "0.1.0"

/* The version of the library that is loaded, as DCMEM_VERSION is of the headers. Static.
 * Threads: any. Errors: none. */
DCMEM_API const char *dcmem_version(void);

/* How the loaded library was built: compiler, options that change behaviour. One line, static.
 * Threads: any. Errors: none. */
DCMEM_API const char *dcmem_build(void);

DCMEM_END
#endif
