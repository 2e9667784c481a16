/* Random lives against a model in memory: plans, settles, both in one transaction, rollbacks,
 * jumps, checkpoints, fences, records set aside, prunings, restarts. After each step the ledger
 * tells what the model knows; at the end of a life it is sound. The seed of a life that fails is
 * printed; lives are short, so that they are many. */
#include "support_ledger.h"

#include "ledger_verify.h"
#include "mem.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PARTITIONS = 5, LIVES = 6, LIVES_FULL = 200, STEPS = 50 };

struct model {
    int64_t next[PARTITIONS];  /* input offsets */
    int64_t out[PARTITIONS];   /* output offsets */
    int64_t until[PARTITIONS]; /* of the batch in doubt; 0 = not in it */
    int64_t batch;
    int64_t settled;
    int64_t records;
    int64_t aside;       /* all in all */
    int64_t aside_doubt; /* of the batch in doubt */
    int64_t rate_batch;  /* the rate comes from this one; 0 = none yet */
    bool fenced;         /* the error partition has a fence in the batch in doubt */
    bool checkpointed;
};

struct life {
    struct place place;
    struct ledger *ledger;
    struct model model;
    struct batch doubt; /* number 0 = none */
    unsigned seed;
    unsigned starts;
};

static int64_t draw(struct life *life, int64_t below)
{
    return rand_r(&life->seed) % below;
}

static void start(struct life *life)
{
    char incarnation[INCARNATION_SIZE];

    life->ledger = must_open(&life->place);
    snprintf(incarnation, sizeof(incarnation), "%08x", ++life->starts);
    must_start(life->ledger, incarnation);
}

/* A batch over some of the partitions, at least one. */
static void make_plan(struct life *life, const int64_t next[PARTITIONS], struct batch *batch_out)
{
    size_t count = 0;

    sample_batch(batch_out, life->model.batch + 1, PARTITIONS, 0, 1);
    for (int32_t p = 0; p < PARTITIONS; p++) {
        if (draw(life, 2) == 0 && !(p == PARTITIONS - 1 && count == 0)) {
            continue;
        }
        batch_out->ranges[count++] = (struct range){.input = 0,
                                                    .partition = p,
                                                    .from = next[p],
                                                    .until = next[p] + 1 + draw(life, 50),
                                                    .leader_epoch = -1};
    }
    batch_out->range_count = count;
    for (int32_t p = 0; p < PARTITIONS; p++) {
        batch_out->fences[p].offset = life->model.out[p];
    }
}

static bool plan(struct life *life, struct batch *batch, struct err *err)
{
    return ledger_define(life->ledger, &batch->definition, err) &&
           ledger_plan(life->ledger, batch, err);
}

/* As many outputs as inputs, each range to the output partition of its number. */
static void settle(struct life *life)
{
    const struct batch *doubt = &life->doubt;
    struct ledger_input inputs[PARTITIONS];
    struct ledger_output outputs[PARTITIONS];
    int64_t records[PARTITIONS];
    struct err err = {0};

    for (size_t i = 0; i < doubt->range_count; i++) {
        const struct range *range = &doubt->ranges[i];

        records[i] = range->until - range->from;
        inputs[i] = (struct ledger_input){.topic = doubt->definition.inputs[0].topic,
                                          .partition = range->partition,
                                          .next_offset = range->until,
                                          .leader_epoch = -1};
        outputs[i] =
            (struct ledger_output){.topic = (char *)(uintptr_t) "out",
                                   .partition = range->partition,
                                   .next_offset = life->model.out[range->partition] + records[i]};
    }
    const struct rate_estimate rate = {.time_ms = doubt->started_ms + 9,
                                       .rate = 0.5 + (double)doubt->number,
                                       .published = doubt->number};
    const bool recovered = draw(life, 2) == 0;
    const struct ledger_settlement settlement = {.batch = doubt->number,
                                                 .ended_ms = doubt->started_ms + 9,
                                                 .records = batch_planned(doubt),
                                                 .outputs = batch_planned(doubt),
                                                 .found = draw(life, 2),
                                                 .recovered = recovered,
                                                 .rate = recovered ? NULL : &rate,
                                                 .inputs = inputs,
                                                 .input_count = doubt->range_count,
                                                 .input_records = records,
                                                 .outputs_after = outputs,
                                                 .output_count = doubt->range_count,
                                                 .output_records = records};

    must(ledger_settle(life->ledger, &settlement, &err));
    if (!recovered) {
        life->model.rate_batch = doubt->number;
    }
}

