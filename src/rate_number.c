/* A plain cast of a double that doesn't fit is undefined in C; here it isn't. */
#include "rate_number.h"

int64_t rate_number_truncated(double number)
{
    if (number != number) {
        return 0;
    }
    if (number >= 0x1p63) {
        return INT64_MAX;
    }
    if (number < -0x1p63) {
        return INT64_MIN;
    }
    return (int64_t)number;
}
