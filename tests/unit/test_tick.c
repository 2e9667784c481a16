/* Ticks: multiples of the interval, none skipped, collapsed only after a long pause or when there
 * is nothing to do. */
#include "tick.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void the_first_tick_is_the_next_multiple(void **state)
{
    struct tick tick;
    int64_t collapsed;

    (void)state;
    tick_init(&tick, 1000, 12345);
    assert_int_equal(tick_wait(&tick, 12345), 655);
    assert_int_equal(tick_wait(&tick, 12999), 1);
    assert_int_equal(tick_wait(&tick, 13000), 0);
    assert_int_equal(tick_take(&tick, 13000, &collapsed), 13000);
    assert_int_equal(collapsed, 0);
    assert_int_equal(tick_wait(&tick, 13000), 1000);
    tick_init(&tick, 1000, 13000); /* on a multiple: not this one */
    assert_int_equal(tick_wait(&tick, 13000), 1000);
}

static void a_tick_taken_a_little_late_is_still_itself(void **state)
{
    struct tick tick;
    int64_t collapsed;

    (void)state;
    tick_init(&tick, 1000, 0);
    assert_int_equal(tick_take(&tick, 1999, &collapsed), 1000);
    assert_int_equal(collapsed, 0);
    assert_int_equal(tick_wait(&tick, 1999), 1);
}

static void late_ticks_run_one_after_another(void **state)
{
    struct tick tick;
    int64_t collapsed;

    (void)state;
    tick_init(&tick, 1000, 0);
    /* A batch of tick 1000 lasted until 4500: three are due, then the next in time. */
    assert_int_equal(tick_take(&tick, 1000, &collapsed), 1000);
    for (int64_t expected = 2000; expected <= 4000; expected += 1000) {
        assert_int_equal(tick_wait(&tick, 4500), 0);
        assert_int_equal(tick_take(&tick, 4500, &collapsed), expected);
        assert_int_equal(collapsed, 0);
    }
    assert_int_equal(tick_wait(&tick, 4500), 500);
}

static void ten_missed_ticks_all_run(void **state)
{
    struct tick tick;
    int64_t collapsed;

    (void)state;
    tick_init(&tick, 1000, 0);
    for (int64_t i = 0; i <= TICK_MISSED_MAX; i++) {
        assert_int_equal(tick_take(&tick, 11999, &collapsed), 1000 * (i + 1));
        assert_int_equal(collapsed, 0);
    }
    assert_int_equal(tick_wait(&tick, 11999), 1);
}

static void more_than_ten_missed_ticks_collapse_into_the_newest(void **state)
{
    struct tick tick;
    int64_t collapsed;

    (void)state;
    tick_init(&tick, 1000, 0);
    assert_int_equal(tick_take(&tick, 12000, &collapsed), 12000);
    assert_int_equal(collapsed, 11);
    assert_int_equal(tick_wait(&tick, 12000), 1000);
    assert_int_equal(tick_take(&tick, 13000, &collapsed), 13000);
    assert_int_equal(collapsed, 0);
}

static void a_night_of_suspend_is_one_tick(void **state)
{
    struct tick tick;
    int64_t collapsed;

    (void)state;
    tick_init(&tick, 1000, 0);
    assert_int_equal(tick_take(&tick, 28800250, &collapsed), 28800000);
    assert_int_equal(collapsed, 28799);
    assert_int_equal(tick_wait(&tick, 28800250), 750);
}

static void late_ticks_with_nothing_to_read_collapse(void **state)
{
    struct tick tick;
    int64_t collapsed;

    (void)state;
    tick_init(&tick, 1000, 0);
    assert_int_equal(tick_take(&tick, 5500, &collapsed), 1000);
    tick_empty(&tick, 5500);
    assert_int_equal(tick_wait(&tick, 5500), 500);
    assert_int_equal(tick_take(&tick, 6000, &collapsed), 6000);
    assert_int_equal(collapsed, 0);
}

