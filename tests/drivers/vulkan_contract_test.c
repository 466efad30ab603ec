/* vulkan_contract_test.c: the contract suite on Vulkan devices that this machine has not: the stand-in in their shapes.
 *
 * Where it is non-coherent, what was mapped and not flushed, or not read anew, shows as wrong bytes. */
#include "backend/contract_suite.h"
#include "vulkan.h"

static contract_subject
subject_of(stand_in_shape shape)
{
    (void)stand_in_use(shape);
    return (contract_subject){.backend = vulkan(), .options = plain};
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
SHAPE(sparse, sparse())

/* The last call is the last word: nothing that any of the clauses made is left. */
TEST(stand_in__holds_nothing_when_all_clauses_are_done)
{
    stand_in *(*get)(void);
    stand_in_find(&get, "stand_in_get");
    EXPECT_NOTHING_LIVES(get());
}
