/* What a simulated run comes to: settled rate, longest delays, backlog, whether it keeps up.
 * Constant memory. Pure. */
#ifndef TOOLS_SIM_SUMMARY_H
#define TOOLS_SIM_SUMMARY_H

#include "sim_job.h"

#include <stdio.h>

/* The batches in a row, among those that the estimator cut, whose rates are within 10 % of each
 * other. */
struct sim_steady {
    int64_t first; /* the batch it began with */
    int64_t count;
    int64_t least, most;
    double sum;
};

struct sim_summary {
    int64_t interval_ms;
    int64_t batches, records, processing_ms;
    int64_t limited[LIMITED_COUNT]; /* batches cut by it */
    int64_t scheduling_max_ms, scheduling_max_batch;
    int64_t processing_max_ms, processing_max_batch;
    int64_t collapsed;
    int64_t ended_ms, last_rate;
    struct sim_steady steady;
    /* Batches that began while the load was coming. */
    int64_t loaded;
    int64_t left_most;
    /* What was left by the latest of the 1st, 2nd, 4th, 8th … batch, and by the one before: at most
     * as old as half of all. */
    int64_t marked, left_marked, left_early;
    int64_t left_last, scheduling_last_ms, records_last;
};

void sim_summary_init(struct sim_summary *summary, int64_t interval_ms);

/* `loaded`: the load was still coming when it began. */
void sim_summary_add(struct sim_summary *summary, const struct sim_batch *batch, bool loaded);

void sim_summary_print(const struct sim_summary *summary, int64_t backlog, FILE *out);
/* As one JSON object in a line. */
void sim_summary_print_json(const struct sim_summary *summary, int64_t backlog, FILE *out);

#endif
