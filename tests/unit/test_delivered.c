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
    assert_int_equal(delivered_records(&delivered, 0), 3);
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

static void a_row_is_as_wide_as_what_it_has_met(void **state)
{
    struct delivered delivered;
    struct delivered copy = {0};

    (void)state;
    delivered_init(&delivered, 3, 1000);
    assert_true(delivered_add(&delivered, 1, 500, 7, 0));
    assert_int_equal(delivered.rows[0].count, 0);
    assert_int_equal(delivered.rows[1].count, 1);
    for (size_t output = 0; output < 1000; output++) { /* upwards and downwards */
        size_t at = output % 2 == 0 ? 500 + output / 2 : 500 - output / 2 - 1;

        assert_int_equal(delivered_has(&delivered, 1, at, 7, 0), at == 500);
        assert_int_equal(delivered_add(&delivered, 1, at, 7, 0), at != 500);
        assert_true(delivered_has(&delivered, 1, at, 7, 0));
        assert_false(delivered_has(&delivered, 1, at, 8, 0));
    }
    delivered_put(&delivered, 2, 999, (struct delivered_entry){.offset = 4, .records = 5});
    assert_true(delivered_add(&delivered, 2, 0, 3, 0));
    delivered_copy(&delivered, &copy);
    delivered_deinit(&delivered);
    assert_int_equal(delivered_records(&copy, 0), 0);
    assert_int_equal(delivered_records(&copy, 1), 1000);
    assert_int_equal(delivered_at(&copy, 2, 0)->offset, 3);
    assert_int_equal(delivered_at(&copy, 2, 1)->offset, -1);
    assert_int_equal(delivered_at(&copy, 2, 999)->records, 5);
    assert_int_equal(delivered_records_all(&copy), 1006);
    assert_int_equal(delivered_prefix(&copy, 2, 0), 5);
    assert_int_equal(delivered_lowest(&copy, 1, 0, 1000, 0), 8);
    delivered_deinit(&copy);
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
        cmocka_unit_test(a_row_is_as_wide_as_what_it_has_met),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
