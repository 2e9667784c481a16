/* Settling a batch and planning the next one.
 *
 *     settlement: counts from `delivered`, next offsets from the ranges, fences from the outputs
 *     plan:       ends asked, taken as the limits allow, fences at each output's next offset
 *
 * A failed transaction leaves everything in memory as it was; it is applied after the commit. */
#include "settle.h"

#include "batch_plan.h"
#include "deliver.h"
#include "failpoint.h"
#include "job_state.h"
#include "log.h"
#include "mem.h"
#include "source_ends.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { JOIN_WAIT_MS = 200 };

/* ---- the next plan ---- */

static struct ends_item *ask_items(const struct job *job, size_t *count_out)
{
    struct ends_item *items = mem_array(job->inputs.count, sizeof(*items));
    size_t count = 0;

    for (size_t i = 0; i < job->inputs.count; i++) {
        if (definition_find_input(&job->definition, job->inputs.items[i].topic) >= 0) {
            items[count++] = (struct ends_item){.topic = job->inputs.items[i].topic,
                                                .partition = job->inputs.items[i].partition};
        }
    }
    *count_out = count;
    return items;
}

/* R6: fences that have grown old move to the end of the log, so that they don't fall behind retention. */
static bool refresh_fences(struct job *job, struct err *err)
{
    struct ends_item *items = mem_array(job->outputs.count, sizeof(*items));
    size_t *place = mem_array(job->outputs.count, sizeof(*place));
    struct patience patience = job_patience(job, -1);
    int64_t wall = clock_wall_ms(&job->clock);
    size_t count = 0;
    bool ok;

    for (size_t i = 0; i < job->outputs.count; i++) {
        const struct output *output = &job->outputs.items[i];

        if (output->looked && output->expected < 0 &&
            wall - output->refreshed_wall_ms > FENCE_AGE_MS) {
            items[count] =
                (struct ends_item){.topic = output->topic, .partition = output->partition};
            place[count++] = i;
        }
    }
    ok = count == 0 || ends_get(job->ask, ENDS_LAST, items, count, &patience, err);
    for (size_t i = 0; ok && i < count; i++) {
        struct output *output = &job->outputs.items[place[i]];

        if (items[i].offset < output->next) {
            ok = err_set(err, ERR_DECISION, 0,
                         "output '%s'[%d] ends at %" PRId64 ", below the %" PRId64
                         " that was delivered: cut by an unclean leader election, or made anew",
                         output->topic, (int)output->partition, items[i].offset, output->next);
            break;
        }
        output->next = items[i].offset;
        output->refreshed_wall_ms = wall;
    }
    free(items);
    free(place);
    return ok;
}

static int64_t next_of(const struct job *job, size_t input)
{
    const struct ledger_input *known = &job->inputs.items[input];

    /* While the batch before is being settled, it is where that one ends. */
    for (size_t i = 0; job->state != PROTOCOL_IDLE && i < job->batch.range_count; i++) {
        const struct range *range = &job->batch.ranges[i];

        if (range->partition == known->partition &&
            strcmp(job->batch.definition.inputs[range->input].topic, known->topic) == 0) {
            return range->until;
        }
    }
    return known->next_offset;
}

static int32_t epoch_of(const struct job *job, size_t input)
{
    const struct ledger_input *known = &job->inputs.items[input];

    for (size_t i = 0; job->state != PROTOCOL_IDLE && i < job->batch.range_count; i++) {
        const struct range *range = &job->batch.ranges[i];

        if (range->partition == known->partition && job->epochs != NULL &&
            strcmp(job->batch.definition.inputs[range->input].topic, known->topic) == 0) {
            return job->epochs[i];
        }
    }
    return known->leader_epoch;
}

/* A lower end than our offset isn't truncation until a newer leader says so (protocol.md, Input). */
static bool check_end(const struct job *job, size_t input, const struct ends_item *end,
                      struct err *err)
{
    const struct ledger_input *known = &job->inputs.items[input];
    int64_t next = next_of(job, input);

    if (end->offset >= next || end->leader_epoch < 0 || known->leader_epoch < 0 ||
        end->leader_epoch <= known->leader_epoch) {
        return true;
    }
    return err_set(
        err, ERR_DECISION, 0,
        "input '%s'[%d] ends at %" PRId64 ", but offset %" PRId64
        " is needed next: truncated by an unclean leader election (leader epoch %d, ours "
        "%d), or made anew",
        known->topic, (int)known->partition, end->offset, next, (int)end->leader_epoch,
        (int)known->leader_epoch);
}

