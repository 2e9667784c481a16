/* The job's clock: wall time at start, or just after the last time in the ledger when that is
 * later; from then on it advances by CLOCK_BOOTTIME and never goes back. Time comes in through the
 * functions below, so that tests bring their own. Main thread. */
#ifndef CLOCK_H
#define CLOCK_H

#include <stdint.h>

struct clock_source {
    int64_t (*boot_ms)(void *arg); /* CLOCK_BOOTTIME */
    int64_t (*wall_ms)(void *arg); /* CLOCK_REALTIME */
    void *arg;
};

extern const struct clock_source CLOCK_SYSTEM;

struct job_clock {
    struct clock_source source;
    int64_t base_ms; /* job clock − boot time */
};

/* `last_ms`: the latest job-clock time in the ledger, 0 = none. */
void clock_init(struct job_clock *clock, const struct clock_source *source, int64_t last_ms);

int64_t clock_now_ms(const struct job_clock *clock);  /* job clock */
int64_t clock_wall_ms(const struct job_clock *clock); /* for labels only */

#endif
