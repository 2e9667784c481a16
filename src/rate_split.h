/* How much of what is there each partition may give to a batch (rates, caps, the minimum,
 * batch.max.records). IEEE doubles in the order that rate_split.c gives, no contraction. Pure; any
 * thread. */
#ifndef RATE_SPLIT_H
#define RATE_SPLIT_H

#include "batch.h"

struct rate_split {
    int64_t interval_ms; /* S: the interval, or with interval 0 the time since the last plan */
    bool backpressure;
    /* first non-empty batch of a new ledger, with rate.first.batch=unlimited */
    bool first_unlimited;
    int64_t rate;        /* the estimator's published integer; ≤ 0 = none */
    int64_t initial;     /* ≤ 0 = none */
    int64_t records_max; /* batch.max.records; 0 = none */
};

struct rate_share {
    int64_t current, latest; /* offsets; latest < current counts as nothing there */
    int64_t cap;             /* records/s, ≤ 0 = none */
    int64_t minimum;         /* records per batch */
    int64_t take;            /* the answer before the clamp to `latest`; INT64_MAX = no limit */
    int64_t until;           /* the answer */
};

/* R: the estimator's rate, else the initial one, records/s; 0 = none is in force. */
int64_t rate_split_rate(const struct rate_split *split);

/* A limit by rate, cap or minimum is in force; else every take is INT64_MAX, which a limit may be
 * as well. */
bool rate_split_is_limited(const struct rate_split *split, const struct rate_share *shares,
                           size_t count);

/* Interval 0: `passed_ms` after the last plan there is enough for another one to take. A batch
 * takes what the caps allow for that time, and at least the minimum: were it planned sooner, a cap
 * per second would mean nothing, as each of a thousand batches a second would take the minimum. So
 * the slowest partition's cap, too, is worth the minimum and a record by then; but no more than a
 * second is waited for it when another one has enough. Caps in records/s, the smallest and the
 * largest that are set; 0 = none is. */
bool rate_split_is_worth_it(int64_t passed_ms, int64_t cap_smallest, int64_t cap_largest,
                            int64_t minimum);

/* Fills take and until of every share (in the order of topic, partition) and tells which limit cut
 * the batch. */
void rate_split(const struct rate_split *split, struct rate_share *shares, size_t count,
                enum limited_by *limited_out);

#endif
