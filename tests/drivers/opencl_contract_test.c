/* opencl_contract_test.c: the contract suite on OpenCL devices that this machine has not: the stand-in in their shapes.
 *
 * Where it is non-coherent, what was mapped and not flushed, or not read anew, shows as wrong bytes. */
#include "backend/contract_suite.h"
#include "opencl.h"

static contract_subject
subject_of(stand_in_shape shape)
{
    (void)stand_in_use(shape);
    return (contract_subject){.backend = opencl(), .options = plain};
}

#define SHAPE(name, shape)                                                                                             \
    static contract_subject name##_subject(void)                                                                       \
    {                                                                                                                  \
        return subject_of(shape);                                                                                      \
    }                                                                                                                  \
    CONTRACT_TESTS(name, name##_subject)

SHAPE(processor, processor)
SHAPE(integrated, integrated())
SHAPE(discrete, discrete())

/* The pointers of the host lie askew, too. */
static stand_in_shape
askew(void)
{
    stand_in_shape shape = processor;
    shape.skew_bytes = 128;
    return shape;
}
SHAPE(askew, askew())

/* Says that its memory is the host's, and copies what is mapped. */
static stand_in_shape
copying(void)
{
    stand_in_shape shape = processor;
    shape.moves_maps = true;
    shape.skew_bytes = 256;
    return shape;
}
SHAPE(copying, copying())

/* The last call is the last word: nothing that any of the clauses made is left. */
TEST(stand_in__holds_nothing_when_all_clauses_are_done)
{
    stand_in *(*get)(void);
    void *library = dlopen(dcmi_cl_library_name, RTLD_NOW | RTLD_LOCAL);
    EXPECT(library != NULL);
    void *found = dlsym(library, "stand_in_get");
    memcpy(&get, &found, sizeof get);
    EXPECT_NOTHING_LIVES(get());
}
