/* A batch's life in the ledger: what is stored comes back, what can't be is refused. */
#include "support_ledger.h"

#include "mem.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct place place;

static int setup(void **state)
{
    (void)state;
    place_make(&place);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    place_remove(&place);
    return 0;
}

static void must_plan(struct ledger *ledger, struct batch *batch)
{
    struct err err = {0};

    must(ledger_begin(ledger, &err));
    must(ledger_define(ledger, &batch->definition, &err));
    must(ledger_plan(ledger, batch, &err));
    must(ledger_commit(ledger, &err));
}

static void must_settle(struct ledger *ledger, const struct batch *batch)
{
    struct outcome outcome;
    struct err err = {0};

    outcome_make(&outcome, batch);
    must(ledger_begin(ledger, &err));
    must(ledger_settle(ledger, &outcome.settlement, &err));
    must(ledger_commit(ledger, &err));
    outcome_free(&outcome);
}

static struct ledger *with_inputs(int32_t partitions)
{
    struct ledger *ledger = must_open(&place);

    must_start(ledger, "0000000a");
    add_inputs(ledger, "a", partitions);
    return ledger;
}

static void a_plan_comes_back_from_another_process_as_it_was(void **state)
{
    struct ledger *ledger = with_inputs(3);
    struct batch batch;
    struct batch found;
    bool is = false;
    struct err err = {0};

    (void)state;
    sample_batch(&batch, 1, 3, 0, 100);
    batch.rate = 12.5;
    must_plan(ledger, &batch);
    ledger_close(ledger);
    ledger = must_open(&place);
    must(ledger_unsettled(ledger, &found, &is, &err));
    assert_true(is);
    assert_int_equal(found.number, 1);
    assert_int_equal(found.state, BATCH_PLANNED);
    assert_int_equal(found.definition.id, batch.definition.id);
    assert_true(definition_same(&found.definition, &batch.definition));
    assert_int_equal(found.range_count, 3);
    assert_memory_equal(found.ranges, batch.ranges, 3 * sizeof(struct range));
    assert_int_equal(found.fence_count, 3);
    assert_string_equal(found.fences[2].topic, "out");
    assert_int_equal(found.fences[2].partition, 2);
    assert_int_equal(found.fences[2].offset, 10);
    assert_int_equal(found.tick_ms, batch.tick_ms);
    assert_int_equal(found.started_ms, batch.started_ms);
    assert_int_equal(found.planned_wall_ms, batch.planned_wall_ms);
    assert_true(found.rate == 12.5);
    assert_int_equal(found.limited_by, LIMITED_CAP);
    batch_deinit(&found);
    batch_deinit(&batch);
    ledger_close(ledger);
}

static void settling_moves_offsets_outcome_and_totals_together(void **state)
{
    struct ledger *ledger = with_inputs(2);
    struct ledger_inputs inputs;
    struct ledger_outputs outputs;
    struct ledger_identity identity;
    struct batch batch;
    bool is = true;
    struct err err = {0};

    (void)state;
    sample_batch(&batch, 1, 2, 0, 100);
    must_plan(ledger, &batch);
    assert_int_equal(
        ask_integer(&place, "SELECT batch FROM in_doubt WHERE state = 'planned' AND planned = 200"),
        1);
    must_settle(ledger, &batch);
    must(ledger_unsettled(ledger, &batch, &is, &err));
    assert_false(is);
    must(ledger_inputs_load(ledger, &inputs, &err));
    assert_int_equal(inputs.count, 2);
    assert_int_equal(inputs.items[1].next_offset, 100);
    assert_int_equal(inputs.items[1].leader_epoch, 5);
    must(ledger_outputs_load(ledger, &outputs, &err));
    assert_int_equal(outputs.count, 2);
    assert_int_equal(outputs.items[0].next_offset, 20);
    ledger_identity(ledger, &identity);
    assert_int_equal(identity.batch, 1);
    assert_int_equal(identity.settled, 1);
    assert_int_equal(identity.last_ms, batch.started_ms + 50);
    assert_int_equal(ask_integer(&place,
                                 "SELECT records FROM totals WHERE batches = 1 AND planned = 200 "
                                 "AND outputs = 200 AND found = 0 AND recovered = 0"),
                     200);
    assert_int_equal(ask_integer(&place, "SELECT count(*) FROM in_doubt"), 0);
    assert_int_equal(ask_integer(&place, "SELECT lag FROM lag WHERE partition = 1"), 200);
    ledger_inputs_deinit(&inputs);
    ledger_outputs_deinit(&outputs);
    batch_deinit(&batch);
    ledger_close(ledger);
}