static void model_settle(struct model *model, const struct batch *doubt)
{
    for (size_t i = 0; i < doubt->range_count; i++) {
        const struct range *range = &doubt->ranges[i];

        model->out[range->partition] += range->until - range->from;
        model->next[range->partition] = range->until;
    }
    model->settled = doubt->number;
    model->records += batch_planned(doubt);
    model->aside_doubt = 0;
    model->fenced = false;
    model->checkpointed = false;
}

/* Plans, settles, or settles and plans; one time in four it is rolled back. */
static void step_batch(struct life *life)
{
    const struct model before = life->model;
    const bool keep = draw(life, 4) != 0;
    const bool had_doubt = life->doubt.number > 0;
    const bool plans = !had_doubt || draw(life, 2) == 0;
    struct batch next = {0};
    struct err err = {0};

    must(ledger_begin(life->ledger, &err));
    if (had_doubt) {
        settle(life);
        model_settle(&life->model, &life->doubt);
    }
    if (plans) {
        make_plan(life, life->model.next, &next);
        must(plan(life, &next, &err));
        life->model.batch = next.number;
    }
    if (!keep) {
        ledger_rollback(life->ledger);
        life->model = before;
        batch_deinit(&next);
        return;
    }
    must(ledger_commit(life->ledger, &err));
    batch_deinit(&life->doubt);
    life->doubt = next;
}

/* In doubt: a checkpoint, a fence, a record set aside. */
static void step_doubt(struct life *life)
{
    const struct range *range = &life->doubt.ranges[0];
    const struct fence error = {.topic = "a_error", .partition = 0, .offset = 0};
    const struct progress progress = {.range = 0,
                                      .topic = (char *)(uintptr_t) "out",
                                      .partition = range->partition,
                                      .offset = range->from,
                                      .records = 1};
    const struct ledger_record record = {.topic = "a",
                                         .partition = range->partition,
                                         .offset = range->from + life->model.aside_doubt,
                                         .key_size = -1,
                                         .value_size = -1,
                                         .headers_size = -1};
    struct err err = {0};

    must(ledger_begin(life->ledger, &err));
    if (draw(life, 2) == 0) {
        must(ledger_checkpoint(life->ledger, &life->doubt, NULL, 0, &progress, 1, &err));
        life->model.checkpointed = true;
    }
    must(ledger_fence_add(life->ledger, life->doubt.number, &error, &err));
    life->model.fenced = true;
    if (record.offset < range->until) {
        must(ledger_set_aside(life->ledger, life->doubt.number, &record, "test", "a_error", 0, 1,
                              &err));
        life->model.aside++;
        life->model.aside_doubt++;
    }
    must(ledger_commit(life->ledger, &err));
}

static void step_jump(struct life *life)
{
    const int64_t partition = draw(life, PARTITIONS);
    struct ledger_input input = {.topic = (char *)(uintptr_t) "a",
                                 .partition = (int32_t)partition,
                                 .next_offset = life->model.next[partition] + draw(life, 20),
                                 .leader_epoch = -1};
    struct err err = {0};

    must(ledger_begin(life->ledger, &err));
    must(ledger_input_put(life->ledger, &input, &err));
    must(ledger_commit(life->ledger, &err));
    life->model.next[partition] = input.next_offset;
}