static void fill_plan(struct job *job, const struct ends_item *items, size_t count, int64_t tick_ms,
                      int64_t started_ms, struct batch *batch)
{
    struct plan_input *inputs = mem_array(count, sizeof(*inputs));
    struct rate_split split = {
        .interval_ms =
            job->tick.interval_ms > 0 ? job->tick.interval_ms : started_ms - job->planned_ms,
        .first_unlimited = job->identity.batch == 0 && !job->config->first_batch_capped,
        .records_max = job->config->batch_max_records,
    };
    size_t at = 0;

    for (size_t i = 0; i < job->inputs.count; i++) {
        const struct ledger_input *known = &job->inputs.items[i];
        int input = definition_find_input(&job->definition, known->topic);

        if (input < 0) {
            continue;
        }
        inputs[at] = (struct plan_input){
            .input = (uint32_t)input,
            .partition = known->partition,
            .next = next_of(job, i),
            .end = items[at].offset,
            .leader_epoch = epoch_of(job, i),
            .cap = config_cap_of(job->config, known->topic, known->partition),
        };
        if (inputs[at].end > job_goal(job, known->topic, known->partition)) {
            inputs[at].end = job_goal(job, known->topic, known->partition);
        }
        at++;
    }
    assert(at == count);
    definition_copy(&job->definition, &batch->definition);
    batch->number = job->identity.batch + 1;
    batch->tick_ms = tick_ms;
    batch->started_ms = started_ms;
    batch->planned_wall_ms = clock_wall_ms(&job->clock);
    batch_plan(&split, job->config->rate_min_per_partition, inputs, count, &job->outputs, batch);
    free(inputs);
}

/* Takes the due tick. */
static bool take_tick(struct job *job, int64_t started_ms, int64_t *tick_out, struct err *err)
{
    int64_t collapsed;

    *tick_out = tick_take(&job->tick, started_ms, &collapsed);
    if (collapsed == 0) {
        return true;
    }
    log_notice("%" PRId64 " ticks were missed and collapse into one", collapsed);
    return ledger_event(job->ledger, EVENT_TICKS, 0, clock_wall_ms(&job->clock), err,
                        "%" PRId64 " missed ticks collapsed into one", collapsed);
}

/* The plan for the due tick; no ranges when there is nothing to read. With wait_ms ≥ 0, *made_out is false (and the tick is
 * not taken) when the ends don't come within it. */
static bool prepare(struct job *job, int wait_ms, struct batch *batch, bool *made_out,
                    struct err *err)
{
    int64_t started_ms = clock_now_ms(&job->clock);
    size_t count;
    struct ends_item *items = ask_items(job, &count);
    struct patience patience = job_patience(job, wait_ms);
    int64_t tick_ms;
    bool ok;

    *made_out = false;
    ok = ends_get(job->ask,
                  job->config->isolation == ISOLATION_READ_COMMITTED ? ENDS_COMMITTED : ENDS_LAST,
                  items, count, &patience, err);
    if (!ok && wait_ms >= 0 && err->kind == ERR_TEMPORARY) {
        free(items);
        return true;
    }
    for (size_t i = 0, at = 0; ok && i < job->inputs.count; i++) {
        if (definition_find_input(&job->definition, job->inputs.items[i].topic) >= 0) {
            ok = check_end(job, i, &items[at++], err);
        }
    }
    ok = ok && take_tick(job, started_ms, &tick_ms, err);
    if (ok) {
        fill_plan(job, items, count, tick_ms, started_ms, batch);
        if (batch->range_count == 0) {
            tick_empty(&job->tick, started_ms);
        }
        *made_out = batch->range_count > 0;
        job->planned_ms = started_ms;
    }
    free(items);
    return ok;
}

static bool plan_steps(struct job *job, void *arg, struct err *err)
{
    struct batch *batch = arg;

    if (!ledger_define(job->ledger, &batch->definition, err) ||
        !ledger_plan(job->ledger, batch, err)) {
        return false;
    }
    return !failpoint("plan-before-commit") || err_set(err, ERR_FAILED, 0, "failpoint");
}

