/* Waiting for a broker with patience (patience.h): in short slices, asking `stopped` in between,
 * and telling once that it lasts. Main thread. */
#ifndef WAIT_H
#define WAIT_H

#include "err.h"
#include "patience.h"

enum { WAIT_SLICE_MS = 50 };

struct wait {
    const struct patience *patience;
    int64_t begun_ms;
    bool told;
};

/* `patience` is borrowed; NULL waits without end. */
void wait_init(struct wait *wait, const struct patience *patience);

/* May it go on? ERR_STOPPED when asked to stop, ERR_TEMPORARY when the time is over. */
MUST_CHECK bool wait_check(const struct wait *wait, struct err *err);

/* Sleeps pause_ms after the trouble in `err`, which is logged once when it has lasted for some
 * seconds. Errors as wait_check's; a time-out keeps the trouble's words. */
MUST_CHECK bool wait_pause(struct wait *wait, int64_t pause_ms, struct err *err);

/* It worked: says so when the trouble had been logged. */
void wait_over(const struct wait *wait, const char *what);

/* CLOCK_MONOTONIC. Any thread. */
int64_t wait_now_ms(void);
int64_t wait_now_us(void);

#endif
