/* fetch.max.records records should take less than a session at the rate that is measured. */
#include "pace.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

enum { MOST = 10000, SESSION_MS = 10000 };

/* The same batch again and again: after how many it is told; 0 = never in a thousand. */
static int told_after(int64_t records, int64_t ms, int64_t most, int64_t session_ms)
{
    struct pace pace = {0};
    double rate = 0;
    int after = 0;

    for (int batch = 1; batch <= 1000; batch++) {
        if (pace_batch(&pace, records, ms, most, session_ms, &rate)) {
            assert_int_equal(after, 0); /* once */
            assert_true(fabs(rate - (double)records * 1000 / (double)ms) < 0.001);
            after = batch;
        }
    }
    return after;
}

static void a_slow_job_is_told_of_once_a_session_has_passed(void **state)
{
    (void)state;
    assert_int_equal(told_after(500, 1000, MOST, SESSION_MS), 10);
    assert_int_equal(told_after(500, 2500, MOST, SESSION_MS), 4);
    assert_int_equal(told_after(5000, 10000, MOST, SESSION_MS), 1);
    assert_int_equal(told_after(0, 20000, MOST, SESSION_MS), 0);
}

static void exactly_a_session_is_told_of_and_less_is_not(void **state)
{
    (void)state;
    assert_int_equal(told_after(1000, 1000, MOST, SESSION_MS), 10);
    assert_int_equal(told_after(1001, 1000, MOST, SESSION_MS), 0);
    assert_int_equal(told_after(1000, 1000, MOST - 1, SESSION_MS), 0);
    assert_int_equal(told_after(1000, 1000, MOST, SESSION_MS + 1), 0);
}

static void a_short_batch_says_nothing_of_the_rate(void **state)
{
    struct pace pace = {0};
    double rate;

    (void)state;
    assert_int_equal(told_after(3, 999, MOST, SESSION_MS), 0);
    for (int turn = 0; turn < 1000; turn++) { /* a hiccup here and there */
        assert_false(pace_batch(&pace, 3, turn % 9 != 0 ? 1500 : 10, MOST, 15000, &rate));
    }
}

static void the_largest_numbers_do_not_overflow(void **state)
{
    (void)state;
    assert_int_equal(told_after(INT64_C(1) << 50, 604800000, 10000000, 3600000), 0);
    assert_int_equal(told_after(1, INT64_C(604800000) * 1000, 10000000, 3600000), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_slow_job_is_told_of_once_a_session_has_passed),
        cmocka_unit_test(exactly_a_session_is_told_of_and_less_is_not),
        cmocka_unit_test(a_short_batch_says_nothing_of_the_rate),
        cmocka_unit_test(the_largest_numbers_do_not_overflow),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