static void assert_settled_by(enum delivery delivery, enum provenance_kind provenance)
{
    struct ledger *ledger = must_open(&place);
    struct ledger_identity identity;

    ledger_identity(ledger, &identity);
    assert_int_equal(identity.settled_by_mark, delivery == DELIVERY_TRANSACTIONAL);
    assert_int_equal(identity.settled_by_place, provenance == PROVENANCE_POSITIONS);
    ledger_close(ledger);
}

static void a_ledger_knows_how_its_last_settled_batch_was_delivered(void **state)
{
    static const struct {
        const char *incarnation;
        enum delivery delivery;
        enum provenance_kind provenance;
    } WAYS[] = {
        {"0000000b", DELIVERY_IDEMPOTENT, PROVENANCE_HEADERS},
        {"0000000c", DELIVERY_IDEMPOTENT, PROVENANCE_POSITIONS},
        {"0000000d", DELIVERY_TRANSACTIONAL, PROVENANCE_NONE},
    };

    (void)state;
    ledger_close(with_inputs(1));
    assert_settled_by(DELIVERY_IDEMPOTENT, PROVENANCE_HEADERS);
    for (int i = 0; i < 3; i++) {
        struct ledger *ledger = must_open(&place);
        struct batch batch;

        must_start(ledger, WAYS[i].incarnation);
        sample_batch(&batch, i + 1, 1, 100 * i, 100);
        batch.definition.delivery = WAYS[i].delivery;
        batch.definition.provenance = WAYS[i].provenance;
        must_plan(ledger, &batch);
        must_settle(ledger, &batch);
        batch_deinit(&batch);
        ledger_close(ledger);
        assert_settled_by(WAYS[i].delivery, WAYS[i].provenance);
    }
}

static void a_settle_and_the_next_plan_share_a_transaction(void **state)
{
    struct ledger *ledger = with_inputs(2);
    struct outcome outcome;
    struct batch first;
    struct batch second;
    struct err err = {0};

    (void)state;
    sample_batch(&first, 1, 2, 0, 100);
    sample_batch(&second, 2, 2, 100, 50);
    must_plan(ledger, &first);
    outcome_make(&outcome, &first);
    must(ledger_begin(ledger, &err));
    must(ledger_settle(ledger, &outcome.settlement, &err));
    must(ledger_define(ledger, &second.definition, &err));
    must(ledger_plan(ledger, &second, &err));
    assert_int_equal(ask_integer(&place, "SELECT batch FROM in_doubt"), 1);
    must(ledger_commit(ledger, &err));
    assert_int_equal(ask_integer(&place, "SELECT batch FROM in_doubt"), 2);
    outcome_free(&outcome);
    batch_deinit(&first);
    batch_deinit(&second);
    ledger_close(ledger);
}

static void a_rollback_leaves_nothing_in_the_file_nor_in_memory(void **state)
{
    struct ledger *ledger = with_inputs(2);
    struct ledger_identity before;
    struct ledger_identity after;
    struct batch batch;
    struct err err = {0};

    (void)state;
    ledger_identity(ledger, &before);
    sample_batch(&batch, 1, 2, 0, 100);
    must(ledger_begin(ledger, &err));
    must(ledger_define(ledger, &batch.definition, &err));
    must(ledger_plan(ledger, &batch, &err));
    ledger_rollback(ledger);
    ledger_identity(ledger, &after);
    assert_int_equal(before.batch, after.batch);
    assert_int_equal(before.last_ms, after.last_ms);
    assert_int_equal(ask_integer(&place, "SELECT count(*) FROM oncesink_batch"), 0);
    assert_int_equal(ask_integer(&place, "SELECT count(*) FROM oncesink_pipeline"), 0);
    must_plan(ledger, &batch); /* the definition is stored again */
    assert_int_equal(ask_integer(&place, "SELECT count(*) FROM oncesink_pipeline_input"), 3);
    batch_deinit(&batch);
    ledger_close(ledger);
}

