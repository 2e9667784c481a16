/* Transactional mode: the producer and the marks.
 *
 *     no producer, a tainted one, a broken one
 *        │ destroy                          (its requests may still be on the wire)
 *        ▼
 *     new incarnation stored → new producer → init: earlier epochs are refused, what they left open
 *        │                                    is aborted
 *        ▼
 *     marks read, pending offsets waited for (T5): nothing of ours can change them any more
 *        │
 *        ├ SETTLED, PART, WHOLE   a batch under way: so many of its slices are there
 *        ├ SETTLED                nothing under way: go on
 *        ├ BEHIND                 nothing under way: written by a transaction of their own (T7)
 *        ├ ABSENT                 the outputs are asked (O4), then as above
 *        └ else                   refused: another ledger, a stale one, a copy, a person
 *
 * Whatever fails here with a producer that is of no use begins again at the top, after a pause. A
 * producer that the brokers fenced (T6) has lost to an unknown incarnation, which ends the job, or
 * to its own expired transaction or delayed request: then it begins again, but not for ever. */
#include "recover_mark.h"

#include "deliver.h"
#include "failpoint.h"
#include "job_state.h"
#include "log.h"
#include "mem.h"
#include "recover.h"
#include "start_mark.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum {
    PAUSE_MS_FIRST = 100,
    PAUSE_MS_MAX = 5000,
    ABORT_MS = 3000,
};

/* ---- the marks ---- */

struct marks {
    struct mark_item *items;
    struct mark_place *places;
    int64_t *ranges; /* of each: index into the batch's ranges, −1 = not planned */
    size_t count;
};

static bool under_way(const struct job *job)
{
    return job->state != PROTOCOL_IDLE;
}

static const struct definition *definition_of(const struct job *job)
{
    return under_way(job) ? &job->batch.definition : &job->definition;
}

/* Every input partition of the definition, with its place in the ledger. */
static void marks_init(const struct job *job, struct marks *marks)
{
    *marks = (struct marks){
        .items = mem_array(job->inputs.count, sizeof(*marks->items)),
        .places = mem_array(job->inputs.count, sizeof(*marks->places)),
        .ranges = mem_array(job->inputs.count, sizeof(*marks->ranges)),
    };
    for (size_t i = 0; i < job->inputs.count; i++) {
        const struct ledger_input *input = &job->inputs.items[i];
        int64_t range =
            under_way(job) ? batch_find_range(&job->batch, input->topic, input->partition) : -1;

        if (definition_find_input(definition_of(job), input->topic) < 0) {
            continue; /* no longer read */
        }
        marks->items[marks->count] =
            (struct mark_item){.topic = input->topic, .partition = input->partition};
        marks->ranges[marks->count] = range;
        marks->places[marks->count++] = (struct mark_place){
            .planned = range >= 0,
            .from = range >= 0 ? job->batch.ranges[range].from : input->next_offset,
            .until = range >= 0 ? job->batch.ranges[range].until : input->next_offset,
        };
    }
}

static void marks_deinit(struct marks *marks)
{
    free(marks->items);
    free(marks->places);
    free(marks->ranges);
}

static bool marks_read(struct job *job, struct marks *marks, enum mark_reading reading,
                       struct err *err)
{
    struct patience patience = job_patience(job, -1);

    if (!mark_read(job->ask, job->config->group_id, reading, marks->items, marks->count, &patience,
                   err)) {
        return false;
    }
    for (size_t i = 0; i < marks->count; i++) {
        struct mark_place *place = &marks->places[i];

        place->offset = marks->items[i].offset;
        place->ours = marks->items[i].ours;
        place->text = marks->items[i].text;
        if (place->ours &&
            !job_knows_incarnation(job, place->text.incarnation, &place->incarnation_known, err)) {
            return false;
        }
    }
    return true;
}

