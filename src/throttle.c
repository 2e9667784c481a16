/* The limits of a job.
 *
 *     ledger ─► estimate ─► split of the next plan ─► … ─► settled, counted ─► ledger and estimate
 *
 * What counts is a batch that this process has delivered from its first record to its last: one
 * that recovery finished has times that say nothing about the job's speed. What an earlier process
 * left is used as long as it isn't too old when a plan needs it (rate_estimate_is_stale); from then
 * on it is as if no batch had counted yet, but no batch is a new ledger's first one any more. Other
 * parameters, or another interval, don't touch the state: it is in records per second. */
#include "throttle.h"

#include "job_state.h"
#include "log.h"

#include <inttypes.h>

static bool has_caps(const struct config *config)
{
    for (size_t i = 0; i < config->cap_count; i++) {
        if (config->caps[i].records_per_s > 0) {
            return true;
        }
    }
    return false;
}

/* "Unlimited" surprises whoever set a cap; without one nobody expects a backlog in one batch. */
static void warn_of_first_batch(const struct job *job)
{
    const struct config *config = job->config;
    const char *most = config->batch_max_records > 0 ? ", up to batch.max.records" : "";

    if (job->identity.batch > 0 || !config->backpressure || config->initial_rate > 0) {
        return;
    }
    if (!has_caps(config)) {
        log_warning("the first batch of this new ledger takes all there is%s: back-pressure has no "
                    "rate before two batches are settled; backpressure.initial.rate limits them",
                    most);
    } else if (!config->first_batch_capped) {
        log_warning("the first batch of this new ledger takes all there is%s, whatever "
                    "rate.max.per.partition says (rate.first.batch = unlimited); "
                    "rate.first.batch = capped or backpressure.initial.rate limits it",
                    most);
    }
}

bool throttle_open(struct job *job, struct err *err)
{
    if (!ledger_rate_load(job->ledger, &job->estimate, err)) {
        return false;
    }
    warn_of_first_batch(job);
    return true;
}

/* A list of caps that leaves partitions out doesn't leave them unlimited. */
static void warn_of_uncapped(const struct job *job)
{
    const char *topic = NULL;
    int32_t partition = 0;
    int64_t count = 0;

    for (size_t i = 0; i < job->definition.input_count; i++) {
        const struct topic_fact *fact =
            topic_facts_find(job->facts, job->definition.inputs[i].topic);

        for (int32_t p = 0; fact != NULL && p < fact->partitions; p++) {
            if (config_cap_of(job->config, fact->topic, p) > 0) {
                continue;
            }
            if (count++ == 0) {
                topic = fact->topic;
                partition = p;
            }
        }
    }
    if (count > 0 && has_caps(job->config)) {
        log_warning("rate.max.per.partition leaves %" PRId64 " partitions out ('%s'[%" PRId32
                    "] for one): beside those that have a cap "
                    "they give rate.min.per.partition = %" PRId64
                    " records a batch%s; *=N gives them a cap",
                    count, topic, partition, job->config->rate_min_per_partition,
                    job->config->backpressure ? " while there is no rate" : "");
    }
}

/* Without a minimum a cap may come to less than a record a batch, each time. */
static void warn_of_never(const struct job *job)
{
    int64_t interval_ms = job->config->batch_interval_ms;

    for (size_t i = 0; i < job->config->cap_count; i++) {
        int64_t cap = job->config->caps[i].records_per_s;

        if (job->config->rate_min_per_partition == 0 && interval_ms > 0 && cap > 0 &&
            (double)interval_ms / 1000.0 * (double)cap < 1) {
            log_warning("a cap of %" PRId64 " records/s is less than a record in batch.interval.ms "
                        "= %" PRId64 ", and rate.min.per.partition is 0: its partitions are never "
                        "read",
                        cap, interval_ms);
            return;
        }
    }
}

void throttle_warn_of_caps(const struct job *job)
{
    warn_of_uncapped(job);
    warn_of_never(job);
    for (size_t i = 0; i < job->config->cap_count; i++) {
        const struct config_cap *cap = &job->config->caps[i];
        const struct topic_fact *fact =
            cap->topic == NULL ? NULL : topic_facts_find(job->facts, cap->topic);

        if (fact != NULL && definition_find_input(&job->definition, cap->topic) >= 0 &&
            cap->partition >= fact->partitions) {
            log_warning("rate.max.per.partition names '%s'[%" PRId32
                        "], but that topic has %" PRId32
                        " partitions; the cap has no effect until it is added",
                        cap->topic, cap->partition, fact->partitions);
        }
    }
}

static bool is_stale(const struct job *job, const struct rate_estimate *estimate,
                     int64_t planned_ms)
{
    return rate_estimate_is_stale(estimate, job->clock_began_ms, planned_ms,
                                  job->config->rate_state_max_age_ms);
}

struct rate_split throttle_split(const struct job *job, const struct rate_estimate *estimate,
                                 int64_t started_ms)
{
    const struct config *config = job->config;
    bool stale = is_stale(job, estimate, started_ms);

    return (struct rate_split){
        .interval_ms =
            job->tick.interval_ms > 0 ? job->tick.interval_ms : started_ms - job->planned_ms,
        .backpressure = config->backpressure,
        .first_unlimited = job->identity.batch == 0 && !config->first_batch_capped,
        .rate = stale ? 0 : estimate->published,
        .initial = config->initial_rate,
        .records_max = config->batch_max_records,
    };
}

bool throttle_count(const struct job *job, const struct ledger_settlement *settlement,
                    struct rate_estimate *estimate_out)
{
    const struct config *config = job->config;
    const struct rate_estimate_settings settings = {
        .interval_ms = config->batch_interval_ms,
        .proportional = config->pid_proportional,
        .integral = config->pid_integral,
        .derived = config->pid_derived,
        .rate_min = config->pid_min_rate,
    };
    const struct rate_estimate_batch batch = {
        .time_ms = settlement->ended_ms,
        .records = batch_planned(&job->batch),
        .processing_ms = settlement->processing_ms,
        .scheduling_ms = settlement->scheduling_ms,
    };
    int64_t before_ms;

    *estimate_out = job->estimate;
    if (!config->backpressure || settlement->recovered) {
        return false;
    }
    if (is_stale(job, &job->estimate, job->batch.started_ms)) {
        log_notice("the rate of %" PRId64 " records/s is %" PRId64 " ms old and dropped: more than "
                   "backpressure.state.max.age.ms = %" PRId64,
                   job->estimate.published, job->batch.started_ms - job->estimate.time_ms,
                   config->rate_state_max_age_ms);
        rate_estimate_init(estimate_out);
    }
    before_ms = estimate_out->time_ms;
    (void)rate_estimate_add(estimate_out, &settings, &batch);
    if (!rate_estimate_is_sound(estimate_out)) {
        log_warning("the rate is no number any more with these backpressure.pid settings; the "
                    "estimator begins anew");
        rate_estimate_init(estimate_out);
        return false;
    }
    return estimate_out->time_ms != before_ms;
}