static void a_definition_is_stored_once_and_a_changed_one_anew(void **state)
{
    struct ledger *ledger = must_open(&place);
    struct definition definition;
    struct err err = {0};
    int64_t first;

    (void)state;
    sample_definition(&definition, 3, 1);
    must(ledger_begin(ledger, &err));
    must(ledger_define(ledger, &definition, &err));
    first = definition.id;
    definition.partitioner = PARTITIONER_KEY;
    must(ledger_define(ledger, &definition, &err));
    assert_int_not_equal(definition.id, first);
    definition.partitioner = PARTITIONER_SAME;
    snprintf(definition.inputs[0].topic_id, TOPIC_ID_SIZE, "id");
    must(ledger_define(ledger, &definition, &err));
    assert_int_equal(definition.id, first); /* an id learnt later doesn't make it another one */
    must(ledger_commit(ledger, &err));
    ledger_close(ledger);
    ledger = must_open(&place);
    must(ledger_begin(ledger, &err));
    definition.id = 0;
    must(ledger_define(ledger, &definition, &err));
    assert_int_equal(definition.id, first);
    must(ledger_commit(ledger, &err));
    definition_deinit(&definition);
    ledger_close(ledger);
}

static void a_checkpoint_raises_fences_and_replaces_progress(void **state)
{
    struct ledger *ledger = with_inputs(2);
    struct batch batch;
    struct batch found;
    struct fence fence = {.topic = "out", .partition = 1, .offset = 60};
    struct progress progress[] = {{.range = 0,
                                   .topic = (char *)(uintptr_t) "out",
                                   .partition = 0,
                                   .offset = 40,
                                   .records = 41},
                                  {.range = 1,
                                   .topic = (char *)(uintptr_t) "out",
                                   .partition = 1,
                                   .offset = 30,
                                   .records = 31}};
    bool is = false;
    struct err err = {0};

    (void)state;
    sample_batch(&batch, 1, 2, 0, 100);
    must_plan(ledger, &batch);
    must(ledger_begin(ledger, &err));
    must(ledger_checkpoint(ledger, &batch, &fence, 1, progress, 2, &err));
    must(ledger_commit(ledger, &err));
    progress[1].offset = 50;
    progress[1].records = 51;
    must(ledger_begin(ledger, &err));
    must(ledger_checkpoint(ledger, &batch, &fence, 1, progress + 1, 1, &err));
    must(ledger_commit(ledger, &err));
    must(ledger_unsettled(ledger, &found, &is, &err));
    assert_int_equal(found.fences[0].offset, 10);
    assert_int_equal(found.fences[1].offset, 60);
    assert_int_equal(found.progress_count, 1);
    assert_int_equal(found.progress[0].range, 1);
    assert_string_equal(found.progress[0].topic, "out");
    assert_int_equal(found.progress[0].offset, 50);
    assert_int_equal(found.progress[0].records, 51);
    batch_deinit(&found);
    must_settle(ledger, &batch);
    assert_int_equal(ask_integer(&place, "SELECT count(*) FROM oncesink_batch_progress"), 0);
    batch_deinit(&batch);
    ledger_close(ledger);
}