static bool refuse(const struct job *job, enum marks_verdict verdict, const struct marks *marks,
                   size_t place, struct err *err)
{
    const struct mark_item *item = &marks->items[place];
    const struct mark_place *known = &marks->places[place];

    switch (verdict) {
    case MARKS_OTHER_LEDGER:
        return start_mark_refuse(job, MARK_OTHER_LEDGER, &item->text, err);
    case MARKS_AHEAD:
        return start_mark_refuse(job, MARK_AHEAD, &item->text, err);
    case MARKS_COPY:
        return start_mark_refuse(job, MARK_COPY, &item->text, err);
    case MARKS_MIXED:
        return err_set(err, ERR_DECISION, 0,
                       "group '%s' carries a part of batch %" PRId64
                       " only: '%s'[%d] stands at %" PRId64
                       " with another mark than the others, though one transaction commits all: "
                       "somebody moved it; oncesink-recover reconcile shows both sides",
                       job->config->group_id, job->batch.number, item->topic, (int)item->partition,
                       item->offset);
    case MARKS_MOVED:
        return err_set(err, ERR_DECISION, 0,
                       "the offset of group '%s' at '%s'[%d] is %" PRId64 " (%s), but the ledger "
                       "expects between %" PRId64 " and %" PRId64
                       ": somebody moved it, and in transactional mode the group decides; "
                       "oncesink-recover reconcile shows both sides and mends it",
                       job->config->group_id, item->topic, (int)item->partition, item->offset,
                       item->ours ? "with a mark of this job" : "without a mark of this job",
                       known->from, known->until);
    case MARKS_SETTLED:
    case MARKS_PART:
    case MARKS_WHOLE:
    case MARKS_ABSENT:
    case MARKS_BEHIND:
        break;
    }
    return err_set(err, ERR_FAILED, 0, "a verdict on marks that refuses nothing");
}

/* ---- the producer ---- */

void recover_mark_end(struct job *job, bool orderly)
{
    if (job->transaction != NULL && orderly) {
        transaction_abort(job->transaction, ABORT_MS);
    }
    transaction_free(job->transaction);
    job->transaction = NULL;
    sink_free(job->sink);
    job->sink = NULL;
}

/* T6: fenced by a start that the ledger knows: it was ourselves. */
static bool judge_fenced(struct job *job, struct err *err)
{
    struct marks marks;
    enum marks_verdict verdict;
    struct protocol_self self = job_self(job);
    size_t place;
    bool ok;

    marks_init(job, &marks);
    ok = marks_read(job, &marks, MARK_AS_IT_IS, err);
    if (ok) {
        verdict = protocol_judge_marks(&self, marks.places, marks.count,
                                       job->identity.settled_by_mark, &place);
        if (verdict >= MARKS_OTHER_LEDGER) {
            ok = refuse(job, verdict, &marks, place, err);
        }
    }
    marks_deinit(&marks);
    if (!ok) {
        return false;
    }
    if (!protocol_fenced_again(&job->fenced, clock_now_ms(&job->clock))) {
        return err_set(err, ERR_DECISION, 0,
                       "this producer was fenced for the fourth time within ten minutes, and the "
                       "marks are ours: another process uses transactional.id '%s', or "
                       "transactions take longer than transaction.timeout.ms",
                       job->config->transactional_id);
    }
    return ledger_event(
        job->ledger, EVENT_PRODUCER, under_way(job) ? job->batch.number : 0,
        clock_wall_ms(&job->clock), err,
        "fenced, and no mark is another's: a transaction of our own expired, a "
        "request of our own came late, or another producer has our transactional.id");
}

/* A producer that fences all before it. One that is of no use is ended. */
static bool new_producer(struct job *job, struct err *err)
{
    struct patience patience = job_patience(job, -1);

    if (job->produced && !job_new_incarnation(job, err)) {
        return false;
    }
    job->produced = true;
    if (!deliver_make_sink(job, true, err)) {
        return false;
    }
    job->transaction = transaction_new(job->sink, job->config->group_id);
    if (!transaction_init(job->transaction, &patience, err)) {
        recover_mark_end(job, false);
        return false;
    }
    log_debug("earlier producers are fenced");
    return !failpoint("transaction-after-init") || err_set(err, ERR_FAILED, 0, "failpoint");
}

/* ---- what the marks say ---- */

/* A batch under way: its slices that are there, and up to where each range is. */
static bool adopt(struct job *job, const struct marks *marks, size_t place,
                  enum marks_verdict verdict, struct err *err)
{
    const struct batch *batch = &job->batch;
    bool begun = verdict == MARKS_PART || verdict == MARKS_WHOLE;

