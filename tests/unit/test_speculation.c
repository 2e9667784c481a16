/* Which read tasks are slow, and how long a task was waited for. */
#include "speculation.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

enum { TASKS_MAX = 9, HEDGED = 1000000 };

static const struct speculation_settings DEFAULTS = {
    .enabled = true,
    .quantile = 0.75,
    .multiplier = 1.5,
    .interval_ms = 100,
    .min_runtime_ms = 100,
};

struct line {
    const char *why;
    double quantile; /* 0 = default */
    double multiplier;
    int64_t min_runtime_ms; /* −1 = default */
    int64_t finished[TASKS_MAX];
    size_t finished_count;
    int64_t running[TASKS_MAX]; /* HEDGED + run time: had one already */
    size_t running_count;
    unsigned slow; /* bit i: running[i] */
};

static const struct line TABLE[] = {
    {"two of three are enough, floor(0.75 × 3)", 0, 0, -1, {10, 20}, 2, {101}, 1, 1},
    {"one of three is not", 0, 0, -1, {10}, 1, {101, 5000}, 2, 0},
    {"three of four", 0, 0, -1, {10, 10, 10}, 3, {101}, 1, 1},
    {"two of four are too few", 0, 0, -1, {10, 10}, 2, {9000, 9000}, 2, 0},
    {"one of two, floor(1.5)", 0, 0, -1, {10}, 1, {101}, 1, 1},
    {"a single task is compared with nothing", 0, 0, -1, {0}, 0, {90000}, 1, 0},
    {"none is finished", 0, 0, -1, {0}, 0, {90000, 90000}, 2, 0},
    {"one at least, at a quantile of next to nothing", 1e-9, 0, -1, {0}, 0, {9000, 9000}, 2, 0},
    {"and then it is enough", 1e-9, 0, -1, {10}, 1, {9000, 50}, 2, 1},
    {"quantile 1: all of them, so never", 1, 0, -1, {10, 10, 10}, 3, {9000}, 1, 0},
    {"longer than the min runtime, not as long", 0, 0, -1, {10, 20}, 2, {100}, 1, 0},
    {"longer than 1.5 x the median, not as long", 0, 0, -1, {200, 200}, 2, {300}, 1, 0},
    {"one more", 0, 0, -1, {200, 200}, 2, {301}, 1, 1},
    {"the median of two is between them", 0, 0, -1, {200, 400}, 2, {450}, 1, 0},
    {"and one more", 0, 0, -1, {200, 400}, 2, {451}, 1, 1},
    {"a mean with a half: 1.5 x 200.5 = 300.75", 0, 0, -1, {200, 201}, 2, {300}, 1, 0},
    {"above 300.75", 0, 0, -1, {200, 201}, 2, {301}, 1, 1},
    {"of three the middle one, in any order", 0, 0, -1, {900, 100, 200}, 3, {300}, 1, 0},
    {"above it", 0, 0, -1, {900, 100, 200}, 3, {301}, 1, 1},
    {"of four the mean of 200 and 300", 0, 0, -1, {900, 200, 300, 100}, 4, {375}, 1, 0},
    {"above 375", 0, 0, -1, {900, 200, 300, 100}, 4, {376}, 1, 1},
    {"each that is slow", 0, 0, -1, {10, 10, 10, 10, 10, 10}, 6, {500, 50, 101}, 3, 1 | 4},
    {"once a batch", 0, 0, -1, {10, 10, 10, 10, 10, 10}, 6, {HEDGED + 500, 101}, 2, 2},
    {"another multiplier", 0, 3, -1, {100, 100}, 2, {300}, 1, 0},
    {"above it", 0, 3, -1, {100, 100}, 2, {301}, 1, 1},
    {"no min runtime: whatever was waited for", 0, 0, 0, {0, 0}, 2, {1}, 1, 1},
    {"but not what wasn't", 0, 0, 0, {0, 0}, 2, {0}, 1, 0},
};

static void the_table_of_who_is_slow(void **state)
{
    (void)state;
    for (size_t n = 0; n < sizeof(TABLE) / sizeof(TABLE[0]); n++) {
        const struct line *line = &TABLE[n];
        struct speculation_settings settings = DEFAULTS;
        struct speculation_task tasks[2 * TASKS_MAX] = {0};
        size_t slow[2 * TASKS_MAX];
        unsigned bits = 0;
        size_t found;

        settings.quantile = line->quantile > 0 ? line->quantile : settings.quantile;
        settings.multiplier = line->multiplier > 0 ? line->multiplier : settings.multiplier;
        settings.min_runtime_ms =
            line->min_runtime_ms >= 0 ? line->min_runtime_ms : settings.min_runtime_ms;
        for (size_t i = 0; i < line->running_count; i++) {
            tasks[i].hedged = line->running[i] >= HEDGED;
            tasks[i].run_ms = line->running[i] % HEDGED;
        }
        for (size_t i = 0; i < line->finished_count; i++) {
            tasks[line->running_count + i].finished = true;
            tasks[line->running_count + i].run_ms = line->finished[i];
        }
        found =
            speculation_slow(&settings, tasks, line->running_count + line->finished_count, slow);
        for (size_t i = 0; i < found; i++) {
            assert_true(i == 0 || slow[i] > slow[i - 1]);
            bits |= 1U << slow[i];
        }
        if (bits != line->slow) {
            fail_msg("%s: %#x instead of %#x", line->why, bits, line->slow);
        }
        settings.enabled = false;
        assert_int_equal(
            speculation_slow(&settings, tasks, line->running_count + line->finished_count, slow),
            0);
    }
}

static void what_lies_between_two_looks_that_found_nothing_was_waited_for(void **state)
{
    struct speculation_clock clock;

    (void)state;
    speculation_clock_reset(&clock, 1000);
    speculation_clock_asked(&clock, false, 1002);
    assert_int_equal(clock.run_ms, 2);
    speculation_clock_asked(&clock, false, 1500);
    assert_int_equal(clock.run_ms, 500);
    speculation_clock_asked(&clock, true, 1540); /* an event woke us */
    assert_int_equal(clock.run_ms, 540);
}

static void records_that_lie_there_while_the_output_is_full_are_no_slowness(void **state)
{
    struct speculation_clock clock;

    (void)state;
    speculation_clock_reset(&clock, 0);
    speculation_clock_asked(&clock, true, 5);
    for (int64_t now_ms = 1000; now_ms < 60000; now_ms += 1000) {
        speculation_clock_asked(&clock, true, now_ms); /* each time some; seldom asked */
    }
    assert_int_equal(clock.run_ms, 5);
}

static void what_came_while_nobody_looked_counts_for_a_look_at_most(void **state)
{
    struct speculation_clock clock;

    (void)state;
    speculation_clock_reset(&clock, 0);
    speculation_clock_asked(&clock, false, 10);
    speculation_clock_asked(&clock, true, 5000); /* the output was full for so long */
    assert_int_equal(clock.run_ms, 10 + SPECULATION_LOOK_MS);
    speculation_clock_asked(&clock, false, 5100); /* had some a moment ago: not waited for */
    assert_int_equal(clock.run_ms, 10 + SPECULATION_LOOK_MS);
    speculation_clock_asked(&clock, false, 5150);
    assert_int_equal(clock.run_ms, 60 + SPECULATION_LOOK_MS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_table_of_who_is_slow),
        cmocka_unit_test(what_lies_between_two_looks_that_found_nothing_was_waited_for),
        cmocka_unit_test(records_that_lie_there_while_the_output_is_full_are_no_slowness),
        cmocka_unit_test(what_came_while_nobody_looked_counts_for_a_look_at_most),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
