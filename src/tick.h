/* When the next batch is due. Ticks are multiples of the interval on the job's clock. Pure. */
#ifndef TICK_H
#define TICK_H

#include <stdbool.h>
#include <stdint.h>

enum { TICK_MISSED_MAX = 10 };

struct tick {
    int64_t interval_ms; /* 0: due as soon as the last batch is settled */
    int64_t next_ms;
};

/* The first tick is (floor(now / interval) + 1) × interval. */
void tick_init(struct tick *tick, int64_t interval_ms, int64_t now_ms);

/* The same for a job that shall begin at once: the tick of the interval that it is now is due,
 * unless a batch may have had it, the last of which ended (or began) at `last_ms`: starts one
 * after another don't lift a cap. */
void tick_init_at_once(struct tick *tick, int64_t interval_ms, int64_t now_ms, int64_t last_ms);

/* Milliseconds until the next tick, 0 when it is due. */
int64_t tick_wait(const struct tick *tick, int64_t now_ms);

/* The due tick that the batch belongs to. More than TICK_MISSED_MAX late ticks collapse into the
 * newest due one: *collapsed_out tells how many were dropped (0 as a rule). With interval 0 it is
 * now_ms. */
int64_t tick_take(struct tick *tick, int64_t now_ms, int64_t *collapsed_out);

/* The tick just taken found nothing to read: further late ticks collapse into it. */
void tick_empty(struct tick *tick, int64_t now_ms);

#endif
