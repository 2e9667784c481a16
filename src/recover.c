/* What was found → what to do, and doing it.
 *
 *     at start                          in the running process
 *     fences, tails from the ledger     suspects noted, purge → destroy (R2)
 *            └──────────────┬───────────────────┘
 *                   outputs judged (R8)
 *                           │
 *             ┌─► log ends asked → read to there ─┐   until the settle time has passed since the
 *             └───────────────────────────────────┘   beginning and the last of ours (R3, R4)
 *                           │
 *            delivered: per source and output partition the highest offset found
 *                           │
 *            first record of each partition alone, its gap looked at (R5), the rest, once more
 *
 * Every record found is judged by protocol_judge_record; what this file adds is where the records
 * come from. */
#include "recover.h"

#include "deliver.h"
#include "failpoint.h"
#include "job_state.h"
#include "log.h"
#include "look.h"
#include "look_choose.h"
#include "mem.h"
#include "positions.h"
#include "source_ends.h"
#include "wait.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum {
    LOOK_SLICE_MS = 40,
    SETTLE_MS = 1000,
    SETTLE_REPLICATED_MS = 3000,
};

/* ---- the settle wait with the read-back in it ---- */

static int64_t settle_ms(const struct job *job)
{
    if (job->config->recovery_settle_ms >= 0) {
        return job->config->recovery_settle_ms;
    }
    for (size_t i = 0; i < job->outputs.count; i++) {
        const struct topic_fact *fact = topic_facts_find(job->facts, job->outputs.items[i].topic);

        if (fact != NULL && fact->replicas > 1) {
            return SETTLE_REPLICATED_MS;
        }
    }
    return SETTLE_MS;
}

/* R3: whether the wait was over is asked before the ends are, so that the last read reaches an end
 * of after it. Time in which the machine slept doesn't count: what a dead process has left to the
 * system to send goes on only when it wakes up. */
static bool wait_and_read(struct look *look, int64_t began_ms, struct err *err)
{
    struct job *job = look->job;

    for (;;) {
        bool over = protocol_wait_over(wait_now_ms(), began_ms, look->last_ours_ms, settle_ms(job));
        int64_t found = look->found;

        if (!look_extend(look, err) || !look_read(look, err)) {
            return false;
        }
        if (over || look->found != found) {
            log_debug("recovery: %" PRId64 " records found%s", look->found,
                      over ? ", the settle wait is over" : "");
        }
        if (over && look->found == found) {
            return true;
        }
        if (!over) {
            job_wait(job, LOOK_SLICE_MS);
        }
        if (!job_meanwhile(job, err)) {
            return false;
        }
    }
}

static void after_look(struct look *look, bool recovered)
{
    struct job *job = look->job;
    bool by_mark = job_by_mark(job);

    for (size_t i = 0; i < look->count; i++) {
        struct output *output = &job->outputs.items[look->outputs[i]];

        output->looked = true;
        output->next = look->spans[i].until;
        output->refreshed_wall_ms = clock_wall_ms(&job->clock);
        output->expected = by_mark ? -1 : look->spans[i].until;
        output->look_from = by_mark ? -1 : look->spans[i].until;
        output->gap_from = output->gap_until = 0;
        /* By its place alone a stranger's record is noticed only when ours comes behind it. */
        output->alone |= output->positions;
        if (output->positions && output->fenced) {
            output->fence = output->next; /* up to here it was compared, and is noted */
        }
    }
    if (by_mark) {
        return; /* nothing that comes late can be there */
    }
    for (size_t i = 0; recovered && i < job->outputs.count; i++) {
        job->outputs.items[i].alone = true;
    }
    job->watch_until_ms = clock_now_ms(&job->clock) + WATCH_MS;
}

static bool note_found(struct job *job, const struct look *look, struct err *err)
{
    int64_t planned = batch_planned(&job->batch);

    job->found = delivered_records_all(&job->delivered);
    log_info("recovery of batch %" PRId64 ": %" PRId64 " of at most %" PRId64
             " records were delivered; delivering the rest",
             job->batch.number, job->found, planned);
    return ledger_event(job->ledger, EVENT_RECOVERY, job->batch.number, clock_wall_ms(&job->clock),
                        err,
                        "batch %" PRId64 ": found %" PRId64 " of at most %" PRId64
                        " records delivered, %" PRId64 " twice",
                        job->batch.number, job->found, planned, look->doubled);
}

