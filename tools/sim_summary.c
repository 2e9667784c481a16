/* What a simulated run comes to.
 *
 * It keeps up when, at the last batch that began while the load was coming, what it had to leave
 * was at most as much as two such batches take, and it was at most two intervals late. It is
 * catching up when it left clearly less than the most it ever left. */
#include "sim_summary.h"

#include <inttypes.h>

enum { STEADY_PERCENT = 10, STEADY_BATCHES_MIN = 3 };

void sim_summary_init(struct sim_summary *summary, int64_t interval_ms)
{
    *summary = (struct sim_summary){.interval_ms = interval_ms};
}

static void add_rate(struct sim_steady *steady, int64_t batch, int64_t rate)
{
    int64_t least = rate < steady->least ? rate : steady->least;
    int64_t most = rate > steady->most ? rate : steady->most;

    if (steady->count == 0 || (double)most > (double)least * (100 + STEADY_PERCENT) / 100) {
        *steady = (struct sim_steady){
            .first = batch, .count = 1, .least = rate, .most = rate, .sum = (double)rate};
        return;
    }
    steady->least = least;
    steady->most = most;
    steady->sum += (double)rate;
    steady->count++;
}

void sim_summary_add(struct sim_summary *summary, const struct sim_batch *batch, bool loaded)
{
    summary->batches++;
    summary->records += batch->records;
    summary->processing_ms += batch->processing_ms;
    summary->limited[batch->limited]++;
    summary->collapsed += batch->collapsed;
    summary->ended_ms = batch->ended_ms;
    if (summary->batches == 1 || batch->scheduling_ms > summary->scheduling_max_ms) {
        summary->scheduling_max_ms = batch->scheduling_ms;
        summary->scheduling_max_batch = batch->number;
    }
    if (batch->processing_ms > summary->processing_max_ms) {
        summary->processing_max_ms = batch->processing_ms;
        summary->processing_max_batch = batch->number;
    }
    if (batch->rate > 0) {
        summary->last_rate = batch->rate;
    }
    if (batch->limited == LIMITED_ESTIMATOR) {
        add_rate(&summary->steady, batch->number, batch->rate);
    }
    if (loaded) {
        if (++summary->loaded == 2 * summary->marked || summary->loaded == 1) {
            summary->left_early = summary->left_marked;
            summary->left_marked = batch->left;
            summary->marked = summary->loaded;
        }
        summary->left_most = batch->left > summary->left_most ? batch->left : summary->left_most;
        summary->left_last = batch->left;
        summary->scheduling_last_ms = batch->scheduling_ms;
        summary->records_last = batch->records;
    }
}

static void print_rate(const struct sim_summary *summary, FILE *out)
{
    const struct sim_steady *steady = &summary->steady;

    fputs("settled rate:   ", out);
    if (steady->count >= STEADY_BATCHES_MIN) {
        fprintf(out, "%.0f records/s from batch %" PRId64 " on (%" PRId64 " to %" PRId64 ")\n",
                steady->sum / (double)steady->count, steady->first, steady->least, steady->most);
    } else if (summary->last_rate > 0) {
        fprintf(out, "none; the last in force was %" PRId64 " records/s\n", summary->last_rate);
    } else {
        fputs("none; no rate was in force\n", out);
    }
}

static void print_cuts(const struct sim_summary *summary, FILE *out)
{
    const char *between = " (cut by ";

    for (int i = 0; i < LIMITED_COUNT; i++) {
        if (summary->limited[i] > 0) {
            fprintf(out, "%s%s: %" PRId64, between, LIMITED_WORDS[i], summary->limited[i]);
            between = ", ";
        }
    }
    fprintf(out, "%s\n", summary->batches > 0 ? ")" : "");
}

enum keeps_up { KEEPS_UP_UNKNOWN, KEEPS_UP_YES, KEEPS_UP_CATCHING_UP, KEEPS_UP_NO };

