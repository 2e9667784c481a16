/* The next plan: how far each input goes, cut by the limits, and fences for the outputs (R0, R6).
 *
 *     ends asked (last stable offset, or high watermark) → rate_split → ranges, fences → durable
 *     → under way
 *
 * With interval 0 and a backlog the ends of a moment ago serve for several batches: an end only
 * grows, and one that doesn't is seen by the reader. When nothing comes the reader, which waits at
 * each end, sees that; brokers are asked now and then.
 *
 * Nothing in memory changes before the plan is durable, but for the tick, which is taken once, the
 * ends seen, and when that was (the time that a cap is for with interval 0). What can go wrong:
 * brokers are away (waited for), an end lies below what was read (judged), the ledger can't be
 * written. */
#include "plan.h"

#include "batch_plan.h"
#include "failpoint.h"
#include "job_state.h"
#include "log.h"
#include "mem.h"
#include "plan_ends.h"
#include "positions.h"
#include "source_ends.h"
#include "start.h"
#include "throttle.h"
#include "wait.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* R6: fences that have grown old move to the end of the log, so that they don't fall behind
 * retention. */
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

        if (output->looked && output->expected < 0 && outputs_is_old(output, wall, FENCE_AGE_MS)) {
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
                         " that was delivered: cut by an unclean leader election, or made anew; "
                         "oncesink-recover resolve takes it as it is",
                         output->topic, (int)output->partition, items[i].offset, output->next);
            break;
        }
        if (output->positions && items[i].offset > output->next) {
            ok = positions_refuse(output->topic, output->partition, output->next, items[i].offset,
                                  "they came after the job's last record", err);
            break;
        }
        output->next = items[i].offset;
        output->refreshed_wall_ms = wall;
    }
    free(items);
    free(place);
    return ok;
}

static int32_t epoch_of(const struct job *job, size_t input)
{
    int64_t range = plan_ends_range(job, input);

    return range >= 0 && job->epochs != NULL ? job->epochs[range]
                                             : job->inputs.items[input].leader_epoch;
}

static void fill_plan(struct job *job, const struct rate_split *split, struct batch *batch)
{
    struct plan_input *inputs = mem_array(job->end_count, sizeof(*inputs));
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
            .next = plan_ends_next(job, i),
            .end = plan_ends_of(job, i, at),
            .leader_epoch = epoch_of(job, i),
            .end_epoch = job->ends[at].leader_epoch,
            .cap = config_cap_of(job->config, known->topic, known->partition),
        };
        at++;
    }
    assert(at == job->end_count);
    definition_copy(&job->definition, &batch->definition);
    batch->number = job->identity.batch + 1;
    batch->planned_wall_ms = clock_wall_ms(&job->clock);
    batch_plan(split, job->config->rate_min_per_partition, inputs, at, &job->outputs, batch);
    free(inputs);
}

/* Interval 0: is there time enough since the last plan for a batch? */
static bool is_worth_it(const struct job *job, int64_t now_ms)
{
    int64_t smallest = 0;
    int64_t largest = 0;

    if (job->tick.interval_ms > 0) {
        return true;
    }
    for (size_t i = 0; i < job->inputs.count; i++) {
        const struct ledger_input *input = &job->inputs.items[i];
        int64_t cap = config_cap_of(job->config, input->topic, input->partition);

        if (cap > 0 && definition_find_input(&job->definition, input->topic) >= 0) {
            smallest = smallest == 0 || cap < smallest ? cap : smallest;
            largest = cap > largest ? cap : largest;
        }
    }
    return rate_split_is_worth_it(now_ms - job->planned_ms, smallest, largest,
                                  job->config->rate_min_per_partition);
}

/* Something that a cap will let through; without one beside others a partition gives the minimum
 * only, however long it waits. */
static bool is_anything_capped(const struct job *job)
{
    for (size_t i = 0; i < job->inputs.count; i++) {
        const struct ledger_input *input = &job->inputs.items[i];

        if (definition_find_input(&job->definition, input->topic) >= 0 &&
            input->end_offset > plan_ends_next(job, i) &&
            config_cap_of(job->config, input->topic, input->partition) > 0) {
            return true;
        }
    }
    return false;
}

/* Where a plan's time goes; plan_store tells the rest. */
static void tell_times(const struct batch *batch, int64_t brokers_us, int64_t own_us)
{
    log_debug("batch %" PRId64 ": %zu partitions to be read; the brokers told their ends in %.1f "
              "ms, the plan was made in %.1f ms",
              batch->number, batch->range_count, (double)brokers_us / 1000, (double)own_us / 1000);
}

