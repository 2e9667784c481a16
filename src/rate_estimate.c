/* The estimator's formula, each operation in the order written:
 *
 *     counts only if time > latestTime, n > 0, processing > 0
 *
 *     dt   = (time − latestTime) / 1000.0
 *     pr   = n / processing × 1000                what the batch reached, records/s
 *     err  = latestRate − pr
 *     hist = scheduling × pr / interval           what has piled up, records/s
 *     dErr = (err − latestError) / dt
 *     new  = max(latestRate − P·err − I·hist − D·dErr, minRate)
 *
 *     first batch that counts: latestRate = pr, latestError = 0, nothing is published
 *     any other:               latestRate = new, latestError = err, trunc(new) is published */
#include "rate_estimate.h"

#include "rate_number.h"

#include <assert.h>
#include <math.h>

bool rate_estimate_is_allowed(const struct rate_estimate_settings *settings)
{
    return settings->interval_ms > 0 && settings->proportional >= 0 && settings->integral >= 0 &&
           settings->derived >= 0 && settings->rate_min > 0 && isfinite(settings->proportional) &&
           isfinite(settings->integral) && isfinite(settings->derived) &&
           isfinite(settings->rate_min);
}

void rate_estimate_init(struct rate_estimate *estimate)
{
    *estimate = (struct rate_estimate){.first = true, .time_ms = -1, .rate = -1, .error = -1};
}

static bool counts(const struct rate_estimate *estimate, const struct rate_estimate_batch *batch)
{
    return batch->time_ms > estimate->time_ms && batch->records > 0 && batch->processing_ms > 0;
}

/* As Java's Math.max: a NaN stays one. */
static double greater(double a, double b)
{
    return a < b ? b : a;
}

bool rate_estimate_add(struct rate_estimate *estimate,
                       const struct rate_estimate_settings *settings,
                       const struct rate_estimate_batch *batch)
{
    int64_t passed_ms;
    double passed_s, reached, error, piled_up, error_change, rate;

    assert(rate_estimate_is_allowed(settings));
    if (!counts(estimate, batch)) {
        return false;
    }
    if (__builtin_sub_overflow(batch->time_ms, estimate->time_ms, &passed_ms)) {
        passed_ms = INT64_MAX; /* only from −1, whose rate isn't used */
    }
    passed_s = (double)passed_ms / 1000.0;
    reached = (double)batch->records / (double)batch->processing_ms * 1000;
    error = estimate->rate - reached;
    piled_up = (double)batch->scheduling_ms * reached / (double)settings->interval_ms;
    error_change = (error - estimate->error) / passed_s;
    rate = greater(estimate->rate - settings->proportional * error - settings->integral * piled_up -
                       settings->derived * error_change,
                   settings->rate_min);
    estimate->time_ms = batch->time_ms;
    if (estimate->first) {
        estimate->first = false;
        estimate->rate = reached;
        estimate->error = 0;
        return false;
    }
    estimate->rate = rate;
    estimate->error = error;
    estimate->published = rate_number_truncated(rate);
    return true;
}

bool rate_estimate_is_stale(const struct rate_estimate *estimate, int64_t began_ms, int64_t now_ms,
                            int64_t age_max_ms)
{
    return !estimate->first && estimate->time_ms < began_ms &&
           now_ms - estimate->time_ms > age_max_ms;
}

bool rate_estimate_is_sound(const struct rate_estimate *estimate)
{
    return isfinite(estimate->rate) && isfinite(estimate->error) && estimate->time_ms >= -1 &&
           estimate->published >= 0;
}
