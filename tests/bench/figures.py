"""What runs come to: medians, percentiles, ratios of pairs, and checks against goals."""

import random
import statistics

RESAMPLES = 10_000
SEED = 6
SURE = 0.95


def percentile(values, share):
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def bootstrap_interval(values):
    """In which the median of what the values are a sample of lies, as likely as SURE: percentiles of
    resampled medians."""
    draw = random.Random(SEED)
    medians = sorted(statistics.median(draw.choices(values, k=len(values))) for _ in range(RESAMPLES))
    outside = int(RESAMPLES * (1 - SURE) / 2)
    return medians[outside], medians[-1 - outside]


def ratio_of_pairs(upper, lower):
    """Of two contestants' figures, pair by pair."""
    pairs = [one / other for one, other in zip(upper, lower, strict=True)]
    least, most = bootstrap_interval(pairs)
    return {"median": statistics.median(pairs), "least": min(pairs), "most": max(pairs),
            "interval": [least, most], "pairs": pairs}


def check(what, text, goal=None, ok=None):
    """One line of the table: a figure as text, what it is to be, and whether it is. Without a goal it
    is only stated."""
    return {"what": what, "text": text, "goal": goal, "ok": ok}


def at_most(what, value, limit, form="{:.2f}", more=""):
    return check(what, form.format(value) + more, "≤ " + f"{limit:g}", value <= limit)


def at_least(what, value, limit, form="{:.2f}", more=""):
    return check(what, form.format(value) + more, "≥ " + f"{limit:g}", value >= limit)
