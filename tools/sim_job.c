/* A job without Kafka.
 *
 *     tick ─► split ─► (empty?) ─► processing = overhead + records / speed ─► estimator ─► between
 *     ─► tick …
 *
 * As in the service a batch begins at its tick, or when the one before has ended; it takes of what
 * is there when it begins; and the estimator's answer to it is in force for the next one. */
#include "sim_job.h"

#include "mem.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>

enum { IDLE_MS = 20 }; /* interval 0: how soon the service looks again when there was nothing */

#define PROCESSING_MS_MAX INT64_C(1000000000000000) /* of a batch, and of a wait */

void sim_job_init(struct sim_job *job, const struct sim_settings *settings,
                  struct arrivals *arrivals)
{
    assert(settings->interval_ms >= 0);
    assert(settings->records_per_s > 0);
    *job = (struct sim_job){.settings = *settings, .arrivals = arrivals};
    tick_init(&job->tick, settings->interval_ms, 0);
    rate_estimate_init(&job->estimate);
    job->next = mem_array(arrivals->partitions, sizeof(*job->next));
    job->ends = mem_array(arrivals->partitions, sizeof(*job->ends));
    job->shares = mem_array(arrivals->partitions, sizeof(*job->shares));
}

void sim_job_deinit(struct sim_job *job)
{
    free(job->next);
    free(job->ends);
    free(job->shares);
    *job = (struct sim_job){0};
}

/* Interval 0: when the service, which looks every IDLE_MS, finds that the time since the last plan
 * is worth another one. */
static int64_t worth_it_ms(const struct sim_job *job)
{
    int64_t passed_ms = job->now_ms - job->planned_ms;
    int64_t smallest = 0;
    int64_t largest = 0;
    int64_t fewest = 0; /* so many looks … */
    int64_t most = PROCESSING_MS_MAX / IDLE_MS;

    for (size_t i = 0; i < job->arrivals->partitions; i++) {
        int64_t cap = job->settings.caps[i];

        if (cap > 0) {
            smallest = smallest == 0 || cap < smallest ? cap : smallest;
            largest = cap > largest ? cap : largest;
        }
    }
    while (fewest < most) {
        int64_t looks = fewest + (most - fewest) / 2;

        if (rate_split_is_worth_it(passed_ms + looks * IDLE_MS, smallest, largest,
                                   job->settings.minimum)) {
            most = looks;
        } else {
            fewest = looks + 1;
        }
    }
    return job->now_ms + fewest * IDLE_MS;
}

int64_t sim_job_due_ms(const struct sim_job *job)
{
    return job->settings.interval_ms > 0 ? job->now_ms + tick_wait(&job->tick, job->now_ms)
                                         : worth_it_ms(job);
}

/* Interval 0, nothing was taken though something is there: with time a cap gives a record, where
 * there is one. */
static bool is_stuck(const struct sim_job *job)
{
    for (size_t i = 0; i < job->arrivals->partitions; i++) {
        if (job->shares[i].latest > job->next[i] && job->settings.caps[i] > 0) {
            return false;
        }
    }
    return true;
}

static void split(struct sim_job *job, struct sim_batch *batch)
{
    struct rate_split split = {
        .interval_ms = job->settings.interval_ms > 0 ? job->settings.interval_ms
                                                     : job->now_ms - job->planned_ms,
        .backpressure = job->settings.backpressure,
        .first_unlimited = job->batches == 0 && !job->settings.first_capped,
        .rate = job->estimate.published,
        .initial = job->settings.initial,
        .records_max = job->settings.records_max,
    };

    for (size_t i = 0; i < job->arrivals->partitions; i++) {
        job->shares[i] = (struct rate_share){.current = job->next[i],
                                             .latest = job->ends[i],
                                             .cap = job->settings.caps[i],
                                             .minimum = job->settings.minimum};
    }
    rate_split(&split, job->shares, job->arrivals->partitions, &batch->limited);
    batch->rate = rate_split_rate(&split);
    for (size_t i = 0; i < job->arrivals->partitions; i++) {
        int64_t take = job->shares[i].until - job->next[i];

        batch->records += take;
        batch->left += job->ends[i] - job->shares[i].until;
        job->next[i] = job->shares[i].until;
        job->ends[i] = take; /* the place isn't needed otherwise until the next step */
    }
    batch->takes = job->ends;
    if (batch->records > 0 || is_stuck(job)) {
        job->planned_ms = job->now_ms;
    }
}

