/* The table of output partitions: what stays when the definition changes. */
#include "outputs.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static char topic[] = "out";

static void arrange(struct outputs *outputs, enum provenance_kind provenance, int32_t partitions)
{
    struct definition_output output = {.topic = topic, .partitions = partitions};
    struct definition definition = {
        .provenance = provenance, .outputs = &output, .output_count = 1};

    outputs_arrange(outputs, &definition);
}

static void a_table_arranged_again_keeps_what_was_known(void **state)
{
    struct outputs outputs = {0};

    (void)state;
    arrange(&outputs, PROVENANCE_HEADERS, 2);
    assert_int_equal(outputs.count, 2);
    outputs.items[1].next = 7;
    outputs.items[1].looked = true;
    assert_int_equal(outputs_add(&outputs, "error", 0), 2);
    arrange(&outputs, PROVENANCE_HEADERS, 3);
    assert_int_equal(outputs.count, 4);
    assert_int_equal(outputs_find(&outputs, "error", 0), 3);
    assert_int_equal(outputs.items[1].next, 7);
    assert_true(outputs.items[1].looked);
    assert_int_equal(outputs.items[2].next, -1);
    outputs_deinit(&outputs);
}

static void places_count_from_a_look_on(void **state)
{
    struct outputs outputs = {0};

    (void)state;
    arrange(&outputs, PROVENANCE_HEADERS, 1);
    outputs_add(&outputs, "error", 0);
    outputs.items[0].looked = outputs.items[1].looked = true;
    arrange(&outputs, PROVENANCE_POSITIONS, 1);
    assert_true(outputs.items[0].positions);
    assert_false(outputs.items[0].looked);
    assert_false(outputs.items[1].positions); /* error partitions always have headers */
    assert_true(outputs.items[1].looked);
    outputs.items[0].looked = true;
    arrange(&outputs, PROVENANCE_POSITIONS, 2);
    assert_true(outputs.items[0].looked);
    arrange(&outputs, PROVENANCE_HEADERS, 2);
    assert_false(outputs.items[0].positions);
    assert_true(outputs.items[0].looked);
    outputs_deinit(&outputs);
}

static void a_gap_between_our_records_is_kept_while_it_is_watched_for(void **state)
{
    struct outputs outputs = {0};
    struct output *output;

    (void)state;
    arrange(&outputs, PROVENANCE_HEADERS, 1);
    output = &outputs.items[0];
    outputs_delivered(output, 5);
    assert_int_equal(output->next, 6);
    assert_int_equal(output->gap_from, output->gap_until);
    output->expected = 6;
    outputs_delivered(output, 6);
    assert_int_equal(output->gap_from, output->gap_until);
    outputs_delivered(output, 9);
    assert_int_equal(output->gap_from, 7);
    assert_int_equal(output->gap_until, 9);
    outputs_delivered(output, 11);
    assert_int_equal(output->gap_from, 7);
    assert_int_equal(output->gap_until, 11);
    assert_int_equal(output->records, 4);
    outputs_begin(&outputs);
    assert_int_equal(output->records, 0);
    assert_int_equal(output->next, 12);
    outputs_deinit(&outputs);
}

static void what_is_known_grows_old_by_time_and_by_a_wall_clock_set_back(void **state)
{
    const struct output output = {.refreshed_wall_ms = 1000000};

    (void)state;
    assert_false(outputs_is_old(&output, 1000000, 240000));
    assert_false(outputs_is_old(&output, 1240000, 240000));
    assert_true(outputs_is_old(&output, 1240001, 240000));
    assert_true(outputs_is_old(&output, 999999, 240000));
    assert_true(outputs_is_old(&(struct output){0}, 1240001, 240000)); /* never */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_known_grows_old_by_time_and_by_a_wall_clock_set_back),
        cmocka_unit_test(a_table_arranged_again_keeps_what_was_known),
        cmocka_unit_test(places_count_from_a_look_on),
        cmocka_unit_test(a_gap_between_our_records_is_kept_while_it_is_watched_for),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
