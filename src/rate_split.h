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

/* Fills take and until of every share (in the order of topic, partition) and tells which limit cut
 * the batch. */
void rate_split(const struct rate_split *split, struct rate_share *shares, size_t count,
                enum limited_by *limited_out);

#endif