/* The plan is durable: it is the batch under way. */
static void adopt(struct job *job, struct batch *batch)
{
    assert(job->state == PROTOCOL_IDLE);
    batch_deinit(&job->batch);
    job->batch = *batch;
    *batch = (struct batch){0};
    job->definition.id = job->batch.definition.id;
    job->identity.batch = job->batch.number;
    job->recovered = false;
    job->finishing = true;
    job->found = 0;
    delivered_deinit(&job->delivered);
    delivered_init(&job->delivered, job->batch.range_count, job->outputs.count);
    outputs_begin(&job->outputs);
    for (size_t i = 0; i < job->batch.fence_count; i++) {
        int64_t place =
            outputs_find(&job->outputs, job->batch.fences[i].topic, job->batch.fences[i].partition);

        assert(place >= 0);
        job->outputs.items[place].fenced = true;
        job->outputs.items[place].fence = job->batch.fences[i].offset;
    }
    job_move(job, PROTOCOL_PLAN);
}

bool settle_plan(struct job *job, struct err *err)
{
    struct batch batch = {0};
    bool made = false;
    bool ok = refresh_fences(job, err) && prepare(job, -1, &batch, &made, err);

    if (ok && made) {
        ok = job_transaction(job, plan_steps, &batch, err);
        if (ok && failpoint("plan-after-commit")) {
            ok = err_set(err, ERR_FAILED, 0, "failpoint");
        }
        if (ok) {
            adopt(job, &batch);
        }
    }
    batch_deinit(&batch);
    return ok;
}

/* ---- the settlement ---- */

struct settling {
    struct ledger_settlement settlement;
    struct ledger_input *inputs;
    int64_t *input_records;
    struct ledger_output *outputs;
    int64_t *output_records;
    struct batch next; /* planned in the same transaction when it has ranges */
};

static void settle_inputs(struct job *job, struct settling *settling)
{
    const struct batch *batch = &job->batch;

    settling->inputs = mem_array(batch->range_count, sizeof(*settling->inputs));
    settling->input_records = mem_array(batch->range_count, sizeof(int64_t));
    for (size_t r = 0; r < batch->range_count; r++) {
        const struct range *range = &batch->ranges[r];
        const struct definition_input *input = &batch->definition.inputs[range->input];

        settling->inputs[r] = (struct ledger_input){
            .topic = input->topic,
            .partition = range->partition,
            .next_offset = range->until,
            .leader_epoch = job->epochs[r],
        };
        memcpy(settling->inputs[r].topic_id, input->topic_id, TOPIC_ID_SIZE);
        for (size_t o = 0; o < job->delivered.outputs; o++) {
            settling->input_records[r] +=
                job->delivered.entries[r * job->delivered.outputs + o].records;
        }
        settling->settlement.records += settling->input_records[r];
    }
    settling->settlement.inputs = settling->inputs;
    settling->settlement.input_records = settling->input_records;
    settling->settlement.input_count = batch->range_count;
}

static void settle_outputs(struct job *job, struct settling *settling)
{
    size_t count = 0;

    settling->outputs = mem_array(job->outputs.count, sizeof(*settling->outputs));
    settling->output_records = mem_array(job->outputs.count, sizeof(int64_t));
    for (size_t o = 0; o < job->outputs.count; o++) {
        const struct output *output = &job->outputs.items[o];
        const struct topic_fact *fact = topic_facts_find(job->facts, output->topic);

        if (!output->fenced) {
            continue;
        }
        settling->outputs[count] = (struct ledger_output){
            .topic = output->topic,
            .partition = output->partition,
            .next_offset = output->next,
            .refreshed_wall_ms =
                output->records > 0 ? clock_wall_ms(&job->clock) : output->refreshed_wall_ms,
        };
        if (fact != NULL) {
            memcpy(settling->outputs[count].topic_id, fact->topic_id, TOPIC_ID_SIZE);
        }
        for (size_t r = 0; o < job->delivered.outputs && r < job->delivered.ranges; r++) {
            settling->output_records[count] +=
                job->delivered.entries[r * job->delivered.outputs + o].records;
        }
        settling->settlement.outputs += settling->output_records[count];
        count++;
    }
    settling->settlement.outputs_after = settling->outputs;
    settling->settlement.output_records = settling->output_records;
    settling->settlement.output_count = count;
}

static void settling_init(struct job *job, struct settling *settling)
{
    int64_t wall = clock_wall_ms(&job->clock);
    int64_t scheduling = job->batch.started_ms - job->batch.tick_ms;

    *settling = (struct settling){.settlement = {
                                      .batch = job->batch.number,
                                      .ended_ms = job->acknowledged_ms,
                                      .settled_wall_ms = wall,
                                      .processing_ms = job->acknowledged_ms - job->batch.started_ms,
                                      .scheduling_ms = scheduling > 0 ? scheduling : 0,
                                      .found = job->found,
                                      .recovered = job->recovered,
                                  }};
    settle_inputs(job, settling);
    settle_outputs(job, settling);
}

