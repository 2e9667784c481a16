/* A job without Kafka: its ticks, its limits and its estimator (the service's own code) under a
 * load, with a sink of a given speed. Time is numbers: milliseconds from the job's start. Pure but
 * for the reading of the load. */
#ifndef TOOLS_SIM_JOB_H
#define TOOLS_SIM_JOB_H

#include "arrivals.h"
#include "rate_estimate.h"
#include "rate_split.h"
#include "tick.h"

struct sim_settings {
    int64_t interval_ms; /* 0: the next batch begins when the last is settled */
    int64_t records_max; /* batch.max.records; 0 = none */
    bool backpressure;
    bool first_capped;
    int64_t initial; /* ≤ 0 = none */
    struct rate_estimate_settings estimator;
    int64_t minimum;
    const int64_t *caps;  /* one a partition */
    double records_per_s; /* how fast a batch is processed, > 0 */
    int64_t overhead_ms;  /* and what a batch takes besides, ≥ 0 */
    int64_t first_ms;     /* and the first one besides, ≥ 0 */
    int64_t between_ms;   /* from the end of a batch to when the next one can begin, ≥ 0 */
};

struct sim_job {
    struct sim_settings settings;
    struct arrivals *arrivals;
    struct tick tick;
    struct rate_estimate estimate;
    int64_t now_ms;
    int64_t planned_ms; /* when the last plan was made; used with interval 0 */
    int64_t *next;      /* offsets, one a partition */
    struct rate_share *shares;
    int64_t *ends;
    int64_t batches;
    int64_t collapsed; /* ticks since the last batch */
};

/* A batch that was made. */
struct sim_batch {
    int64_t number; /* from 1 on */
    int64_t tick_ms, scheduling_ms, processing_ms, ended_ms;
    const int64_t *takes; /* one a partition; the job's, until its next call */
    int64_t records;      /* their sum */
    int64_t rate;         /* in force: the estimator's, else the initial one; 0 = none */
    enum limited_by limited;
    int64_t left;      /* what was there and not taken */
    int64_t collapsed; /* missed ticks that collapsed into its own, or into an empty one before */
};

enum sim_step {
    SIM_BATCH, /* one was made */
    SIM_EMPTY, /* the tick found nothing to take */
    SIM_END,   /* all has arrived, and what is left is never taken */
    SIM_FAILED
};

/* The settings and the arrivals must outlive it. */
void sim_job_init(struct sim_job *job, const struct sim_settings *settings,
                  struct arrivals *arrivals);
void sim_job_deinit(struct sim_job *job);

/* When the next tick is, or with interval 0 the next plan. */
int64_t sim_job_due_ms(const struct sim_job *job);

/* Lets time go on to the next tick, and runs its batch to its end. `err` is filled with
 * SIM_FAILED. */
enum sim_step sim_job_step(struct sim_job *job, struct sim_batch *batch_out, struct err *err);

/* What has arrived by now and isn't taken. A batch's `takes` are gone afterwards. */
MUST_CHECK bool sim_job_backlog(struct sim_job *job, int64_t *backlog_out, struct err *err);

#endif
