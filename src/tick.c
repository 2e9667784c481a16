/* The ticks of a job.
 *
 *     tick_init ─► tick_wait… ─► tick_take ─► (tick_empty: there was nothing to read) ─► tick_wait…
 *
 * A tick is due when its time has come, and late when the next one's has come too. Late ticks run
 * one after another, so that a cap per second keeps its meaning; but after a long pause they
 * collapse, or a cap would be lifted just when things come back. */
#include "tick.h"

#include <assert.h>

static int64_t next_after(int64_t interval_ms, int64_t now_ms)
{
    return (now_ms / interval_ms + 1) * interval_ms;
}

void tick_init(struct tick *tick, int64_t interval_ms, int64_t now_ms)
{
    assert(interval_ms >= 0);
    assert(now_ms >= 0);
    *tick = (struct tick){
        .interval_ms = interval_ms,
        .next_ms = interval_ms > 0 ? next_after(interval_ms, now_ms) : now_ms,
    };
}

void tick_init_at_once(struct tick *tick, int64_t interval_ms, int64_t now_ms, int64_t last_ms)
{
    tick_init(tick, interval_ms, now_ms);
    if (tick->next_ms - interval_ms > last_ms) {
        tick->next_ms -= interval_ms;
    }
}

int64_t tick_wait(const struct tick *tick, int64_t now_ms)
{
    if (tick->interval_ms == 0 || now_ms >= tick->next_ms) {
        return 0;
    }
    return tick->next_ms - now_ms;
}

int64_t tick_take(struct tick *tick, int64_t now_ms, int64_t *collapsed_out)
{
    int64_t late;
    int64_t taken;

    *collapsed_out = 0;
    if (tick->interval_ms == 0) {
        return now_ms;
    }
    assert(now_ms >= tick->next_ms);
    taken = tick->next_ms;
    late = (now_ms - taken) / tick->interval_ms;
    if (late > TICK_MISSED_MAX) {
        taken += late * tick->interval_ms;
        *collapsed_out = late;
    }
    tick->next_ms = taken + tick->interval_ms;
    return taken;
}

void tick_empty(struct tick *tick, int64_t now_ms)
{
    if (tick->interval_ms > 0 && now_ms >= tick->next_ms) {
        tick->next_ms = next_after(tick->interval_ms, now_ms);
    }
}
