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
#include "mem.h"
#include "positions.h"
#include "source_ends.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum {
    WAIT_SLICE_MS = 40,
    NEW_LEDGER_LOOK = 1000, /* O4: so many offsets of an output that the ledger doesn't know */
    SETTLE_MS = 1000,
    SETTLE_REPLICATED_MS = 3000,
    READBACK_IDLE_MS = 3000, /* a reader of the outputs that wasn't used for so long is ended */
};

/* ---- where to look, judged first (R8) ---- */

/* The output was made anew and nothing is in doubt: the ledger learns its new id before anything
 * goes there. */
static bool renew_output(struct job *job, void *arg, struct err *err)
{
    struct output *output = arg;
    const struct topic_fact *fact = topic_facts_find(job->facts, output->topic);
    struct ledger_output row = {
        .topic = output->topic,
        .partition = output->partition,
        .next_offset = output->next,
        .refreshed_wall_ms = clock_wall_ms(&job->clock),
    };

    memcpy(row.topic_id, fact->topic_id, TOPIC_ID_SIZE);
    memcpy(output->topic_id, fact->topic_id, TOPIC_ID_SIZE);
    return ledger_output_put(job->ledger, &row, err) &&
           ledger_event(job->ledger, EVENT_TOPIC, 0, row.refreshed_wall_ms, err,
                        "output '%s'[%d] is another topic than before", output->topic,
                        (int)output->partition);
}

/* O3 where records are known by their places. */
static bool refuse_ahead(const struct job *job, const struct output *output,
                         const struct output_found *found, struct err *err)
{
    char words[256];

    snprintf(
        words, sizeof(words),
        "the ledger has settled batch %" PRId64 ", whose last record there stands below %" PRId64
        ", and the log ends at %" PRId64
        ". Is it an older copy, a restored backup? Then start with the newest ledger, or bring "
        "this one up to date: oncesink-recover reconcile. Is it not",
        job->identity.settled, found->place, found->log_end);
    return positions_refuse(output->topic, output->partition, found->place, found->log_end, words,
                            err);
}

static bool judge_output(struct job *job, struct output *output, const struct output_found *found,
                         int64_t *from_out, struct err *err)
{
    const char *way_out = "oncesink-recover resolve --assume delivered|missing decides it";

    *from_out = found->place;
    switch (protocol_judge_output(found)) {
    case OUTPUT_FINE:
        if (found->place < 0) {
            *from_out = found->log_end - NEW_LEDGER_LOOK;
        }
        break;
    case OUTPUT_GONE_BEFORE:
        break;
    case OUTPUT_RENEWED:
        log_warning("output '%s'[%d] is another topic than before; going on at its start",
                    output->topic, (int)output->partition);
        *from_out = output->positions ? found->log_end : found->log_start;
        output->next = output->positions ? found->log_end : 0;
        return job_transaction(job, renew_output, output, err);
    case OUTPUT_LOG_START:
        return err_set(err, ERR_DECISION, 0,
                       "batch %" PRId64 " is in doubt and its fence in output '%s'[%d] is %" PRId64
                       ", but the log begins at %" PRId64 ": what was delivered can't be told; %s",
                       job->batch.number, output->topic, (int)output->partition, found->place,
                       found->log_start, way_out);
    case OUTPUT_RECREATED:
        return err_set(err, ERR_DECISION, 0,
                       "batch %" PRId64 " is in doubt and output '%s' was made anew (fence %" PRId64
                       ", log start %" PRId64 "): what was delivered can't be told; %s",
                       job->batch.number, output->topic, found->place, found->log_start, way_out);
    case OUTPUT_SHORT:
        return err_set(
            err, ERR_DECISION, 0,
            "output '%s'[%d] ends at %" PRId64 " (log start %" PRId64 "), below the %" PRId64
            " that the ledger knows: cut by an unclean leader election, or made anew; %s",
            output->topic, (int)output->partition, found->log_end, found->log_start, found->place,
            way_out);
    case OUTPUT_AHEAD:
        return refuse_ahead(job, output, found, err);
    case OUTPUT_MISSING:
        return err_set(err, ERR_DECISION, 0,
                       "output '%s'[%d] isn't there, but batch %" PRId64
                       " in doubt goes to it: create it again, or add partitions to it "
                       "(kafka-topics --alter), then decide what it has: oncesink-recover resolve",
                       output->topic, (int)output->partition, job->batch.number);
    }
    if (*from_out < found->log_start) {
        *from_out = found->log_start;
    }
    return true;
}