static void a_record_set_aside_keeps_its_bytes_and_needs_a_fence(void **state)
{
    struct ledger *ledger = with_inputs(2);
    const struct fence fence = {.topic = "a_error", .partition = 1, .offset = 7};
    const struct ledger_record record = {.topic = "a",
                                         .partition = 1,
                                         .offset = 42,
                                         .timestamp_ms = -1,
                                         .key = NULL,
                                         .key_size = -1,
                                         .value = "",
                                         .value_size = 0,
                                         .headers = "\0\1",
                                         .headers_size = 2};
    struct batch batch;
    struct batch found;
    bool is = false;
    struct err err = {0};

    (void)state;
    sample_batch(&batch, 1, 2, 0, 100);
    must_plan(ledger, &batch);
    must(ledger_begin(ledger, &err));
    assert_false(ledger_set_aside(ledger, 1, &record, "too large", "a_error", 1, 3000, &err));
    ledger_rollback(ledger);
    must(ledger_begin(ledger, &err));
    must(ledger_fence_add(ledger, 1, &fence, &err));
    must(ledger_set_aside(ledger, 1, &record, "too large", "a_error", 1, 3000, &err));
    must(ledger_commit(ledger, &err));
    must(ledger_unsettled(ledger, &found, &is, &err));
    assert_int_equal(found.set_aside_count, 1);
    assert_int_equal(found.set_aside[0].range, 1);
    assert_int_equal(found.set_aside[0].offset, 42);
    assert_string_equal(found.set_aside[0].error_topic, "a_error");
    assert_int_equal(found.set_aside[0].error_partition, 1);
    batch_deinit(&found);
    assert_int_equal(ask_integer(&place,
                                 "SELECT count(*) FROM oncesink_set_aside WHERE key IS NULL AND "
                                 "value = x'' AND headers = x'0001' AND timestamp_ms = -1"),
                     1);
    assert_int_equal(ask_integer(&place, "SELECT set_aside FROM totals"), 1);
    batch_deinit(&batch);
    ledger_close(ledger);
}

/* Each way of settling something else than what was planned, and what the message must name. */
static void settling_what_was_not_planned_is_refused(void **state)
{
    static const struct {
        const char *what;
        int spoil;
    } CASES[] = {
        {"ends at 101", 0}, {"is left unsettled", 1}, {"without a fence below", 2}, {"CHECK", 3}};
    struct ledger *ledger = with_inputs(2);
    struct batch batch;
    struct err err = {0};

    (void)state;
    sample_batch(&batch, 1, 2, 0, 100);
    must_plan(ledger, &batch);
    for (size_t i = 0; i < sizeof(CASES) / sizeof(CASES[0]); i++) {
        struct outcome outcome;

        outcome_make(&outcome, &batch);
        if (CASES[i].spoil == 0) {
            outcome.inputs[1].next_offset = 101;
        } else if (CASES[i].spoil == 1) {
            outcome.settlement.input_count = 1;
        } else if (CASES[i].spoil == 2) {
            outcome.outputs[1].next_offset = 9;
        } else {
            outcome.settlement.records = 201; /* more than planned */
        }
        must(ledger_begin(ledger, &err));
        assert_false(ledger_settle(ledger, &outcome.settlement, &err));
        assert_int_equal(err.kind, ERR_LEDGER);
        if (strstr(err.text, CASES[i].what) == NULL) {
            fail_msg("'%s' isn't in: %s", CASES[i].what, err.text);
        }
        ledger_rollback(ledger);
        outcome_free(&outcome);
    }
    must_settle(ledger, &batch);
    batch_deinit(&batch);
    ledger_close(ledger);
}

static void a_plan_from_an_offset_that_someone_moved_is_refused(void **state)
{
    struct ledger *ledger = with_inputs(2);
    struct batch batch;
    struct err err = {0};

    (void)state;
    tell(&place, "UPDATE oncesink_input SET next_offset = 5 WHERE partition = 1");
    sample_batch(&batch, 1, 2, 0, 100);
    must(ledger_begin(ledger, &err));
    must(ledger_define(ledger, &batch.definition, &err));
    assert_false(ledger_plan(ledger, &batch, &err));
    assert_non_null(strstr(err.text, "'a'[1]"));
    ledger_rollback(ledger);
    batch_deinit(&batch);
    ledger_close(ledger);
}

