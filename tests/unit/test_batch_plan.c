/* Ranges and fences of a plan, and the table of outputs under them. */
#include "batch_plan.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static struct definition_input inputs_of_two[] = {
    {.topic = (char *)"a", .output = 0, .error_topic = (char *)"a_error"},
    {.topic = (char *)"b", .output = 1, .error_topic = (char *)"b_error"},
};
static struct definition_output outputs_of_two[] = {
    {.topic = (char *)"a_out", .partitions = 2},
    {.topic = (char *)"b_out", .partitions = 3},
};

static struct definition definition_of(enum partitioner partitioner)
{
    return (struct definition){
        .id = 1,
        .partitioner = partitioner,
        .inputs = inputs_of_two,
        .input_count = 2,
        .outputs = outputs_of_two,
        .output_count = 2,
    };
}

static struct outputs outputs_known(const struct definition *definition)
{
    struct outputs outputs = {0};

    outputs_arrange(&outputs, definition);
    for (size_t i = 0; i < outputs.count; i++) {
        outputs.items[i].next = 100 + (int64_t)i;
    }
    return outputs;
}

/* The definition's arrays are not of the heap: only what the plan made is freed. */
static void free_plan(struct batch *batch)
{
    batch->definition = (struct definition){0};
    batch_deinit(batch);
}

static void an_empty_input_makes_an_empty_batch(void **unused)
{
    struct definition definition = definition_of(PARTITIONER_SAME);
    struct outputs outputs = outputs_known(&definition);
    struct batch batch = {.definition = definition};
    struct plan_input inputs[] = {{.input = 0, .partition = 0, .next = 5, .end = 5},
                                  {.input = 1, .partition = 0, .next = 9, .end = 7}};
    struct rate_split split = {.interval_ms = 1000};

    (void)unused;
    batch_plan(&split, 1, inputs, 2, &outputs, &batch);
    assert_int_equal(batch.range_count, 0);
    assert_int_equal(batch.fence_count, 0);
    free_plan(&batch);
    outputs_deinit(&outputs);
}

static void only_partitions_with_records_have_ranges_and_only_reachable_outputs_fences(
    void **unused)
{
    struct definition definition = definition_of(PARTITIONER_SAME);
    struct outputs outputs = outputs_known(&definition);
    struct batch batch = {.definition = definition};
    struct plan_input inputs[] = {
        {.input = 0, .partition = 0, .next = 0, .end = 10, .leader_epoch = 3},
        {.input = 0, .partition = 1, .next = 4, .end = 4, .leader_epoch = -1},
        {.input = 0, .partition = 2, .next = 7, .end = 9, .leader_epoch = -1},
        {.input = 1, .partition = 2, .next = 1, .end = 2, .leader_epoch = 5},
    };
    struct rate_split split = {.interval_ms = 1000};

    (void)unused;
    batch_plan(&split, 1, inputs, 4, &outputs, &batch);
    assert_int_equal(batch.range_count, 3);
    assert_int_equal(batch.ranges[0].from, 0);
    assert_int_equal(batch.ranges[0].until, 10);
    assert_int_equal(batch.ranges[0].leader_epoch, 3);
    assert_int_equal(batch.ranges[1].partition, 2);
    assert_int_equal(batch.ranges[2].input, 1);
    assert_int_equal(batch_planned(&batch), 13);
    /* a[0] and a[2] both go to a_out[0]: one fence; b[2] to b_out[2]. */
    assert_int_equal(batch.fence_count, 2);
    assert_string_equal(batch.fences[0].topic, "a_out");
    assert_int_equal(batch.fences[0].partition, 0);
    assert_int_equal(batch.fences[0].offset, 100);
    assert_string_equal(batch.fences[1].topic, "b_out");
    assert_int_equal(batch.fences[1].partition, 2);
    assert_int_equal(batch.fences[1].offset, 104);
    free_plan(&batch);
    outputs_deinit(&outputs);
}

static void the_key_partitioner_fences_every_partition_of_the_output(void **unused)
{
    struct definition definition = definition_of(PARTITIONER_KEY);
    struct outputs outputs = outputs_known(&definition);
    struct batch batch = {.definition = definition};
    struct plan_input inputs[] = {{.input = 1, .partition = 0, .next = 0, .end = 1}};
    struct rate_split split = {.interval_ms = 1000};

    (void)unused;
    batch_plan(&split, 1, inputs, 1, &outputs, &batch);
    assert_int_equal(batch.fence_count, 3);
    for (size_t i = 0; i < 3; i++) {
        assert_string_equal(batch.fences[i].topic, "b_out");
        assert_int_equal(batch.fences[i].partition, i);
    }
    free_plan(&batch);
    outputs_deinit(&outputs);
}