static bool is_due(const struct job *job, const struct output *output, bool again)
{
    if (job->state == PROTOCOL_IN_DOUBT && output->fenced) {
        return true;
    }
    return !again && !output->looked;
}

/* Judges one output and adds it. `next` of an output whose records are known by their places is
 * where its last one ended, and the fence is where the batch's first one stands. */
static bool choose_one(struct look *look, size_t place, int64_t log_start, int64_t log_end,
                       struct err *err)
{
    struct job *job = look->job;
    struct output *output = &job->outputs.items[place];
    const struct topic_fact *fact = topic_facts_find(job->facts, output->topic);
    bool doubt = job->state == PROTOCOL_IN_DOUBT;
    bool in_doubt = doubt && output->fenced;
    bool told = in_doubt && job_by_mark(job) && !look->committed;
    /* What is to be read begins at the lower of the two; what must be there, at the higher. */
    bool before =
        told ? output->fence > output->next
             : in_doubt && (output->positions || output->next < 0 || output->fence < output->next);
    struct output_found found = {
        .in_doubt = in_doubt,
        .exists = true,
        .other_id = fact != NULL && fact->topic_id[0] != '\0' && output->topic_id[0] != '\0' &&
                    strcmp(fact->topic_id, output->topic_id) != 0,
        .told = told,
        .place = before ? output->fence : output->next,
        .log_start = log_start,
        .log_end = log_end,
        .exact = output->positions && !in_doubt && (doubt || job->identity.settled_by_place),
    };
    int64_t from;

    if (!judge_output(job, output, &found, &from, err)) {
        return false;
    }
    if (output->positions && doubt && (in_doubt || output->next >= 0)) {
        return look_add_by_place(look, place, from, log_end, err);
    }
    look_add(look, place, from, log_end);
    return true;
}

/* Fills the look with every output to look through. again: only those of the batch in doubt. */
static bool choose(struct look *look, bool again, struct err *err)
{
    struct job *job = look->job;
    struct ends_item *first = mem_array(job->outputs.count, sizeof(*first));
    struct ends_item *last = mem_array(job->outputs.count, sizeof(*last));
    size_t *place = mem_array(job->outputs.count, sizeof(*place));
    struct patience patience = job_patience(job, -1);
    size_t count = 0;
    bool ok = true;

    for (size_t i = 0; ok && i < job->outputs.count; i++) {
        struct output *output = &job->outputs.items[i];
        const struct topic_fact *fact = topic_facts_find(job->facts, output->topic);

        if (!is_due(job, output, again)) {
            continue;
        }
        if (fact == NULL && !output->fenced) {
            continue; /* an error topic of another time */
        }
        if (fact != NULL && output->partition >= fact->partitions) {
            struct output_found found = {.in_doubt = output->fenced, .exists = false};
            int64_t from;

            ok = !output->fenced || judge_output(job, output, &found, &from, err);
            continue;
        }
        first[count] = (struct ends_item){.topic = output->topic, .partition = output->partition};
        last[count] = first[count];
        place[count++] = i;
    }
    ok = ok && ends_get(job->ask, ENDS_FIRST, first, count, &patience, err) &&
         ends_get(job->ask, ENDS_LAST, last, count, &patience, err);
    for (size_t i = 0; ok && i < count; i++) {
        ok = choose_one(look, place[i], first[i].offset, last[i].offset, err);
    }
    free(first);
    free(last);
    free(place);
    return ok;
}

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
 * of after it. */