static int64_t processing_ms(const struct sim_settings *settings, bool first, int64_t records)
{
    double ms = (double)settings->overhead_ms + (first ? (double)settings->first_ms : 0) +
                (double)records * 1000 / settings->records_per_s;

    return ms < (double)PROCESSING_MS_MAX ? llround(ms) : PROCESSING_MS_MAX;
}

/* Nothing was taken. With an interval nothing will be before more comes, as nothing else changes:
 * the ticks until then are passed by at once. */
static enum sim_step pass_empty(struct sim_job *job, int64_t left)
{
    bool waits = job->settings.interval_ms > 0 || left == 0 || is_stuck(job);
    int64_t next_ms;

    tick_empty(&job->tick, job->now_ms);
    if (arrivals_are_over(job->arrivals, &next_ms) && waits) {
        return SIM_END;
    }
    if (job->settings.interval_ms == 0) {
        job->now_ms += IDLE_MS;
        if (waits && next_ms > job->now_ms) {
            job->now_ms = next_ms;
            job->planned_ms = next_ms - IDLE_MS;
        }
    } else if (next_ms > job->tick.next_ms) {
        tick_empty(&job->tick, next_ms);
    }
    return SIM_EMPTY;
}

static void settle(struct sim_job *job, struct sim_batch *batch)
{
    struct rate_estimate_batch settled = {.time_ms = batch->ended_ms,
                                          .records = batch->records,
                                          .processing_ms = batch->processing_ms,
                                          .scheduling_ms = batch->scheduling_ms};

    if (!job->settings.backpressure) {
        return;
    }
    (void)rate_estimate_add(&job->estimate, &job->settings.estimator, &settled);
    if (!rate_estimate_is_sound(&job->estimate)) { /* as the service: anew */
        rate_estimate_init(&job->estimate);
    }
}

enum sim_step sim_job_step(struct sim_job *job, struct sim_batch *batch_out, struct err *err)
{
    struct sim_batch batch = {0};
    int64_t collapsed;

    job->now_ms = sim_job_due_ms(job);
    if (!arrivals_until(job->arrivals, job->now_ms, job->ends, err)) {
        return SIM_FAILED;
    }
    batch.tick_ms = tick_take(&job->tick, job->now_ms, &collapsed);
    job->collapsed += collapsed;
    split(job, &batch);
    if (batch.records == 0) {
        return pass_empty(job, batch.left);
    }
    batch.number = ++job->batches;
    batch.collapsed = job->collapsed;
    job->collapsed = 0;
    batch.scheduling_ms = job->now_ms - batch.tick_ms;
    batch.processing_ms = processing_ms(&job->settings, batch.number == 1, batch.records);
    job->now_ms += batch.processing_ms;
    batch.ended_ms = job->now_ms;
    settle(job, &batch);
    job->now_ms += job->settings.between_ms;
    *batch_out = batch;
    return SIM_BATCH;
}

bool sim_job_backlog(struct sim_job *job, int64_t *backlog_out, struct err *err)
{
    if (!arrivals_until(job->arrivals, job->now_ms, job->ends, err)) {
        return false;
    }
    *backlog_out = 0;
    for (size_t i = 0; i < job->arrivals->partitions; i++) {
        *backlog_out += job->ends[i] - job->next[i];
    }
    return true;
}