static enum keeps_up keeps_up(const struct sim_summary *summary)
{
    if (summary->loaded == 0) {
        return KEEPS_UP_UNKNOWN;
    }
    if (summary->left_last <= 2 * summary->records_last &&
        summary->scheduling_last_ms <= 2 * summary->interval_ms) {
        return KEEPS_UP_YES;
    }
    return summary->left_last < summary->left_early ? KEEPS_UP_CATCHING_UP : KEEPS_UP_NO;
}

static void print_keeps_up(const struct sim_summary *summary, FILE *out)
{
    fputs("keeps up:       ", out);
    switch (keeps_up(summary)) {
    case KEEPS_UP_UNKNOWN:
        fputs("nothing came in while it ran\n", out);
        break;
    case KEEPS_UP_YES:
        fputs("yes\n", out);
        break;
    case KEEPS_UP_CATCHING_UP:
        fprintf(out, "it is catching up; %" PRId64 " records were left, at most %" PRId64 "\n",
                summary->left_last, summary->left_most);
        break;
    case KEEPS_UP_NO:
        fprintf(out, "no; %" PRId64 " records were left, and it was %" PRId64 " ms late\n",
                summary->left_last, summary->scheduling_last_ms);
        break;
    }
}

void sim_summary_print(const struct sim_summary *summary, int64_t backlog, FILE *out)
{
    fprintf(out, "\nbatches:        %" PRId64, summary->batches);
    print_cuts(summary, out);
    fprintf(out, "records:        %" PRId64 " in %.3f s, %.3f s of them at work\n",
            summary->records, (double)summary->ended_ms / 1000,
            (double)summary->processing_ms / 1000);
    print_rate(summary, out);
    if (summary->batches > 0) {
        fprintf(out,
                "longest delay:  scheduling %" PRId64 " ms (batch %" PRId64 "), processing %" PRId64
                " ms (batch %" PRId64 ")\n",
                summary->scheduling_max_ms, summary->scheduling_max_batch,
                summary->processing_max_ms, summary->processing_max_batch);
    }
    if (summary->collapsed > 0) {
        fprintf(out, "missed ticks:   %" PRId64 " collapsed into others\n", summary->collapsed);
    }
    fprintf(out, "backlog at end: %" PRId64 " records\n", backlog);
    print_keeps_up(summary, out);
}

void sim_summary_print_json(const struct sim_summary *summary, int64_t backlog, FILE *out)
{
    static const char *const KEEPS_UP[] = {"unknown", "yes", "catching up", "no"};
    bool settled = summary->steady.count >= STEADY_BATCHES_MIN;

    fprintf(out, "{\"batches\":%" PRId64 ",\"limited_by\":{", summary->batches);
    for (int i = 0; i < LIMITED_COUNT; i++) {
        fprintf(out, "%s\"%s\":%" PRId64, i > 0 ? "," : "", LIMITED_WORDS[i], summary->limited[i]);
    }
    fprintf(out, "},\"records\":%" PRId64 ",\"ended_ms\":%" PRId64 ",\"processing_ms\":%" PRId64,
            summary->records, summary->ended_ms, summary->processing_ms);
    if (settled) {
        fprintf(out, ",\"settled_rate\":%.0f,\"settled_from_batch\":%" PRId64,
                summary->steady.sum / (double)summary->steady.count, summary->steady.first);
    } else {
        fputs(",\"settled_rate\":null,\"settled_from_batch\":null", out);
    }
    fprintf(out,
            ",\"scheduling_max_ms\":%" PRId64 ",\"processing_max_ms\":%" PRId64
            ",\"missed_ticks\":%" PRId64 ",\"backlog\":%" PRId64 ",\"keeps_up\":\"%s\"}\n",
            summary->scheduling_max_ms, summary->processing_max_ms, summary->collapsed, backlog,
            KEEPS_UP[keeps_up(summary)]);
}