bool recover_prepare(struct job *job, struct err *err)
{
    const struct definition *definition = &job->batch.definition;

    if (!readback_new(job->config, false, &job->readback, err)) {
        return false;
    }
    for (size_t i = 0; i < definition->output_count; i++) {
        readback_expect(job->readback, definition->outputs[i].topic);
    }
    return true;
}

static bool put_places(struct job *job, void *arg, struct err *err)
{
    bool ok = true;

    (void)arg;
    for (size_t i = 0; ok && i < job->outputs.count; i++) {
        const struct output *output = &job->outputs.items[i];
        struct ledger_output row = {
            .topic = output->topic,
            .partition = output->partition,
            .next_offset = output->next,
            .refreshed_wall_ms = output->refreshed_wall_ms,
        };

        if (output->positions && output->stored) {
            memcpy(row.topic_id, output->topic_id, TOPIC_ID_SIZE);
            ok = ledger_output_put(job->ledger, &row, err);
        }
    }
    return ok && ledger_event(job->ledger, EVENT_TOPIC, 0, clock_wall_ms(&job->clock), err,
                              "from now on records are known by their places "
                              "(output.provenance=positions)");
}

/* The first batches without headers begin at the ends found, whoever wrote before: from now on the
 * ledger's places are exact. */
static bool begin_places(struct job *job, struct err *err)
{
    bool any = false;

    for (size_t i = 0; i < job->outputs.count; i++) {
        any |= job->outputs.items[i].positions;
    }
    return !any || job->identity.settled == 0 || job->identity.settled_by_place ||
           job_transaction(job, put_places, NULL, err);
}

bool recover_look(struct job *job, struct err *err)
{
    struct look look;
    bool in_doubt = job->state == PROTOCOL_IN_DOUBT;
    bool ok;

    if (in_doubt && failpoint("recover-begin")) {
        return err_set(err, ERR_FAILED, 0, "failpoint");
    }
    look_init(&look, job, LOOK_BACK);
    ok = look_choose(&look, false, err);
    if (ok && look.count > 0 && !job_by_mark(job)) {
        ok = in_doubt ? wait_and_read(&look, job->began_ms, err) : look_read(&look, err);
    }
    if (ok && look.count > 0) {
        after_look(&look, in_doubt);
        if (in_doubt) {
            job_move(job, PROTOCOL_READ_BACK);
            ok = note_found(job, &look, err);
        } else if (!job_by_mark(job)) {
            job->second_look_ms = job->began_ms + settle_ms(job);
            ok = begin_places(job, err);
        }
    }
    if (ok && in_doubt && failpoint("recover-read")) {
        ok = err_set(err, ERR_FAILED, 0, "failpoint");
    }
    look_deinit(&look);
    return ok;
}

/* Below the fences too: earlier records of ours show that headers arrive and last here. */
static void look_below_fences(struct look *look)
{
    for (size_t i = 0; i < look->count; i++) {
        struct readback_span *span = &look->spans[i];

        span->from = span->from > LOOK_UNKNOWN ? span->from - LOOK_UNKNOWN : 0;
    }
}

static bool raise_to_log_start(struct look *look, struct err *err)
{
    struct ends_item *first = mem_array(look->count, sizeof(*first));
    struct patience patience = job_patience(look->job, -1);
    bool ok;

    for (size_t i = 0; i < look->count; i++) {
        first[i] = (struct ends_item){.topic = look->spans[i].topic,
                                      .partition = look->spans[i].partition};
    }
    ok = ends_get(look->job->ask, ENDS_FIRST, first, look->count, &patience, err);
    for (size_t i = 0; ok && i < look->count; i++) {
        if (look->spans[i].from < first[i].offset) {
            look->spans[i].from = first[i].offset;
        }
    }
    free(first);
    return ok;
}

bool recover_judge_outputs(struct job *job, struct err *err)
{
    struct look look;
    bool ok;

    look_init(&look, job, LOOK_BACK);
    ok = look_choose(&look, true, err);
    if (ok) {
        after_look(&look, false);
    }
    look_deinit(&look);
    return ok;
}

