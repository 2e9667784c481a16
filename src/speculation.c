/* Which read tasks of a batch are slow. See the header for the rule. */
#include "speculation.h"

#include "mem.h"

#include <assert.h>
#include <stdlib.h>

static int compare_ms(const void *left, const void *right)
{
    int64_t a = *(const int64_t *)left;
    int64_t b = *(const int64_t *)right;

    return a < b ? -1 : a > b;
}

/* Sorts the values. */
static double median(int64_t *values, size_t count)
{
    size_t middle = count / 2;

    assert(count > 0);
    qsort(values, count, sizeof(values[0]), compare_ms);
    if (count % 2 == 1) {
        return (double)values[middle];
    }
    return ((double)values[middle - 1] + (double)values[middle]) / 2;
}

/* What a running task must exceed; negative: too few are finished to tell. */
static double threshold(const struct speculation_settings *settings,
                        const struct speculation_task *tasks, size_t count)
{
    int64_t *finished = mem_array(count, sizeof(*finished));
    size_t done = 0;
    size_t enough = (size_t)(settings->quantile * (double)count);
    double limit = -1;

    for (size_t i = 0; i < count; i++) {
        if (tasks[i].finished) {
            finished[done++] = tasks[i].run_ms;
        }
    }
    if (done >= (enough > 0 ? enough : 1)) {
        double least = (double)settings->min_runtime_ms;

        limit = settings->multiplier * median(finished, done);
        limit = limit > least ? limit : least;
    }
    free(finished);
    return limit;
}

size_t speculation_slow(const struct speculation_settings *settings,
                        const struct speculation_task *tasks, size_t count, size_t *slow)
{
    size_t found = 0;
    double limit;

    assert(settings->quantile >= 0 && settings->quantile <= 1);
    if (!settings->enabled || count < 2) {
        return 0;
    }
    limit = threshold(settings, tasks, count);
    for (size_t i = 0; limit >= 0 && i < count; i++) {
        if (!tasks[i].finished && !tasks[i].hedged && (double)tasks[i].run_ms > limit) {
            slow[found++] = i;
        }
    }
    return found;
}

void speculation_clock_reset(struct speculation_clock *clock, int64_t now_ms)
{
    *clock = (struct speculation_clock){.asked_ms = now_ms, .waiting = true};
}

void speculation_clock_asked(struct speculation_clock *clock, bool had_some, int64_t now_ms)
{
    int64_t passed_ms = now_ms - clock->asked_ms;

    assert(passed_ms >= 0);
    if (clock->waiting) {
        bool unseen = had_some && passed_ms > SPECULATION_LOOK_MS;

        clock->run_ms += unseen ? SPECULATION_LOOK_MS : passed_ms;
    }
    clock->waiting = !had_some;
    clock->asked_ms = now_ms;
}
