/* files.h: a system's files of the test's own, which the library reads instead of the machine's. */
#ifndef DCMI_TEST_FILES_H
#define DCMI_TEST_FILES_H

#include "test.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>

/* Of base/os.h. */
extern const char *dcmi_os_root;

static char files_root[128];

/* Writes a file of that absolute path, with its folders. */
static inline void
files_put(const char *path, const char *text)
{
    char name[512];
    snprintf(name, sizeof name, "%s%s", files_root, path);
    for (char *slash = strchr(name + strlen(files_root) + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        EXPECT(mkdir(name, 0755) == 0 || errno == EEXIST);
        *slash = '/';
    }
    FILE *file = fopen(name, "w");
    EXPECT(file != NULL);
    fputs(text, file);
    fclose(file);
}

static inline void
files_begin(void)
{
    const char *folder = getenv("TMPDIR");
    snprintf(files_root, sizeof files_root, "%s/dcmem-files-XXXXXX", folder ? folder : "/tmp");
    EXPECT(mkdtemp(files_root) != NULL);
    dcmi_os_root = files_root;
}

static inline void
files_end(void)
{
    char command[160];
    dcmi_os_root = "";
    snprintf(command, sizeof command, "rm -r '%s'", files_root);
    EXPECT_EQ(system(command), 0);
}

#endif