    if (job->state == PROTOCOL_IN_DOUBT && !recover_judge_outputs(job, err)) {
        return false;
    }
    free(job->done);
    job->done = mem_array(batch->range_count, sizeof(*job->done));
    for (size_t r = 0; r < batch->range_count; r++) {
        job->done[r] = batch->ranges[r].from;
    }
    for (size_t i = 0; begun && i < marks->count; i++) {
        if (marks->ranges[i] >= 0) {
            job->done[marks->ranges[i]] = marks->places[i].offset;
        }
    }
    job->slice = begun ? marks->places[place].text.slice : 0;
    job->whole = verdict == MARKS_WHOLE;
    if (job->state != PROTOCOL_IN_DOUBT) {
        return true; /* planned a moment ago: nothing can be there */
    }
    job->found = delivered_records_all(&job->delivered);
    log_info("recovery of batch %" PRId64 ": %s; going on", batch->number,
             job->whole ? "the mark says that it is whole"
             : begun    ? "the mark says that a part of it is there"
                        : "nothing of it was committed");
    job_move(job, PROTOCOL_READ_BACK);
    return ledger_event(job->ledger, EVENT_RECOVERY, batch->number, clock_wall_ms(&job->clock), err,
                        "batch %" PRId64 ": the mark says that %" PRId64
                        " slices of it were committed%s",
                        batch->number, job->slice, job->whole ? ", and that it is whole" : "");
}

/* Nothing is under way: the marks of the last settled batch, by a transaction of their own. */
static bool write_marks(struct job *job, struct marks *marks, struct err *err)
{
    struct patience patience = job_patience(job, -1);
    struct mark_text text = {
        .delivery = DELIVERY_TRANSACTIONAL,
        .batch = job->identity.settled,
        .slice = 1,
        .slices = 1,
    };

    memcpy(text.uuid, job->identity.uuid, UUID_SIZE);
    memcpy(text.incarnation, job->incarnation, INCARNATION_SIZE);
    for (size_t i = 0; i < marks->count; i++) {
        marks->items[i].offset = marks->places[i].from;
    }
    if (!transaction_begin(job->transaction, err) ||
        !transaction_commit(job->transaction, marks->items, marks->count, &text, &patience, err)) {
        return false;
    }
    job->marked_ms = clock_now_ms(&job->clock);
    return true;
}

static bool note_absent(struct job *job, struct err *err)
{
    log_warning(
        "group '%s' carries no mark of a transaction (expired, reset, or the input was made "
        "anew): asking the outputs",
        job->config->group_id);
    return ledger_event(job->ledger, EVENT_MARK, 0, clock_wall_ms(&job->clock), err,
                        "group '%s' carries no mark", job->config->group_id);
}

/* Nothing is in doubt and the last batch was no transaction: the ledger wins, as in idempotent
 * mode. */
static bool note_foreign(struct job *job, const struct marks *marks, struct err *err)
{
    for (size_t i = 0; i < marks->count; i++) {
        if (marks->places[i].offset >= 0 && !marks->places[i].ours) {
            return start_mark_foreign(job, err);
        }
    }
    return true;
}

static bool act_on(struct job *job, struct marks *marks, struct err *err)
{
    struct protocol_self self = job_self(job);
    size_t place = 0;
    enum marks_verdict verdict = protocol_judge_marks(&self, marks->places, marks->count,
                                                      job->identity.settled_by_mark, &place);

    switch (verdict) {
    case MARKS_SETTLED:
    case MARKS_PART:
    case MARKS_WHOLE:
        return !under_way(job) || adopt(job, marks, place, verdict, err);
    case MARKS_ABSENT:
        if (job->identity.batch > 0 && !note_absent(job, err)) {
            return false;
        }
        if (under_way(job)) {
            return recover_ask_outputs(job, err) && adopt(job, marks, place, verdict, err);
        }
        return recover_ask_outputs(job, err) && write_marks(job, marks, err);
    case MARKS_BEHIND:
        return note_foreign(job, marks, err) && write_marks(job, marks, err);
    case MARKS_MOVED:
    case MARKS_MIXED:
    case MARKS_OTHER_LEDGER:
    case MARKS_AHEAD:
    case MARKS_COPY:
        return refuse(job, verdict, marks, place, err);
    }
    return false;
}

