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
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