static void an_empty_tick_in_time_takes_nothing_from_the_next(void **state)
{
    struct tick tick;
    int64_t collapsed;

    (void)state;
    tick_init(&tick, 1000, 0);
    assert_int_equal(tick_take(&tick, 1200, &collapsed), 1000);
    tick_empty(&tick, 1200);
    assert_int_equal(tick_wait(&tick, 1200), 800);
}

static void with_no_interval_it_is_always_due(void **state)
{
    struct tick tick;
    int64_t collapsed = -1;

    (void)state;
    tick_init(&tick, 0, 777);
    assert_int_equal(tick_wait(&tick, 777), 0);
    assert_int_equal(tick_take(&tick, 900000, &collapsed), 900000);
    assert_int_equal(collapsed, 0);
    tick_empty(&tick, 900000);
    assert_int_equal(tick_wait(&tick, 900000), 0);
}

static void a_start_at_once_takes_the_tick_of_now_but_no_batch_s_twice(void **state)
{
    static const struct {
        int64_t now_ms;
        int64_t last_ms;
        int64_t tick_ms;
    } CASES[] = {
        {12345, 0, 12000},     {12345, 11999, 12000}, {12345, 12000, 13000},
        {12345, 12344, 13000}, {12000, 11999, 12000}, {12000, 0, 12000},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(CASES) / sizeof(CASES[0]); i++) {
        struct tick tick;
        int64_t now = CASES[i].now_ms;
        int64_t collapsed;

        tick_init_at_once(&tick, 1000, now, CASES[i].last_ms);
        now += tick_wait(&tick, now);
        assert_int_equal(tick_take(&tick, now, &collapsed), CASES[i].tick_ms);
        assert_int_equal(collapsed, 0);
        assert_int_equal(tick.next_ms, CASES[i].tick_ms + 1000);
    }
    /* A thousand runs in ten seconds: ten ticks, whatever the moments. */
    for (int64_t now = 100003, last = 0, taken = 0, runs = 0; runs < 1000; now += 10, runs++) {
        struct tick tick;
        int64_t collapsed;

        tick_init_at_once(&tick, 1000, now, last);
        if (tick_wait(&tick, now) == 0) {
            assert_int_equal(tick_take(&tick, now, &collapsed), now / 1000 * 1000);
            last = now;
            taken++;
        }
        assert_true(taken <= (now - 100003) / 1000 + 2);
    }
}

/* ---- hours of ticks ---- */

enum { WINDOW = 64 };

/* What a job does, with a clock of its own: waits, takes, works or finds nothing. */
struct run {
    struct tick tick;
    int64_t interval_ms;
    int64_t now_ms;
    int64_t first_ms;  /* the first tick that could be */
    int64_t last_ms;   /* the last that was taken */
    int64_t taken;     /* with something to read */
    int64_t empty;     /* taken, nothing to read */
    int64_t skipped;   /* late behind an empty one */
    int64_t collapsed; /* dropped after more than ten */
    int64_t events;
    int64_t turns;
    int64_t moments[WINDOW]; /* when the last ones were taken */
};

static void run_init(struct run *run, int64_t interval_ms, int64_t now_ms)
{
    *run = (struct run){.interval_ms = interval_ms, .now_ms = now_ms};
    tick_init(&run->tick, interval_ms, now_ms);
    run->first_ms = (now_ms / interval_ms + 1) * interval_ms;
    run->last_ms = run->first_ms - interval_ms;
}

