/* What has been delivered: a prefix per source and output partition. */
#include "delivered.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void nothing_is_delivered_at_first(void **state)
{
    struct delivered delivered;

    (void)state;
    delivered_init(&delivered, 2, 3);
    for (size_t range = 0; range < 2; range++) {
        for (size_t output = 0; output < 3; output++) {
            assert_false(delivered_has(&delivered, range, output, 0, 0));
        }
        assert_int_equal(delivered_lowest(&delivered, range, 0, 3, 500), 500);
    }
    delivered_deinit(&delivered);
    delivered_deinit(&delivered);
}

static void a_prefix_holds_all_below_and_nothing_above(void **state)
{
    struct delivered delivered;

    (void)state;
    delivered_init(&delivered, 2, 2);
    assert_true(delivered_add(&delivered, 1, 0, 7, 1));
    assert_true(delivered_has(&delivered, 1, 0, 0, 9));
    assert_true(delivered_has(&delivered, 1, 0, 7, 0));
    assert_true(delivered_has(&delivered, 1, 0, 7, 1));
    assert_false(delivered_has(&delivered, 1, 0, 7, 2));
    assert_false(delivered_has(&delivered, 1, 0, 8, 0));
    assert_false(delivered_has(&delivered, 0, 0, 7, 1));
    assert_false(delivered_has(&delivered, 1, 1, 7, 1));
    delivered_deinit(&delivered);
}

static void a_double_or_a_record_out_of_order_is_told_and_changes_nothing(void **state)
{
    struct delivered delivered;

    (void)state;
    delivered_init(&delivered, 1, 1);
    assert_true(delivered_add(&delivered, 0, 0, 0, 0));
    assert_false(delivered_add(&delivered, 0, 0, 0, 0));
    assert_true(delivered_add(&delivered, 0, 0, 0, 1));
    assert_true(delivered_add(&delivered, 0, 0, 5, 0));
    assert_false(delivered_add(&delivered, 0, 0, 4, 3));
    assert_false(delivered_add(&delivered, 0, 0, 5, 0));
    assert_true(delivered_has(&delivered, 0, 0, 5, 0));
    assert_false(delivered_has(&delivered, 0, 0, 5, 1));
    assert_int_equal(delivered.entries[0].records, 3);
    delivered_deinit(&delivered);
}

static void the_lowest_is_that_of_the_output_that_lags_most(void **state)
{
    struct delivered delivered;

    (void)state;
    delivered_init(&delivered, 1, 4);
    assert_true(delivered_add(&delivered, 0, 1, 120, 0));
    assert_true(delivered_add(&delivered, 0, 2, 110, 0));
    assert_true(delivered_add(&delivered, 0, 3, 130, 0));
    assert_int_equal(delivered_lowest(&delivered, 0, 1, 3, 100), 111);
    assert_int_equal(delivered_lowest(&delivered, 0, 3, 1, 100), 131);
    assert_int_equal(delivered_lowest(&delivered, 0, 0, 4, 100), 100); /* one has nothing */
    delivered_deinit(&delivered);
}

static void more_outputs_leave_what_is_there(void **state)
{
    struct delivered delivered;

    (void)state;
    delivered_init(&delivered, 3, 1);
    for (size_t range = 0; range < 3; range++) {
        assert_true(delivered_add(&delivered, range, 0, 10 + (int64_t)range, 0));
    }
    delivered_widen(&delivered, 1);
    delivered_widen(&delivered, 5);
    for (size_t range = 0; range < 3; range++) {
        assert_true(delivered_has(&delivered, range, 0, 10 + (int64_t)range, 0));
        assert_false(delivered_has(&delivered, range, 0, 11 + (int64_t)range, 0));
        for (size_t output = 1; output < 5; output++) {
            assert_false(delivered_has(&delivered, range, output, 0, 0));
        }
    }
    delivered_deinit(&delivered);
}

static void an_empty_table_widens_too(void **state)
{
    struct delivered delivered;

    (void)state;
    delivered_init(&delivered, 2, 0);
    delivered_widen(&delivered, 2);
    assert_true(delivered_add(&delivered, 1, 1, 0, 0));
    delivered_deinit(&delivered);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_is_delivered_at_first),
        cmocka_unit_test(a_prefix_holds_all_below_and_nothing_above),
        cmocka_unit_test(a_double_or_a_record_out_of_order_is_told_and_changes_nothing),
        cmocka_unit_test(the_lowest_is_that_of_the_output_that_lags_most),
        cmocka_unit_test(more_outputs_leave_what_is_there),
        cmocka_unit_test(an_empty_table_widens_too),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