static void check_doubt(struct life *life)
{
    const struct model *model = &life->model;
    struct batch found;
    bool is;
    struct err err = {0};

    must(ledger_unsettled(life->ledger, &found, &is, &err));
    assert_int_equal(is, life->doubt.number > 0);
    if (!is) {
        return;
    }
    assert_int_equal(found.number, life->doubt.number);
    assert_int_equal(found.range_count, life->doubt.range_count);
    for (size_t i = 0; i < found.range_count; i++) {
        assert_int_equal(found.ranges[i].partition, life->doubt.ranges[i].partition);
        assert_int_equal(found.ranges[i].from, life->doubt.ranges[i].from);
        assert_int_equal(found.ranges[i].until, life->doubt.ranges[i].until);
    }
    assert_int_equal(found.fence_count, PARTITIONS + (model->fenced ? 1 : 0));
    assert_int_equal(found.set_aside_count, model->aside_doubt);
    assert_int_equal(found.progress_count, model->checkpointed ? 1 : 0);
    assert_true(definition_same(&found.definition, &life->doubt.definition));
    batch_deinit(&found);
}

static void check(struct life *life)
{
    const struct model *model = &life->model;
    struct ledger_identity identity;
    struct ledger_inputs inputs;
    struct rate_estimate rate;
    struct err err = {0};

    ledger_identity(life->ledger, &identity);
    assert_int_equal(identity.batch, model->batch);
    assert_int_equal(identity.settled, model->settled);
    must(ledger_inputs_load(life->ledger, &inputs, &err));
    assert_int_equal(inputs.count, PARTITIONS);
    for (int32_t p = 0; p < PARTITIONS; p++) {
        assert_int_equal(inputs.items[p].next_offset, model->next[p]);
    }
    ledger_inputs_deinit(&inputs);
    must(ledger_rate_load(life->ledger, &rate, &err));
    assert_int_equal(rate.published, model->rate_batch);
    assert_true(rate.first == (model->rate_batch == 0));
    check_doubt(life);
    assert_int_equal(ask_integer(&life->place, "SELECT records FROM totals"), model->records);
    assert_int_equal(ask_integer(&life->place, "SELECT set_aside FROM totals"), model->aside);
}

static void print_finding(void *arg, const char *check_name, const char *finding, const char *json)
{
    (void)arg;
    (void)json;
    print_error("%s: %s\n", check_name, finding);
}

static void check_sound(struct life *life)
{
    struct ledger *reader = NULL;
    int64_t count = -1;
    struct err err = {0};

    must(ledger_open_to_read(life->place.path, &reader, &err));
    must(ledger_verify(reader, print_finding, NULL, &count, &err));
    assert_int_equal(count, 0);
    ledger_close(reader);
}

static void step(struct life *life)
{
    struct err err = {0};
    const int64_t what = draw(life, 10);

    if (what < 5) {
        step_batch(life);
    } else if (what < 7 && life->doubt.number > 0) {
        step_doubt(life);
    } else if (what == 7 && life->doubt.number == 0) {
        step_jump(life);
    } else if (what == 8) {
        must(ledger_prune(life->ledger, 5, &err));
        ledger_tidy(life->ledger);
    } else {
        ledger_close(life->ledger);
        start(life);
    }
}

static void a_random_life_agrees_with_the_model(void **state)
{
    const unsigned lives = getenv("ONCESINK_FULL") != NULL ? LIVES_FULL : LIVES;

    (void)state;
    for (unsigned number = 1; number <= lives; number++) {
        struct life life = {.seed = number};

        print_message("life %u\n", number);
        place_make(&life.place);
        start(&life);
        add_inputs(life.ledger, "a", PARTITIONS);
        for (int i = 0; i < STEPS; i++) {
            step(&life);
            check(&life);
        }
        check_sound(&life);
        ledger_close(life.ledger);
        batch_deinit(&life.doubt);
        place_remove(&life.place);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_random_life_agrees_with_the_model),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
