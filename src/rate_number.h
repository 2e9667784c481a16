/* Numbers of the rates, cut to whole records. Pure; any thread. */
#ifndef RATE_NUMBER_H
#define RATE_NUMBER_H

#include <stdint.h>

/* As Java casts: NaN is 0, what is too large or too small is the nearest number. */
int64_t rate_number_truncated(double number);

#endif