static void the_cap_cuts_the_ranges_and_says_so(void **unused)
{
    struct definition definition = definition_of(PARTITIONER_SAME);
    struct outputs outputs = outputs_known(&definition);
    struct batch batch = {.definition = definition};
    struct plan_input inputs[] = {
        {.input = 0, .partition = 0, .next = 0, .end = 1000, .cap = 50},
        {.input = 0, .partition = 1, .next = 0, .end = 60, .cap = 50},
    };
    struct rate_split split = {.interval_ms = 2000};

    (void)unused;
    batch_plan(&split, 1, inputs, 2, &outputs, &batch);
    assert_int_equal(batch.ranges[0].until, 100);
    assert_int_equal(batch.ranges[1].until, 60);
    assert_int_equal(batch.limited_by, LIMITED_CAP);
    assert_true(batch.rate < 0.5);
    free_plan(&batch);
    batch = (struct batch){.definition = definition_of(PARTITIONER_SAME)};
    split.backpressure = true; /* a rate is told although the caps cut first */
    split.rate = 5000;
    batch_plan(&split, 1, inputs, 2, &outputs, &batch);
    assert_int_equal(batch.ranges[0].until, 100);
    assert_int_equal(batch.limited_by, LIMITED_CAP);
    assert_true(batch.rate > 4999.5 && batch.rate < 5000.5);
    free_plan(&batch);
    outputs_deinit(&outputs);
}

static void arranging_again_keeps_what_is_known_and_puts_topics_together(void **unused)
{
    struct definition definition = definition_of(PARTITIONER_SAME);
    struct outputs outputs = outputs_known(&definition);
    struct definition_output more[] = {{.topic = (char *)"a_out", .partitions = 4},
                                       {.topic = (char *)"b_out", .partitions = 3}};
    size_t added;

    (void)unused;
    added = outputs_add(&outputs, "a_error", 1);
    outputs.items[added].next = 7;
    definition.outputs = more;
    outputs_arrange(&outputs, &definition);
    assert_int_equal(outputs.count, 8);
    for (size_t i = 0; i < 4; i++) {
        assert_string_equal(outputs.items[i].topic, "a_out");
        assert_int_equal(outputs.items[i].partition, i);
    }
    assert_int_equal(outputs.items[1].next, 101);
    assert_int_equal(outputs.items[2].next, -1);
    assert_int_equal(outputs.items[4].next, 102);
    assert_int_equal(outputs_find(&outputs, "a_error", 1), 7);
    assert_int_equal(outputs.items[7].next, 7);
    outputs_deinit(&outputs);
}

static void a_record_above_the_expected_offset_widens_the_gap(void **unused)
{
    struct output output = {.next = 10, .expected = 10};

    (void)unused;
    outputs_delivered(&output, 10);
    assert_int_equal(output.gap_from, output.gap_until);
    outputs_delivered(&output, 13);
    assert_int_equal(output.gap_from, 11);
    assert_int_equal(output.gap_until, 13);
    outputs_delivered(&output, 14);
    outputs_delivered(&output, 20);
    assert_int_equal(output.gap_from, 11);
    assert_int_equal(output.gap_until, 20);
    assert_int_equal(output.next, 21);
    assert_int_equal(output.records, 4);
}

static void an_output_not_watched_has_no_gap(void **unused)
{
    struct output output = {.next = 10, .expected = -1};

    (void)unused;
    outputs_delivered(&output, 99);
    assert_int_equal(output.gap_from, output.gap_until);
    assert_int_equal(output.expected, -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_empty_input_makes_an_empty_batch),
        cmocka_unit_test(
            only_partitions_with_records_have_ranges_and_only_reachable_outputs_fences),
        cmocka_unit_test(the_key_partitioner_fences_every_partition_of_the_output),
        cmocka_unit_test(the_cap_cuts_the_ranges_and_says_so),
        cmocka_unit_test(arranging_again_keeps_what_is_known_and_puts_topics_together),
        cmocka_unit_test(a_record_above_the_expected_offset_widens_the_gap),
        cmocka_unit_test(an_output_not_watched_has_no_gap),
    };

    return cmocka_run_group_tests_name("batch_plan", tests, NULL, NULL);
}
