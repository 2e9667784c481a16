/* Settling a batch: its outcome, the partitions' next offsets, and its mark (O2).
 *
 * A failed transaction leaves everything in memory as it was; it is applied after the commit. When
 * the next tick is due, the next plan is in the same transaction; then its records are handed over
 * while the disk still writes that (deliver.c). */
#include "settle.h"

#include "deliver.h"
#include "failpoint.h"
#include "job_state.h"
#include "kafka_client.h"
#include "log.h"
#include "mem.h"
#include "plan.h"
#include "throttle.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { JOIN_WAIT_MS = 200, RATE_TEXT_SIZE = 48, MARK_MS = 100 };

struct settling {
    struct ledger_settlement settlement;
    struct ledger_input *inputs;
    int64_t *input_records;
    struct ledger_output *outputs;
    int64_t *output_records;
    struct rate_estimate estimate; /* the rate's state with this batch */
    struct batch next;             /* planned in the same transaction when it has ranges */
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
        settling->input_records[r] = delivered_records(&job->delivered, r);
        settling->settlement.records += settling->input_records[r];
    }
    settling->settlement.inputs = settling->inputs;
    settling->settlement.input_records = settling->input_records;
    settling->settlement.input_count = batch->range_count;
}

/* Records of each output, of all ranges. */
static int64_t *records_of_outputs(const struct job *job)
{
    const struct delivered *delivered = &job->delivered;
    int64_t *records = mem_array(job->outputs.count, sizeof(*records));

    for (size_t r = 0; r < delivered->ranges; r++) {
        const struct delivered_row *row = &delivered->rows[r];

        for (size_t i = 0; i < row->count; i++) {
            records[row->first + i] += row->entries[i].records;
        }
    }
    return records;
}

static void settle_outputs(struct job *job, struct settling *settling)
{
    int64_t *records = records_of_outputs(job);
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
        settling->output_records[count] = records[o];
        settling->settlement.outputs += settling->output_records[count];
        count++;
    }
    free(records);
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
    if (throttle_count(job, &settling->settlement, &settling->estimate)) {
        settling->settlement.rate = &settling->estimate;
    }
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

    stop_serve(&job->stop);
    if (stop_requested(&job->stop)) {
        batch_deinit(&settling->next); /* it came while somebody's lock was waited for */
    }
    if (!ledger_settle(job->ledger, &settling->settlement, err) ||
        (settling->next.range_count > 0 && !plan_store(job, &settling->next, err))) {
        return false;
    }
    return !failpoint("settle-before-commit") || err_set(err, ERR_FAILED, 0, "failpoint");
}

/* O2: a mark that travels for longer is waited for, so the group stays at most two of these times
 * and a batch behind the ledger. */
static bool wait_for_mark(struct job *job, struct err *err)
{
    while (!mark_idle(job->marks) && clock_now_ms(&job->clock) - job->marked_ms >= MARK_MS) {
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
    for (size_t i = 0; i < job->inputs.count; i++) {
        struct ledger_input *input = &job->inputs.items[i];
        int64_t range = batch_find_range(&job->batch, input->topic, input->partition);

        if (range >= 0) {
            input->next_offset = settling->inputs[range].next_offset;
            input->leader_epoch = settling->inputs[range].leader_epoch;
        }
    }
    for (size_t o = 0; o < job->outputs.count; o++) {
        if (job->outputs.items[o].fenced) {
            job->outputs.items[o].stored = true;
        }
    }
    job->estimate = settling->estimate;
    job->identity.settled = job->batch.number;
    job->identity.settled_by_mark = job_by_mark(job);
    job->identity.settled_by_place = job->batch.definition.provenance == PROVENANCE_POSITIONS;
}

void settle_mark(struct job *job)
{
    struct mark_item *items = mem_array(job->inputs.count, sizeof(*items));
    size_t count = 0;

    for (size_t i = 0; i < job->inputs.count; i++) {
        const struct ledger_input *input = &job->inputs.items[i];

        if (definition_find_input(&job->definition, input->topic) < 0) {
            continue; /* no longer read: the topic may be gone, and the group refuse its offset */
        }
        items[count++] = (struct mark_item){
            .topic = input->topic, .partition = input->partition, .offset = input->next_offset};
    }
    mark_begin(job->marks, job->identity.settled, items, count, job->marked_ms == 0);
    job->marked_ms = clock_now_ms(&job->clock);
    job->mark_owed = false;
    free(items);
}

void settle_mark_owed(struct job *job, bool at_once)
{
    if (job->mark_owed && !job->unsynced && mark_idle(job->marks) &&
        (at_once || job->marked_ms == 0 || clock_now_ms(&job->clock) - job->marked_ms >= MARK_MS)) {
        settle_mark(job);
    }
}

static void log_settled(const struct job *job, const struct settling *settling)
{
    char rate[RATE_TEXT_SIZE] = "";

    if (job->batch.rate > 0) {
        snprintf(rate, sizeof(rate), ", rate %.0f/s", job->batch.rate);
    }
    log_info("batch %" PRId64 " settled: %" PRId64 " records of %" PRId64 " offsets in %" PRId64
             " ms, %" PRId64 " ms after its tick%s, limited by %s%s",
             job->batch.number, settling->settlement.records, batch_planned(&job->batch),
             settling->settlement.processing_ms, settling->settlement.scheduling_ms, rate,
             LIMITED_WORDS[job->batch.limited_by], job->recovered ? ", finished by recovery" : "");
}

/* Of the relations of time settings the one that shows only while it runs. */
static void warn_of_pace(struct job *job, const struct ledger_settlement *settlement)
{
    const struct config *config = job->config;
    double rate;

    if (!config->warn_of_pace || job->recovered ||
        !pace_batch(&job->pace, settlement->records, settlement->processing_ms,
                    config->fetch_max_records, config->session_timeout_ms, &rate)) {
        return;
    }
    log_warning("fetch.max.records = %" PRId64 " records take %.0f ms at the %.0f records/s of the "
                "last batches, which should be below session.timeout.ms = %" PRId64 "; going on",
                config->fetch_max_records, (double)config->fetch_max_records * 1000 / rate, rate,
                config->session_timeout_ms);
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
             plan_prepare(job, &settling.estimate, JOIN_WAIT_MS, &settling.next, &made, err);
    }
    ok = ok && (settling.next.range_count > 0 && client_can_hold()
                    ? job_transaction_ahead(job, settle_steps, &settling, err)
                    : job_transaction(job, settle_steps, &settling, err));
    /* A stop that came meanwhile, while a lock was waited for, has left no plan to hand over. */
    ok = ok && (settling.next.range_count > 0 || job_synced(job, true, err));
    if (ok && failpoint("settle-after-commit")) {
        ok = err_set(err, ERR_FAILED, 0, "failpoint");
    }
    if (ok) {
        bool by_mark = job_by_mark(job);

        apply(job, &settling);
        log_settled(job, &settling);
        warn_of_pace(job, &settling.settlement);
        deliver_end(job);
        free(job->suspects);
        job->suspects = NULL;
        job->suspect_count = 0;
        job_move(job, PROTOCOL_SETTLE);
        job->finishing = false;
        if (!by_mark) {
            if (failpoint("mark-before")) {
                ok = err_set(err, ERR_FAILED, 0, "failpoint");
            }
            job->mark_owed = true;
            settle_mark_owed(job, false);
        }
        report_settled(job);
        if (ok && settling.next.range_count > 0) {
            plan_adopt(job, &settling.next);
        }
    }
    settling_deinit(&settling);
    return ok;
}
