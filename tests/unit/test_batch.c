/* Definitions are compared as R0 needs it, found by topic, and freed whole. */
#include "support_batch.h"

#include "mem.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void a_copy_is_the_same_and_stands_alone(void **state)
{
    struct definition definition;
    struct definition copy;

    (void)state;
    sample_definition(&definition, 3, 1);
    definition.id = 7;
    definition_copy(&definition, &copy);
    assert_int_equal(copy.id, 7);
    assert_true(definition_same(&definition, &copy));
    definition_deinit(&definition);
    assert_string_equal(copy.inputs[2].topic, "c");
    assert_string_equal(copy.inputs[2].error_topic, "c_error");
    assert_string_equal(copy.outputs[1].topic, "out");
    definition_deinit(&copy);
    definition_deinit(&copy); /* a zero one is accepted */
}

enum difference {
    NO_DIFFERENCE,
    ID_ONLY,
    TOPIC_ID_LEARNT,
    DELIVERY,
    PROVENANCE,
    PARTITIONER,
    ISOLATION,
    DATA_LOSS,
    BAD_RECORD,
    INPUT_TOPIC,
    INPUT_ID,
    INPUT_OUTPUT,
    ERROR_TOPIC,
    OUTPUT_TOPIC,
    OUTPUT_PARTITIONS,
    OUTPUT_ID,
    FEWER_INPUTS,
    DIFFERENCE_COUNT,
};

static void retopic(char **topic, const char *name)
{
    free(*topic);
    *topic = mem_text(name);
}

static void make_different(struct definition *definition, enum difference difference)
{
    switch (difference) {
    case NO_DIFFERENCE:
    case DIFFERENCE_COUNT:
        break;
    case ID_ONLY:
        definition->id = 9;
        break;
    case TOPIC_ID_LEARNT:
        snprintf(definition->inputs[1].topic_id, TOPIC_ID_SIZE, "learnt");
        break;
    case DELIVERY:
        definition->delivery = DELIVERY_TRANSACTIONAL;
        break;
    case PROVENANCE:
        definition->provenance = PROVENANCE_NONE;
        break;
    case PARTITIONER:
        definition->partitioner = PARTITIONER_KEY;
        break;
    case ISOLATION:
        definition->isolation = ISOLATION_READ_UNCOMMITTED;
        break;
    case DATA_LOSS:
        definition->on_data_loss = ON_DATA_LOSS_CONTINUE;
        break;
    case BAD_RECORD:
        definition->on_bad_record = ON_BAD_RECORD_SET_ASIDE;
        break;
    case INPUT_TOPIC:
        retopic(&definition->inputs[1].topic, "bb");
        break;
    case INPUT_ID:
        snprintf(definition->inputs[0].topic_id, TOPIC_ID_SIZE, "another");
        break;
    case INPUT_OUTPUT:
        definition->inputs[1].output = 0;
        break;
    case ERROR_TOPIC:
        retopic(&definition->inputs[1].error_topic, "e");
        break;
    case OUTPUT_TOPIC:
        retopic(&definition->outputs[1].topic, "ouu");
        break;
    case OUTPUT_PARTITIONS:
        definition->outputs[1].partitions++;
        break;
    case OUTPUT_ID:
        snprintf(definition->outputs[0].topic_id, TOPIC_ID_SIZE, "another");
        break;
    case FEWER_INPUTS:
        free(definition->inputs[2].topic);
        free(definition->inputs[2].error_topic);
        definition->input_count--;
        break;
    }
}

static void every_field_but_the_id_makes_another_definition(void **state)
{
    (void)state;
    for (int i = 0; i < DIFFERENCE_COUNT; i++) {
        struct definition a;
        struct definition b;

        sample_definition(&a, 3, 1);
        snprintf(a.inputs[0].topic_id, TOPIC_ID_SIZE, "known");
        snprintf(a.outputs[0].topic_id, TOPIC_ID_SIZE, "known");
        definition_copy(&a, &b);
        make_different(&b, (enum difference)i);
        if (definition_same(&a, &b) != (i <= TOPIC_ID_LEARNT) ||
            definition_same(&b, &a) != (i <= TOPIC_ID_LEARNT)) {
            fail_msg("difference %d", i);
        }
        definition_deinit(&a);
        definition_deinit(&b);
    }
}

static void topics_are_found_by_name(void **state)
{
    const struct definition empty = {0};
    struct definition definition;

    (void)state;
    sample_definition(&definition, 3, 1);
    assert_int_equal(definition_find_input(&definition, "a"), 0);
    assert_int_equal(definition_find_input(&definition, "c"), 2);
    assert_int_equal(definition_find_input(&definition, "ab"), -1);
    assert_int_equal(definition_find_output(&definition, "other"), 0);
    assert_int_equal(definition_find_output(&definition, "out"), 1);
    assert_int_equal(definition_find_output(&definition, ""), -1);
    assert_int_equal(definition_find_input(&empty, "a"), -1);
    assert_int_equal(definition_find_output(&empty, "a"), -1);
    definition_deinit(&definition);
}

static void planned_is_the_sum_of_the_ranges(void **state)
{
    struct batch batch;

    (void)state;
    sample_batch(&batch, 1, 3, 7, 100);
    assert_int_equal(batch_planned(&batch), 300);
    batch_deinit(&batch);
    assert_int_equal(batch_planned(&batch), 0);
    batch_deinit(&batch);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_copy_is_the_same_and_stands_alone),
        cmocka_unit_test(every_field_but_the_id_makes_another_definition),
        cmocka_unit_test(topics_are_found_by_name),
        cmocka_unit_test(planned_is_the_sum_of_the_ranges),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
