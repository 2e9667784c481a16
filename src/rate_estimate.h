/* The back-pressure estimator: from what the last batches took and how long, the rate that the job
 * can process. A controller of three terms (PID), Spark's to the bit: IEEE doubles in the order
 * that rate_estimate.c gives, no contraction. Pure: the state is plain data of the caller (and of
 * the ledger). Any thread. */
#ifndef RATE_ESTIMATE_H
#define RATE_ESTIMATE_H

#include <stdbool.h>
#include <stdint.h>

struct rate_estimate_settings {
    int64_t interval_ms;
    double proportional, integral, derived; /* P, I, D */
    double rate_min;                        /* records/s */
};

struct rate_estimate {
    bool first;        /* no batch counted yet */
    int64_t time_ms;   /* latestTime: end of the last batch that counted; −1 = none */
    double rate;       /* latestRate, records/s; −1 = none */
    double error;      /* latestError, records/s */
    int64_t published; /* records/s, what a plan uses; 0 = none yet */
};

/* A settled batch. */
struct rate_estimate_batch {
    int64_t time_ms; /* when it ended */
    int64_t records; /* Σ(until − from) */
    int64_t processing_ms;
    int64_t scheduling_ms;
};

/* P, I and D ≥ 0, rate_min > 0, interval > 0, all of them finite. */
bool rate_estimate_is_allowed(const struct rate_estimate_settings *settings);

/* Cold: knows nothing. */
void rate_estimate_init(struct rate_estimate *estimate);

/* Takes a batch into account; `settings` are allowed ones (asserted). True when it gave a new rate:
 * estimate->rate, and estimate->published, its whole records. The first batch that counts gives
 * none; one that doesn't count (nothing in it, no time passed) changes nothing. */
bool rate_estimate_add(struct rate_estimate *estimate,
                       const struct rate_estimate_settings *settings,
                       const struct rate_estimate_batch *batch);

/* The state that an earlier process left (this one began at `began_ms`) is older than `age_max_ms`
 * when a batch is planned at `now_ms`: not to be trusted any more. What this process has seen
 * itself never is: a batch may be longer than that age, and so may the interval, and a pause
 * doesn't change what the job can process. */
bool rate_estimate_is_stale(const struct rate_estimate *estimate, int64_t began_ms, int64_t now_ms,
                            int64_t age_max_ms);

/* It can go on from here: what rate_estimate_init or finite numbers give. Settings at the end of
 * what a double holds can make it false. */
bool rate_estimate_is_sound(const struct rate_estimate *estimate);

#endif