bool plan_prepare(struct job *job, const struct rate_estimate *estimate, int wait_ms,
                  struct batch *batch, bool *made_out, struct err *err)
{
    int64_t started_ms = clock_now_ms(&job->clock);
    int64_t asked_us = wait_now_us();
    int64_t answered_us;
    bool ok;

    *made_out = false;
    if (!is_worth_it(job, started_ms)) {
        return true;
    }
    ok = plan_ends_learn(job, started_ms, wait_ms, err);
    if (!ok && err->kind == ERR_TEMPORARY) {
        /* The next look at the topics waits for the brokers that are away, and names the topic that
         * is missing. */
        job_doubt_topics(job);
        return true;
    }
    ok = ok && start_check_ids(job, err);
    answered_us = wait_now_us();
    if (ok && failpoint("plan-asked")) {
        ok = err_set(err, ERR_FAILED, 0, "failpoint");
    }
    if (ok) {
        struct rate_split split = throttle_split(job, estimate, started_ms);

        batch->tick_ms = tick_take(&job->tick, started_ms, &batch->missed_ticks);
        batch->started_ms = started_ms;
        fill_plan(job, &split, batch);
        if (batch->range_count == 0) {
            tick_empty(&job->tick, started_ms);
        }
        /* While a cap is too low for a record of the partition that has some, time adds up. */
        if (batch->range_count > 0 || !is_anything_capped(job)) {
            job->planned_ms = started_ms;
        }
        /* A stop that came since the plan's time stamp would be followed by a whole batch; one that
         * comes later finds this batch under way. */
        stop_serve(&job->stop);
        *made_out = batch->range_count > 0 && !stop_requested(&job->stop);
        if (*made_out) {
            tell_times(batch, answered_us - asked_us, wait_now_us() - answered_us);
        } else {
            batch_deinit(batch); /* or settling would store it, and nobody take it up */
        }
    }
    return ok;
}

bool plan_store(struct job *job, void *arg, struct err *err)
{
    struct batch *batch = arg;
    int64_t began_us = wait_now_us();

    if (!ledger_define(job->ledger, &batch->definition, err) ||
        !ledger_plan(job->ledger, batch, err)) {
        return false;
    }
    if (batch->missed_ticks > 0 &&
        !ledger_event(job->ledger, EVENT_TICKS, batch->number, clock_wall_ms(&job->clock), err,
                      "%" PRId64 " missed ticks collapsed into one", batch->missed_ticks)) {
        return false;
    }
    log_debug("batch %" PRId64 ": the plan was written in %.1f ms", batch->number,
              (double)(wait_now_us() - began_us) / 1000);
    return !failpoint("plan-before-commit") || err_set(err, ERR_FAILED, 0, "failpoint");
}

void plan_adopt(struct job *job, struct batch *batch)
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
    job->slice = 0;
    job->whole = false;
    job->broken_count = 0;
    free(job->done);
    job->done = NULL;
    delivered_deinit(&job->delivered);
    delivered_init(&job->delivered, job->batch.range_count, job->outputs.count);
    delivered_copy(&job->delivered, &job->committed);
    outputs_begin(&job->outputs);
    for (size_t i = 0; i < job->batch.fence_count; i++) {
        int64_t place =
            outputs_find(&job->outputs, job->batch.fences[i].topic, job->batch.fences[i].partition);

        assert(place >= 0);
        job->outputs.items[place].fenced = true;
        job->outputs.items[place].fence = job->batch.fences[i].offset;
    }
    job_move(job, PROTOCOL_PLAN);
    if (job->batch.missed_ticks > 0) {
        log_notice("%" PRId64 " ticks were missed and collapsed into one", job->batch.missed_ticks);
    }
}

bool plan_make(struct job *job, struct err *err)
{
    struct batch batch = {0};
    bool made = false;
    bool ok = refresh_fences(job, err) && plan_prepare(job, &job->estimate, -1, &batch, &made, err);

    if (ok && made) {
        ok = job_transaction(job, plan_store, &batch, err);
        if (ok && failpoint("plan-after-commit")) {
            ok = err_set(err, ERR_FAILED, 0, "failpoint");
        }
        if (ok) {
            plan_adopt(job, &batch);
        }
    }
    batch_deinit(&batch);
    return ok;
}