/* What no hand may do, not even a person's. */
static void impossible_states_are_refused_by_the_schema(void **state)
{
    static const char *const REFUSED[] = {
        "INSERT INTO oncesink_batch (batch, pipeline, incarnation, state, tick_ms, started_ms, "
        "planned_wall_ms, "
        "planned, limited_by) VALUES (2, 1, '0000000a', 'planned', 1, 1, 1, 1, 'none')",
        "UPDATE oncesink_batch SET state = 'done'",
        "UPDATE oncesink_batch SET state = 'settled'",
        "UPDATE oncesink_batch SET planned = 7",
        "UPDATE oncesink_batch_range SET until_offset = 7",
        "UPDATE oncesink_batch_output SET fence_offset = 7",
        "UPDATE oncesink_pipeline SET partitioner = 'key'",
        "UPDATE oncesink_ledger SET settled = 9",
        "UPDATE oncesink_ledger SET batch = -1",
        "INSERT INTO oncesink_ledger SELECT 2, uuid, job, 0, incarnation, 0, 0, 0, 0, 0, 0, 0, 0, "
        "0, 0, 0 "
        "FROM oncesink_ledger",
        "UPDATE oncesink_input SET next_offset = -1",
        "UPDATE oncesink_input SET next_offset = 'x'",
        "UPDATE oncesink_input SET next_offset = NULL",
    };
    struct ledger *ledger = with_inputs(2);
    struct batch batch;
    sqlite3 *db = NULL;

    (void)state;
    sample_batch(&batch, 1, 2, 0, 100);
    must_plan(ledger, &batch);
    assert_int_equal(sqlite3_open_v2(place.path, &db, SQLITE_OPEN_READWRITE, NULL), SQLITE_OK);
    for (size_t i = 0; i < sizeof(REFUSED) / sizeof(REFUSED[0]); i++) {
        if ((sqlite3_exec(db, REFUSED[i], NULL, NULL, NULL) & 0xff) != SQLITE_CONSTRAINT) {
            fail_msg("%s: %s", REFUSED[i], sqlite3_errmsg(db));
        }
    }
    must_settle(ledger, &batch);
    assert_int_equal(sqlite3_exec(db, "UPDATE oncesink_batch SET records = 1", NULL, NULL, NULL),
                     SQLITE_CONSTRAINT);
    sqlite3_close(db);
    batch_deinit(&batch);
    ledger_close(ledger);
}

static void a_moved_input_leaves_a_jump_and_keeps_its_first_offset(void **state)
{
    struct ledger *ledger = with_inputs(2);
    struct ledger_input input = {.topic = (char *)(uintptr_t) "a",
                                 .partition = 1,
                                 .next_offset = 50,
                                 .leader_epoch = 2,
                                 .topic_id = "id"};
    struct err err = {0};

    (void)state;
    must(ledger_begin(ledger, &err));
    must(ledger_input_put(ledger, &input, &err));
    input.topic_id[0] = '\0'; /* unknown: the one that is there stays, and no jump */
    must(ledger_input_put(ledger, &input, &err));
    must(ledger_commit(ledger, &err));
    assert_int_equal(ask_integer(&place,
                                 "SELECT count(*) FROM oncesink_jump WHERE from_offset = 0 AND "
                                 "to_offset = 50 AND batch = 0 AND partition = 1"),
                     1);
    assert_int_equal(ask_integer(&place, "SELECT count(*) FROM oncesink_jump"), 1);
    assert_int_equal(ask_integer(&place,
                                 "SELECT count(*) FROM oncesink_input WHERE topic_id = 'id' AND "
                                 "first_offset = 0 AND next_offset = 50"),
                     1);
    ledger_close(ledger);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_plan_comes_back_from_another_process_as_it_was, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(settling_moves_offsets_outcome_and_totals_together, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_ledger_knows_how_its_last_settled_batch_was_delivered,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(a_settle_and_the_next_plan_share_a_transaction, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_rollback_leaves_nothing_in_the_file_nor_in_memory, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_definition_is_stored_once_and_a_changed_one_anew, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_checkpoint_raises_fences_and_replaces_progress, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_record_set_aside_keeps_its_bytes_and_needs_a_fence, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(settling_what_was_not_planned_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(a_plan_from_an_offset_that_someone_moved_is_refused, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(impossible_states_are_refused_by_the_schema, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_moved_input_leaves_a_jump_and_keeps_its_first_offset,
                                        setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
