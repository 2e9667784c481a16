/* The limits of a batch, applied in this order:
 *
 *     rate (estimator, else initial) shared out by lag ─► cap ─► × interval ─► minimum
 *     ─► what is there ─► records_max
 *
 * The numbers are Spark's to the bit: doubles, each operation in the order written, truncated once.
 * A sum of limits that isn't above zero means no limit at all: that covers "no limit is set" as
 * well as the NaN of a rate shared out over no lag. */
#include "rate_split.h"

#include "rate_number.h"

#include <assert.h>

enum { SLOWEST_WAIT_MS = 1000 };

static int64_t add_saturated(int64_t a, int64_t b)
{
    int64_t sum;

    return __builtin_add_overflow(a, b, &sum) ? INT64_MAX : sum;
}

static int64_t lag_of(const struct rate_share *share)
{
    return share->latest > share->current ? share->latest - share->current : 0;
}

/* What the rates in force come to, before any partition is looked at. */
struct rate {
    int64_t records_per_s; /* ≤ 0 = none */
    enum limited_by source;
    int64_t lag; /* of all partitions */
};

static struct rate rate_in_force(const struct rate_split *split, const struct rate_share *shares,
                                 size_t count)
{
    struct rate rate = {.source = LIMITED_CAP};

    if (split->backpressure && split->rate > 0) {
        rate = (struct rate){.records_per_s = split->rate, .source = LIMITED_ESTIMATOR};
    } else if (split->backpressure && split->initial > 0) {
        rate = (struct rate){.records_per_s = split->initial, .source = LIMITED_INITIAL};
    }
    for (size_t i = 0; i < count; i++) {
        rate.lag = add_saturated(rate.lag, lag_of(&shares[i]));
    }
    return rate;
}

/* Records per second of one partition, and which limit gave it. */
static double limit_of(const struct rate *rate, const struct rate_share *share,
                       enum limited_by *source_out)
{
    double cap = (double)share->cap;
    double part;

    *source_out = LIMITED_CAP;
    if (rate->records_per_s <= 0) {
        return cap;
    }
    part = (double)lag_of(share) / (double)rate->lag * (double)rate->records_per_s;
    if (share->cap > 0 && cap < part) { /* false for a NaN, which stays one */
        return cap;
    }
    *source_out = rate->source;
    return part;
}

static bool is_limited(const struct rate_split *split, const struct rate *rate,
                       const struct rate_share *shares, size_t count)
{
    enum limited_by source;
    double sum = 0;

    if (split->first_unlimited && split->backpressure && rate->records_per_s <= 0) {
        return false;
    }
    for (size_t i = 0; i < count; i++) {
        sum += limit_of(rate, &shares[i], &source);
    }
    return sum > 0; /* false for a NaN */
}

/* Fills take and until; returns which limit it was, LIMITED_NONE when all that is there is
 * taken. */
static enum limited_by share_take(const struct rate_split *split, const struct rate *rate,
                                  struct rate_share *share)
{
    enum limited_by source;
    double limit = limit_of(rate, share, &source);

    share->take = rate_number_truncated((double)split->interval_ms / 1000.0 * limit);
    if (share->take < share->minimum) {
        share->take = share->minimum;
        source = LIMITED_MINIMUM;
    }
    if (share->take >= lag_of(share)) {
        share->until = share->current + lag_of(share);
        return LIMITED_NONE;
    }
    share->until = share->current + share->take;
    return source;
}

/* Shares `records_max` out by what each partition would have given. */
static bool cut_to_records(int64_t records_max, struct rate_share *shares, size_t count)
{
    int64_t wanted_all = 0;
    int64_t left = records_max;

    for (size_t i = 0; i < count; i++) {
        wanted_all = add_saturated(wanted_all, shares[i].until - shares[i].current);
    }
    if (records_max <= 0 || wanted_all <= records_max) {
        return false;
    }
    for (size_t i = 0; i < count; i++) {
        int64_t wanted = shares[i].until - shares[i].current;
        int64_t take =
            rate_number_truncated((double)wanted / (double)wanted_all * (double)records_max);

        /* Rounding may not make the parts more than the whole. */
        take = take < wanted ? take : wanted;
        shares[i].take = take < left ? take : left;
        left -= shares[i].take;
    }
    for (size_t i = 0; i < count; i++) {
        if (left > 0 && shares[i].take < shares[i].until - shares[i].current) {
            shares[i].take++;
            left--;
        }
        shares[i].until = shares[i].current + shares[i].take;
    }
    return true;
}

int64_t rate_split_rate(const struct rate_split *split)
{
    return rate_in_force(split, NULL, 0).records_per_s;
}

bool rate_split_is_limited(const struct rate_split *split, const struct rate_share *shares,
                           size_t count)
{
    struct rate rate = rate_in_force(split, shares, count);

    return is_limited(split, &rate, shares, count);
}

bool rate_split_is_worth_it(int64_t passed_ms, int64_t cap_smallest, int64_t cap_largest,
                            int64_t minimum)
{
    double passed_s = (double)passed_ms / 1000.0;
    double least = minimum > 0 ? (double)minimum : 1;

    return cap_largest <= 0 ||
           (passed_s * (double)cap_largest >= least &&
            (passed_s * (double)cap_smallest >= least || passed_ms >= SLOWEST_WAIT_MS));
}

void rate_split(const struct rate_split *split, struct rate_share *shares, size_t count,
                enum limited_by *limited_out)
{
    struct rate rate = rate_in_force(split, shares, count);
    bool limited = is_limited(split, &rate, shares, count);
    enum limited_by limited_by = LIMITED_NONE;
    int64_t held_back_most = 0;

    for (size_t i = 0; i < count; i++) {
        struct rate_share *share = &shares[i];
        enum limited_by source;
        int64_t held_back;

        assert(share->current >= 0);
        assert(share->minimum >= 0);
        if (!limited) {
            share->take = INT64_MAX;
            share->until = share->current + lag_of(share);
            continue;
        }
        source = share_take(split, &rate, share);
        held_back = share->current + lag_of(share) - share->until;
        if (held_back > held_back_most) { /* the batch is named after the limit that tells most */
            held_back_most = held_back;
            limited_by = source;
        }
    }
    if (cut_to_records(split->records_max, shares, count)) {
        limited_by = LIMITED_RECORDS;
    }
    *limited_out = limited_by;
}
