/* How long a call may wait, and who may end it early: given to every call that waits for a broker.
 *
 * `stopped` is asked at least every 100 ms (NULL = never); when it answers true the call returns
 * ERR_STOPPED. */
#ifndef PATIENCE_H
#define PATIENCE_H

#include <stdbool.h>
#include <stdint.h>

struct patience {
    int64_t timeout_ms; /* from the call on; −1 = without end */
    bool (*stopped)(void *);
    void *arg;
};

#endif