/* One tick: a batch of work_ms, or nothing to read when it is negative. */
static void run_tick(struct run *run, int64_t work_ms)
{
    int64_t collapsed;
    int64_t tick_ms;
    int64_t next_ms;

    run->now_ms += tick_wait(&run->tick, run->now_ms);
    tick_ms = tick_take(&run->tick, run->now_ms, &collapsed);
    assert_int_equal(tick_ms % run->interval_ms, 0);
    assert_true(tick_ms <= run->now_ms);
    /* A tick is late by less than eleven intervals: so many batches need the time of all of them
     * but eleven, and no pause lifts a cap by more than that. */
    assert_true(run->now_ms - tick_ms < 11 * run->interval_ms);
    if (run->turns >= WINDOW) {
        assert_true(run->now_ms - run->moments[run->turns % WINDOW] >
                    (WINDOW - 11) * run->interval_ms);
    }
    run->moments[run->turns++ % WINDOW] = run->now_ms;
    assert_true(collapsed == 0 || collapsed > TICK_MISSED_MAX);
    /* every tick since the last one is accounted for */
    assert_int_equal(tick_ms, run->last_ms + (collapsed + 1) * run->interval_ms);
    if (collapsed > 0) {
        assert_true(run->now_ms - tick_ms < run->interval_ms); /* the newest */
        run->events++;
    }
    run->collapsed += collapsed;
    run->last_ms = tick_ms;
    if (work_ms < 0) {
        next_ms = run->tick.next_ms;
        tick_empty(&run->tick, run->now_ms);
        run->empty++;
        run->skipped += (run->tick.next_ms - next_ms) / run->interval_ms;
        run->last_ms = run->tick.next_ms - run->interval_ms;
        return;
    }
    run->taken++;
    run->now_ms += work_ms;
}

static void assert_all_accounted_for(const struct run *run)
{
    assert_int_equal(run->taken + run->empty + run->skipped + run->collapsed,
                     (run->last_ms - run->first_ms) / run->interval_ms + 1);
}

static void a_day_in_time_has_every_tick_of_the_day(void **state)
{
    static const int64_t INTERVALS[] = {1000, 2300, 7, 333, 60000};
    enum { DAY_MS = 86400000 };

    (void)state;
    for (size_t i = 0; i < sizeof(INTERVALS) / sizeof(INTERVALS[0]); i++) {
        struct run run;

        run_init(&run, INTERVALS[i], INT64_C(1800000000123));
        while (run.last_ms + INTERVALS[i] < INT64_C(1800000000123) + DAY_MS) {
            run_tick(&run, run.now_ms * 7 % INTERVALS[i]); /* any time below the interval */
        }
        assert_int_equal(run.taken, (INT64_C(1800000000123) + DAY_MS - 1) / INTERVALS[i] -
                                        INT64_C(1800000000123) / INTERVALS[i]);
        assert_int_equal(run.events + run.empty + run.skipped + run.collapsed, 0);
        assert_all_accounted_for(&run);
    }
}

static void a_slow_batch_is_caught_up_with_and_nothing_is_skipped(void **state)
{
    struct run run;

    (void)state;
    run_init(&run, 1000, 0);
    for (int turn = 0; turn < 3600; turn++) {
        run_tick(&run,
                 turn % 30 == 0 ? 10900 : 500); /* ten intervals late, then half of one each */
    }
    assert_int_equal(run.taken, 3600);
    assert_int_equal(run.events, 0);
    assert_int_equal(run.last_ms, 3600000);
    assert_all_accounted_for(&run);
}

static void batches_that_are_always_too_slow_collapse_ten_at_a_time(void **state)
{
    struct run run;

    (void)state;
    run_init(&run, 1000, 0);
    for (int turn = 0; turn < 10000; turn++) {
        run_tick(&run, 1100);
        assert_true(run.now_ms - run.last_ms < 13000); /* no further behind than that */
    }
    assert_in_range(run.events, 10000 * 100 / 11000 - 2, 10000 * 100 / 11000 + 2);
    assert_all_accounted_for(&run);
}

