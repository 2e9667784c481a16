/* Named places where a test can kill the process or make a call fail. Builds for tests only
 * (ONCESINK_FAILPOINTS); elsewhere the calls vanish.
 *
 * ONCESINK_FAILPOINT=NAME:ACTION[@NTH] in the environment: at the NTH pass (1, the default, is
 * the first) the place does ACTION: `kill` (SIGKILL to itself), `error` (failpoint() answers
 * true and the caller behaves as if its call had failed; only where the caller looks at the
 * answer), `hang` (never returns), `term` (SIGTERM to itself, with the wall time of it on
 * stderr, and goes on). ONCESINK_DEADLINE_MS=N: the watchdog bites after N ms, not after half a
 * minute. ONCESINK_WITHOUT=RULE takes a safety step out, so that a test can show what it is for
 * (taint: T2). ONCESINK_RECORD_DELAY_US=N stretches a batch by N µs a record.
 * ONCESINK_CLOCK_SPEED=N lets the job clock (clock.h; no other) run N times as fast.
 * ONCESINK_CLOCK_JUMP=FILE: the job clock, and no other, is so many ms ahead as stand in the
 * file at that moment: it jumps as over a suspend. The names are listed in failpoint.c; a name
 * that isn't there is a defect (asserted). Main thread only. */
#ifndef FAILPOINT_H
#define FAILPOINT_H

#include <stdbool.h>
#include <stdint.h>

#ifdef ONCESINK_FAILPOINTS
bool failpoint(const char *name);
void failpoint_delay_record(void);
/* How many records a loop may send before it looks around: fewer than `most` when each is
 * delayed. */
unsigned failpoint_slice(unsigned most);
bool failpoint_without(const char *rule);
int64_t failpoint_clock_ms(int64_t boot_ms); /* what the job clock takes for the boot time */
int64_t failpoint_deadline(int64_t most_ms); /* shorter when the test says so */
void failpoint_list(void);                   /* the names, one a line, on stdout */
#else
static inline bool failpoint(const char *name)
{
    (void)name;
    return false;
}
static inline bool failpoint_without(const char *rule)
{
    (void)rule;
    return false;
}
static inline void failpoint_delay_record(void)
{
}
static inline unsigned failpoint_slice(unsigned most)
{
    return most;
}
static inline int64_t failpoint_clock_ms(int64_t boot_ms)
{
    return boot_ms;
}
static inline int64_t failpoint_deadline(int64_t most_ms)
{
    return most_ms;
}
#endif

#endif