static void settling_deinit(struct settling *settling)
{
    free(settling->inputs);
    free(settling->input_records);
    free(settling->outputs);
    free(settling->output_records);
    batch_deinit(&settling->next);
}

static bool settle_steps(struct job *job, void *arg, struct err *err)
{
    struct settling *settling = arg;

    if (!ledger_settle(job->ledger, &settling->settlement, err) ||
        (settling->next.range_count > 0 && !plan_steps(job, &settling->next, err))) {
        return false;
    }
    return !failpoint("settle-before-commit") || err_set(err, ERR_FAILED, 0, "failpoint");
}

/* O2: mark N − 1 is acknowledged before N is settled. It travelled while N was delivered. */
static bool wait_for_mark(struct job *job, struct err *err)
{
    while (!mark_idle(job->marks)) {
        if (!job_meanwhile(job, err)) {
            return false;
        }
        if (!mark_idle(job->marks)) {
            job_wait(job, IDLE_SLICE_MS);
        }
    }
    return true;
}

static void apply(struct job *job, const struct settling *settling)
{
    for (size_t r = 0; r < job->batch.range_count; r++) {
        const struct ledger_input *settled = &settling->inputs[r];

        for (size_t i = 0; i < job->inputs.count; i++) {
            struct ledger_input *input = &job->inputs.items[i];

            if (input->partition == settled->partition &&
                strcmp(input->topic, settled->topic) == 0) {
                input->next_offset = settled->next_offset;
                input->leader_epoch = settled->leader_epoch;
                break;
            }
        }
    }
    for (size_t o = 0; o < job->outputs.count; o++) {
        if (job->outputs.items[o].fenced) {
            job->outputs.items[o].stored = true;
        }
    }
    job->identity.settled = job->batch.number;
}

void settle_mark(struct job *job)
{
    struct mark_item *items = mem_array(job->inputs.count, sizeof(*items));

    for (size_t i = 0; i < job->inputs.count; i++) {
        items[i] = (struct mark_item){.topic = job->inputs.items[i].topic,
                                      .partition = job->inputs.items[i].partition,
                                      .offset = job->inputs.items[i].next_offset};
    }
    mark_begin(job->marks, job->identity.settled, items, job->inputs.count, job->marked_ms == 0);
    job->marked_ms = clock_now_ms(&job->clock);
    free(items);
}

static void log_settled(const struct job *job, const struct settling *settling)
{
    log_info("batch %" PRId64 " settled: %" PRId64 " records of %" PRId64 " offsets in %" PRId64
             " ms, %" PRId64 " ms after its tick%s",
             job->batch.number, settling->settlement.records, batch_planned(&job->batch),
             settling->settlement.processing_ms, settling->settlement.scheduling_ms,
             job->recovered ? ", finished by recovery" : "");
}

bool settle_batch(struct job *job, bool join, struct err *err)
{
    struct settling settling;
    bool made = false;
    bool ok;

    settling_init(job, &settling);
    ok = wait_for_mark(job, err);
    if (ok && join && !stop_requested(&job->stop) &&
        tick_wait(&job->tick, clock_now_ms(&job->clock)) == 0 &&
        clock_now_ms(&job->clock) - job->facts_ms < FACTS_AGE_MS) {
        ok = ledger_check_file(job->ledger, err) &&
             prepare(job, JOIN_WAIT_MS, &settling.next, &made, err);
    }
    ok = ok && job_transaction(job, settle_steps, &settling, err);
    if (ok && failpoint("settle-after-commit")) {
        ok = err_set(err, ERR_FAILED, 0, "failpoint");
    }
    if (ok) {
        apply(job, &settling);
        log_settled(job, &settling);
        deliver_end(job);
        free(job->suspects);
        job->suspects = NULL;
        job->suspect_count = 0;
        job_move(job, PROTOCOL_SETTLE);
        job->finishing = false;
        if (failpoint("mark-before")) {
            ok = err_set(err, ERR_FAILED, 0, "failpoint");
        }
        settle_mark(job);
        if (ok && made) {
            adopt(job, &settling.next);
        }
    }
    settling_deinit(&settling);
    return ok;
}
