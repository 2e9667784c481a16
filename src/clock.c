/* The job's clock: an offset to the boot clock, fixed at start. The boot clock counts a suspend and
 * knows no steps; the offset makes its readings look like wall time and keeps them above whatever
 * the ledger has seen. */
#include "clock.h"

#include "failpoint.h"

#include <assert.h>
#include <time.h>

static int64_t read_ms(clockid_t id)
{
    struct timespec now;
    int failed = clock_gettime(id, &now);

    assert(failed == 0);
    (void)failed;
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static int64_t system_boot_ms(void *arg)
{
    (void)arg;
    return failpoint_clock_ms(read_ms(CLOCK_BOOTTIME));
}

static int64_t system_wall_ms(void *arg)
{
    (void)arg;
    return read_ms(CLOCK_REALTIME);
}

const struct clock_source CLOCK_SYSTEM = {.boot_ms = system_boot_ms, .wall_ms = system_wall_ms};

void clock_init(struct job_clock *clock, const struct clock_source *source, int64_t last_ms)
{
    int64_t start_ms = source->wall_ms(source->arg);

    if (last_ms > 0 && start_ms <= last_ms) {
        start_ms = last_ms + 1;
    }
    *clock = (struct job_clock){
        .source = *source,
        .base_ms = start_ms - source->boot_ms(source->arg),
    };
}

int64_t clock_now_ms(const struct job_clock *clock)
{
    return clock->base_ms + clock->source.boot_ms(clock->source.arg);
}

int64_t clock_wall_ms(const struct job_clock *clock)
{
    return clock->source.wall_ms(clock->source.arg);
}
