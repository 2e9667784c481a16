/* Which read tasks of a batch are slow, and get a second consumer (limits.md §5). A read task is
 * one partition's range in one batch. Pure: no clock, no client.
 *
 *     speculation_clock_reset → speculation_clock_asked… → speculation_slow
 *
 * Spark's rule (TaskSetManager): once max(floor(quantile × tasks), 1) tasks are finished, a running
 * one is slow when it has run longer than max(multiplier × the finished ones' median, min runtime).
 * A single task is never slow. The median of an even number is the mean of the middle two.
 *
 * What a task's run time is: how long its records were waited for. Not the time since the batch
 * began: one thread sends what all tasks bring, so a task whose records lie there while the
 * output is full, or while another task's are sent, would look slow, and a second consumer would
 * only bring the same records once more. For tasks that the broker holds up the two are the
 * same. */
#ifndef SPECULATION_H
#define SPECULATION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct speculation_settings {
    bool enabled;
    double quantile;   /* 0 … 1 */
    double multiplier; /* > 0 */
    int64_t interval_ms;
    int64_t min_runtime_ms;
};

struct speculation_task {
    bool finished;
    bool hedged; /* it has had its second consumer in this batch: never slow again */
    int64_t run_ms;
};

/* Writes the indices of the tasks that are slow now into `slow` (room for `count`), ascending;
 * returns how many. */
size_t speculation_slow(const struct speculation_settings *settings,
                        const struct speculation_task *tasks, size_t count, size_t *slow);

/* How long a task was waited for. */
struct speculation_clock {
    int64_t run_ms;
    int64_t asked_ms; /* when it was last asked for records */
    bool waiting;     /* and had none */
};

/* The batch begins: the task counts as asked now. */
void speculation_clock_reset(struct speculation_clock *clock, int64_t now_ms);

/* The task was asked for records, and had some or had none. What lies between two asks that both
 * found nothing was waited for. When the second one finds something it may have come long before,
 * while nobody looked: at most SPECULATION_LOOK_MS of that count. */
enum { SPECULATION_LOOK_MS = 100 };
void speculation_clock_asked(struct speculation_clock *clock, bool had_some, int64_t now_ms);

#endif