bool recover_ask_outputs(struct job *job, struct err *err)
{
    struct look look;
    bool in_doubt = job->state == PROTOCOL_IN_DOUBT;
    bool ok;

    if (job->state != PROTOCOL_IDLE && !in_doubt) {
        return true; /* planned a moment ago: nothing can be there */
    }
    look_init(&look, job, LOOK_BACK);
    look.committed = true;
    ok = look_choose(&look, false, err);
    if (ok && in_doubt) {
        look_below_fences(&look);
        ok = raise_to_log_start(&look, err);
    }
    ok = ok && (look.count == 0 || look_read(&look, err));
    if (ok && in_doubt && look.found + look.earlier == 0) {
        ok = err_set(err, ERR_DECISION, 0,
                     "batch %" PRId64 " is in doubt, group '%s' carries no mark, and the outputs "
                     "hold no record that says it is of this job: whether the batch is there can't "
                     "be told; oncesink-recover resolve --assume delivered|missing decides it",
                     job->batch.number, job->config->group_id);
    }
    if (ok) {
        after_look(&look, false);
    }
    look_deinit(&look);
    return ok;
}

/* ---- a producer replaced in the running process ---- */

/* Those of an earlier sink stay: refusals in several partitions would else make each other
 * forgotten without end. */
void recover_keep_suspects(struct job *job)
{
    size_t count;
    struct sink_suspect *added = sink_suspects(job->sink, &count);

    job->suspects = mem_grow(job->suspects, job->suspect_count + count, sizeof(*job->suspects));
    for (size_t i = 0; i < count; i++) {
        size_t at = 0;

        while (at < job->suspect_count && (job->suspects[at].range != added[i].range ||
                                           job->suspects[at].output != added[i].output)) {
            at++;
        }
        if (at == job->suspect_count) {
            job->suspects[job->suspect_count++] = added[i];
            continue;
        }
        if (job->suspects[at].from > added[i].from) {
            job->suspects[at].from = added[i].from;
        }
        if (job->suspects[at].until < added[i].until) {
            job->suspects[at].until = added[i].until;
        }
    }
    free(added);
}

bool recover_broken(struct job *job, struct err *err)
{
    struct look look;
    int64_t began_ms;
    bool ok;

    assert(job->state == PROTOCOL_BROKEN);
    job->recovered = true;
    sink_purge(job->sink);
    recover_keep_suspects(job);
    if (failpoint("replace-after-purge")) {
        return err_set(err, ERR_FAILED, 0, "failpoint");
    }
    sink_free(job->sink);
    job->sink = NULL;
    job_move(job, PROTOCOL_DESTROY);
    if (failpoint("replace-after-destroy")) {
        return err_set(err, ERR_FAILED, 0, "failpoint");
    }
    began_ms = wait_now_ms();
    if (!recover_look_at_gaps(job, err) || !job_new_incarnation(job, err)) {
        return false;
    }
    for (size_t i = 0; i < job->outputs.count; i++) {
        struct output *output = &job->outputs.items[i];

        if (output->fenced && output->next > output->fence && output->records > 0) {
            output->fence = output->next; /* acknowledged up to here, and noted in `delivered` */
        }
    }
    look_init(&look, job, LOOK_BACK);
    ok = look_choose(&look, true, err) && wait_and_read(&look, began_ms, err);
    if (ok) {
        after_look(&look, true);
        job_move(job, PROTOCOL_READ_BACK);
        ok = note_found(job, &look, err);
    }
    look_deinit(&look);
    return ok;
}

bool recover_replace_drained(struct job *job, struct err *err)
{
    if (sink_check(job->sink, err)) {
        return true;
    }
    if (!sink_drained(job->sink)) {
        return false; /* others broke it meanwhile: the whole way */
    }
    log_notice("replacing the producer, every answer of which is known");
    return deliver_replace_sink(job, err);
}

void recover_seed(const struct job *job, struct delivered *delivered)
{
    for (size_t i = 0; i < job->batch.progress_count; i++) {
        const struct progress *progress = &job->batch.progress[i];
        int64_t output = outputs_find(&job->outputs, progress->topic, progress->partition);

        assert(output >= 0 && (size_t)output < delivered->outputs);
        delivered_put(delivered, progress->range, (size_t)output,
                      (struct delivered_entry){.offset = progress->offset,
                                               .index = INT32_MAX,
                                               .records = (uint32_t)progress->records});
    }
}
