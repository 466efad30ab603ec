/* reference.h: what a developed picture is, computed once more and in another way, for the tests to compare with. */
#ifndef REFERENCE_H
#define REFERENCE_H

#include "image.h"

/* Ends the program when there is no memory. */
void reference_develop(image *out, const image *picture);

#endif