static bool begin_anew(struct job *job, struct err *err)
{
    struct marks marks;
    bool ok;

    if (!new_producer(job, err)) {
        return false;
    }
    marks_init(job, &marks);
    ok = marks_read(job, &marks, MARK_STABLE, err) && act_on(job, &marks, err);
    marks_deinit(&marks);
    return ok;
}

/* ---- the calls ---- */

static bool pause_for(struct job *job, int64_t pause_ms, struct err *err)
{
    int64_t end = clock_now_ms(&job->clock) + pause_ms;
    struct patience patience = job_patience(job, -1);

    while (clock_now_ms(&job->clock) < end) {
        if (!job_meanwhile(job, err)) {
            return false;
        }
        if (patience.stopped(patience.arg)) {
            return err_set(err, ERR_STOPPED, 0, "asked to stop while a producer was replaced");
        }
        job_wait(job, IDLE_SLICE_MS);
    }
    return true;
}

static int64_t longer(int64_t pause_ms)
{
    return pause_ms * 2 < PAUSE_MS_MAX ? pause_ms * 2 : PAUSE_MS_MAX;
}

bool recover_mark_ready(struct job *job, struct err *err)
{
    if (job->transaction != NULL && !sink_tainted(job->sink) && sink_check(job->sink, err)) {
        return true;
    }
    if (job->transaction != NULL && !transaction_is_open(job->transaction)) {
        log_notice("a request of the last transaction had no clean answer: replacing the producer, "
                   "so that a late copy of it can't act on the next");
    }
    for (int64_t pause_ms = PAUSE_MS_FIRST;; pause_ms = longer(pause_ms)) {
        bool fenced = job->sink != NULL && sink_fenced(job->sink);

        recover_mark_end(job, false);
        if ((!fenced || judge_fenced(job, err)) && begin_anew(job, err)) {
            return true;
        }
        if (err_action(err->kind) != ERR_REPLACE) {
            return false;
        }
        log_warning("%s; trying again with a new producer", err->text);
        if (!pause_for(job, pause_ms, err)) {
            return false;
        }
    }
}

bool recover_mark_broken(struct job *job, struct err *err)
{
    bool fenced = job->sink != NULL && sink_fenced(job->sink);
    int64_t pause_ms = PAUSE_MS_FIRST * job->broken_count;

    assert(job->state == PROTOCOL_BROKEN);
    job->recovered = true;
    if (job->sink != NULL) {
        sink_purge(job->sink);
        recover_keep_suspects(job);
    }
    if (failpoint("replace-after-purge")) {
        return err_set(err, ERR_FAILED, 0, "failpoint");
    }
    recover_mark_end(job, false);
    job_move(job, PROTOCOL_DESTROY);
    if (failpoint("replace-after-destroy")) {
        return err_set(err, ERR_FAILED, 0, "failpoint");
    }
    delivered_copy(&job->committed, &job->delivered);
    delivered_widen(&job->delivered, job->outputs.count);
    job->broken_count++;
    if (!pause_for(job, pause_ms < PAUSE_MS_MAX ? pause_ms : PAUSE_MS_MAX, err)) {
        return false;
    }
    return (!fenced || judge_fenced(job, err)) && recover_mark_ready(job, err);
}

bool recover_mark_refresh(struct job *job, struct err *err)
{
    struct marks marks;
    bool ok;

    assert(!under_way(job));
    if (!recover_mark_ready(job, err)) {
        return false;
    }
    marks_init(job, &marks);
    ok = write_marks(job, &marks, err);
    marks_deinit(&marks);
    if (!ok && err_action(err->kind) == ERR_REPLACE) {
        bool fenced = sink_fenced(job->sink);

        log_warning("%s; the mark is written again with a new producer", err->text);
        recover_mark_end(job, false); /* the next look finds none */
        return !fenced || judge_fenced(job, err);
    }
    return ok;
}