static bool wait_and_read(struct look *look, int64_t began_ms, struct err *err)
{
    struct job *job = look->job;

    for (;;) {
        bool over = protocol_wait_over(clock_now_ms(&job->clock), began_ms, look->last_ours_ms,
                                       settle_ms(job));
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
            job_wait(job, WAIT_SLICE_MS);
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

    job->found = 0;
    for (size_t i = 0; i < job->delivered.ranges * job->delivered.outputs; i++) {
        job->found += job->delivered.entries[i].records;
    }
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
    ok = choose(&look, false, err);
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

        span->from = span->from > NEW_LEDGER_LOOK ? span->from - NEW_LEDGER_LOOK : 0;
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
    ok = choose(&look, true, err);
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
    ok = choose(&look, false, err);
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
    began_ms = clock_now_ms(&job->clock);
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
    ok = choose(&look, true, err) && wait_and_read(&look, began_ms, err);
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
        struct delivered_entry *entry;

        assert(output >= 0 && (size_t)output < delivered->outputs);
        entry = &delivered->entries[progress->range * delivered->outputs + (size_t)output];
        entry->offset = progress->offset;
        entry->index = INT32_MAX;
        entry->records = (uint32_t)progress->records;
    }
}

/* ---- gaps and the second look ---- */

/* A reader that nobody needs would go on fetching what we write. look_read makes a new one. */
static void drop_readback(struct job *job)
{
    readback_free(job->readback);
    job->readback = NULL;
}

bool recover_look_at_gaps(struct job *job, struct err *err)
{
    struct look look;
    bool ok;

    look_init(&look, job, LOOK_GAP);
    for (size_t i = 0; i < job->outputs.count; i++) {
        struct output *output = &job->outputs.items[i];

        if (output->gap_from < output->gap_until) {
            look_add(&look, i, output->gap_from, output->gap_until);
            output->gap_from = output->gap_until = 0;
        }
    }
    ok = look.count == 0 || look_read(&look, err);
    look_deinit(&look);
    return ok;
}

/* What came since the first look: the gaps between our own records, and what lies behind the last
 * of them. */
static bool second_look(struct job *job, struct err *err)
{
    struct look look;
    bool ok = true;

    job->second_look_ms = 0;
    if (!recover_look_at_gaps(job, err)) {
        return false;
    }
    look_init(&look, job, LOOK_GAP);
    for (size_t i = 0; ok && i < job->outputs.count; i++) {
        const struct output *output = &job->outputs.items[i];
        int64_t from = output->expected >= 0 ? output->expected : output->look_from;

        if (!output->looked || output->look_from < 0) {
            continue;
        }
        if (!output->positions) {
            look_add(&look, i, from, from);
        } else if (job->state == PROTOCOL_IDLE) {
            /* With records on their way their offsets tell it. */
            ok = look_add_by_place(&look, i, output->next, output->next, err);
        }
    }
    ok = ok && look_extend(&look, err) && look_read(&look, err);
    look_deinit(&look);
    drop_readback(job); /* from now on it is needed only where somebody else writes */
    return ok;
}

void recover_watch_end(struct job *job)
{
    job->second_look_ms = 0;
    job->watch_until_ms = 0;
    for (size_t i = 0; i < job->outputs.count; i++) {
        struct output *output = &job->outputs.items[i];

        output->expected = output->look_from = -1;
        output->gap_from = output->gap_until = 0;
        output->alone = false;
    }
    drop_readback(job);
}

bool recover_meanwhile(struct job *job, struct err *err)
{
    int64_t now = clock_now_ms(&job->clock);

    if (job->state == PROTOCOL_BROKEN || job->state == PROTOCOL_IN_DOUBT) {
        return true; /* the read-back sees it all */
    }
    if (job->second_look_ms > 0 && now >= job->second_look_ms && !second_look(job, err)) {
        return false;
    }
    if (now - job->readback_ms >= READBACK_IDLE_MS) {
        drop_readback(job);
    }
    if (job->watch_until_ms == 0 || now - job->gap_look_ms < GAP_LOOK_MS) {
        return true;
    }
    job->gap_look_ms = now;
    if (!recover_look_at_gaps(job, err)) {
        return false;
    }
    if (now < job->watch_until_ms) {
        return true;
    }
    job->watch_until_ms = 0;
    for (size_t i = 0; i < job->outputs.count; i++) {
        job->outputs.items[i].expected = -1;
    }
    return true;
}