static void chance_loses_no_tick_doubles_none_and_lifts_no_cap(void **state)
{
    static const int64_t INTERVALS[] = {1, 10, 1000, INT64_C(604800000)};
    uint64_t seed = 42;

    (void)state;
    for (size_t i = 0; i < sizeof(INTERVALS) / sizeof(INTERVALS[0]); i++) {
        int64_t interval = INTERVALS[i];
        struct run run;

        run_init(&run, interval, INT64_C(1800000000000));
        for (int turn = 0; turn < 100000; turn++) {
            int64_t draw;

            seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
            draw = (int64_t)(seed >> 33);
            switch (draw % 16) {
            case 0: /* a long pause: suspend, brokers away */
                run.now_ms += draw / 16 % 40 * interval + draw / 640 % interval;
                break;
            case 1: /* a slow batch */
                run_tick(&run, draw / 16 % 13 * interval);
                break;
            case 2:
            case 3:
                run_tick(&run, -1);
                break;
            default:
                run_tick(&run, draw / 16 % (interval + 1));
                break;
            }
        }
        assert_true(run.events > 0);
        assert_all_accounted_for(&run);
    }
}

static void after_any_pause_at_most_eleven_batches_come_at_once(void **state)
{
    (void)state;
    for (int64_t pause = 0; pause <= 30000; pause += 250) {
        struct run run;
        int64_t at_once;

        run_init(&run, 1000, 0);
        run_tick(&run, 0);
        run.now_ms += pause;
        for (at_once = 0; tick_wait(&run.tick, run.now_ms) == 0; at_once++) {
            run_tick(&run, 0);
        }
        assert_int_equal(at_once, pause < 12000 ? pause / 1000 : 1);
        assert_int_equal(run.events, pause < 12000 ? 0 : 1);
        assert_int_equal(run.collapsed, pause < 12000 ? 0 : pause / 1000 - 1);
    }
}

static void the_largest_times_and_intervals_do_not_overflow(void **state)
{
    static const int64_t INTERVALS[] = {1, 604800000};
    const int64_t far = INT64_MAX / 2; /* no clock goes there: the ledger refuses such times */

    (void)state;
    for (size_t i = 0; i < sizeof(INTERVALS) / sizeof(INTERVALS[0]); i++) {
        struct tick tick;
        int64_t collapsed;

        tick_init(&tick, INTERVALS[i], 0);
        assert_int_equal(tick_take(&tick, far, &collapsed), far / INTERVALS[i] * INTERVALS[i]);
        assert_int_equal(collapsed, far / INTERVALS[i] - 1);
        assert_in_range(tick_wait(&tick, far), 1, INTERVALS[i]);
        tick_init(&tick, INTERVALS[i], far);
        assert_in_range(tick_wait(&tick, far), 1, INTERVALS[i]);
        tick_empty(&tick, INT64_MAX - INTERVALS[i]);
        assert_true(tick.next_ms > far);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_first_tick_is_the_next_multiple),
        cmocka_unit_test(a_tick_taken_a_little_late_is_still_itself),
        cmocka_unit_test(late_ticks_run_one_after_another),
        cmocka_unit_test(ten_missed_ticks_all_run),
        cmocka_unit_test(more_than_ten_missed_ticks_collapse_into_the_newest),
        cmocka_unit_test(a_night_of_suspend_is_one_tick),
        cmocka_unit_test(late_ticks_with_nothing_to_read_collapse),
        cmocka_unit_test(an_empty_tick_in_time_takes_nothing_from_the_next),
        cmocka_unit_test(with_no_interval_it_is_always_due),
        cmocka_unit_test(a_start_at_once_takes_the_tick_of_now_but_no_batch_s_twice),
        cmocka_unit_test(a_day_in_time_has_every_tick_of_the_day),
        cmocka_unit_test(a_slow_batch_is_caught_up_with_and_nothing_is_skipped),
        cmocka_unit_test(batches_that_are_always_too_slow_collapse_ten_at_a_time),
        cmocka_unit_test(chance_loses_no_tick_doubles_none_and_lifts_no_cap),
        cmocka_unit_test(after_any_pause_at_most_eleven_batches_come_at_once),
        cmocka_unit_test(the_largest_times_and_intervals_do_not_overflow),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
