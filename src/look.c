/* Looking through output partitions.
 *
 * Every record is judged by its provenance header. Of the batch in doubt (or under way) it is noted
 * in the table of what is delivered; of an earlier batch it is nothing new, unless it stands in a
 * gap between our own records: then it was written late and is there twice; of a batch or a start
 * that the ledger doesn't know it ends everything. Where records carry no header they are known by
 * their places (look_positions.c). */
#include "look.h"

#include "job_state.h"
#include "log.h"
#include "look_positions.h"
#include "mem.h"
#include "source_ends.h"
#include "wait.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { OPEN_WAIT_MS = 100 };

void look_init(struct look *look, struct job *job, enum look_purpose purpose)
{
    *look = (struct look){
        .job = job, .purpose = purpose, .delivered = &job->delivered, .last_ours_ms = -1};
    look->spans = mem_array(job->outputs.count, sizeof(*look->spans));
    look->outputs = mem_array(job->outputs.count, sizeof(*look->outputs));
    look->begins = mem_array(job->outputs.count, sizeof(*look->begins));
}

void look_add(struct look *look, size_t output, int64_t from, int64_t until)
{
    const struct output *place = &look->job->outputs.items[output];

    look->spans[look->count] = (struct readback_span){
        .topic = place->topic, .partition = place->partition, .from = from, .until = until};
    look->begins[look->count] = -1;
    look->outputs[look->count++] = output;
}

bool look_add_by_place(struct look *look, size_t output, int64_t from, int64_t until,
                       struct err *err)
{
    look_add(look, output, from, until);
    look->begins[look->count - 1] = from;
    if (look->purpose == LOOK_BACK && look->positions == NULL &&
        !look_positions_new(look->job, &look->positions, err)) {
        return false;
    }
    if (look->positions != NULL) {
        look_positions_begin(look->positions, output, from);
    }
    return true;
}

void look_deinit(struct look *look)
{
    look_positions_free(look->positions);
    free(look->spans);
    free(look->outputs);
    free(look->begins);
}

/* ---- what a record found means ---- */

static bool refuse(const struct job *job, enum found found, const struct provenance *provenance,
                   const struct readback_span *span, int64_t offset, struct err *err)
{
    char where[TOPIC_NAME_MAX + 64];

    snprintf(where, sizeof(where), "'%s'[%d] offset %" PRId64, span->topic, (int)span->partition,
             offset);
    if (found == FOUND_OTHER_LEDGER) {
        return err_set(
            err, ERR_DECISION, 0,
            "%s was written by this job's name '%s' with another ledger (%s…, ours is "
            "%.12s…): use that ledger, or another job.name; if it is lost, move this one away and "
            "make it anew: oncesink-recover rebuild",
            where, job->config->job_name, provenance->ledger, job->identity.uuid);
    }
    if (found == FOUND_AHEAD) {
        return err_set(err, ERR_DECISION, 0,
                       "the ledger is stale: it has settled batch %" PRId64
                       ", but %s belongs to batch %" PRId64
                       " of it (an older copy, a restored backup, or a lost tail): start with the "
                       "newest ledger, or bring this one up to date: oncesink-recover reconcile",
                       job->identity.settled, where, provenance->batch);
    }
    return err_set(
        err, ERR_DECISION, 0,
        "a copy of this ledger has run: %s is of batch %" PRId64
        ", written by start %s, which this ledger doesn't know: keep one of the two, and "
        "let it learn of the other: oncesink-recover reconcile",
        where, provenance->batch, provenance->incarnation);
}

/* The batch's range that a record came from; false when it is none of them. */
static bool range_of(const struct batch *batch, const struct provenance *provenance,
                     size_t *range_out)
{
    int64_t found = batch_find_range(batch, provenance->topic, provenance->partition);

    if (found < 0 || provenance->offset < batch->ranges[found].from ||
        provenance->offset >= batch->ranges[found].until) {
        return false;
    }
    *range_out = (size_t)found;
    return true;
}

static bool note_double(struct look *look, const struct provenance *provenance,
                        const struct readback_span *span, int64_t offset, struct err *err)
{
    struct job *job = look->job;

    look->doubled++;
    log_warning("'%s'[%d] offset %" PRId64 ": record '%s'[%d] offset %" PRId64 " of batch %" PRId64
                " is there twice or out of order; noted as an event, nothing else to do",
                span->topic, (int)span->partition, offset, provenance->topic,
                (int)provenance->partition, provenance->offset, provenance->batch);
    return ledger_event(job->ledger, EVENT_DOUBLE, provenance->batch, clock_wall_ms(&job->clock),
                        err,
                        "'%s'[%d] offset %" PRId64 ": record '%s'[%d] offset %" PRId64
                        " again, written by start %s",
                        span->topic, (int)span->partition, offset, provenance->topic,
                        (int)provenance->partition, provenance->offset, provenance->incarnation);
}

static bool found_in_doubt(struct look *look, size_t output, const struct provenance *provenance,
                           const struct readback_span *span, int64_t offset, struct err *err)
{
    struct job *job = look->job;
    size_t range;

    if (look->purpose == LOOK_GAP && strcmp(provenance->incarnation, job->incarnation) == 0) {
        return true; /* our own, acknowledged or on its way */
    }
    if (!range_of(&job->batch, provenance, &range)) {
        return err_set(
            err, ERR_DECISION, 0,
            "'%s'[%d] offset %" PRId64 " says that it is record '%s'[%d] offset %" PRId64
            " of batch %" PRId64
            ", which has no such record: a copy of this ledger has run; oncesink-recover "
            "reconcile shows how far",
            span->topic, (int)span->partition, offset, provenance->topic,
            (int)provenance->partition, provenance->offset, provenance->batch);
    }
    look->last_ours_ms = look->ends_ms; /* it lies below the end that was told then */
    look->found++;
    if (delivered_add(look->delivered, range, output, provenance->offset, provenance->index)) {
        return true;
    }
    if (look->purpose == LOOK_BACK) {
        look->doubled++; /* the check before settling names it */
        return true;
    }
    return note_double(look, provenance, span, offset, err);
}

static bool on_found(void *arg, size_t span_index, const rd_kafka_message_t *message,
                     struct err *err)
{
    struct look *look = arg;
    struct job *job = look->job;
    const struct readback_span *span = &look->spans[span_index];
    struct protocol_self self = job_self(job);
    struct provenance provenance;
    bool known = false;
    enum found found;

    if (look->begins[span_index] >= 0) {
        return look_positions_found(look, span_index, message, err);
    }
    if (!relay_provenance(message, &provenance)) {
        return true;
    }
    if (!job_knows_incarnation(job, provenance.incarnation, &known, err)) {
        return false;
    }
    found = protocol_judge_record(&self, &provenance, known);
    switch (found) {
    case FOUND_STRANGER:
        return true;
    case FOUND_EARLIER:
        look->earlier++;
        if (look->purpose == LOOK_GAP && strcmp(provenance.incarnation, job->incarnation) != 0) {
            return note_double(look, &provenance, span, message->offset, err);
        }
        return true;
    case FOUND_IN_DOUBT:
        return found_in_doubt(look, look->outputs[span_index], &provenance, span, message->offset,
                              err);
    case FOUND_AHEAD:
    case FOUND_COPY:
    case FOUND_OTHER_LEDGER:
        return refuse(job, found, &provenance, span, message->offset, err);
    }
    return false;
}

static void place_items(const struct look *look, struct ends_item *items)
{
    for (size_t i = 0; i < look->count; i++) {
        items[i] = (struct ends_item){.topic = look->spans[i].topic,
                                      .partition = look->spans[i].partition};
    }
}

/* A span that ends above the last stable offset: some transaction is open there. −1 = none. */
static int64_t find_open(const struct look *look, const struct ends_item *stable)
{
    for (size_t i = 0; i < look->count; i++) {
        const struct readback_span *span = &look->spans[i];

        if (span->from < span->until && span->until > stable[i].offset) {
            return (int64_t)i;
        }
    }
    return -1;
}

/* Until nothing below the spans' ends is undecided: each transaction ends within its time-out. */
static bool wait_for_stable(struct look *look, struct ends_item *items,
                            const struct patience *patience, struct err *err)
{
    struct job *job = look->job;
    bool told = false;
    int64_t open;

    for (;;) {
        place_items(look, items);
        if (!ends_get(job->ask, ENDS_COMMITTED, items, look->count, patience, err)) {
            return false;
        }
        open = find_open(look, items);
        if (open < 0) {
            return true;
        }
        if (!told) {
            log_warning("output '%s'[%d]: a transaction is open at offset %" PRId64
                        "; waiting for its end, since what is ours may stand behind it",
                        items[open].topic, (int)items[open].partition, items[open].offset);
            told = true;
        }
        job_wait(job, OPEN_WAIT_MS);
        if (!job_meanwhile(job, err)) {
            return false;
        }
        if (patience->stopped(patience->arg)) {
            return err_set(err, ERR_STOPPED, 0, "asked to stop while a transaction was open");
        }
    }
}

/* To the log's end, not to the last stable offset: what is ours may be committed above the start of
 * a stranger's transaction. A new ledger doesn't wait for that one's end. */
static bool read_committed(struct look *look, const struct patience *patience, struct err *err)
{
    struct job *job = look->job;
    struct ends_item *items = mem_array(look->count, sizeof(*items));
    struct readback *readback = NULL;
    bool is_new = job->identity.batch == 0;
    bool ok;

    place_items(look, items);
    ok = ends_get(job->ask, is_new ? ENDS_COMMITTED : ENDS_LAST, items, look->count, patience, err);
    for (size_t i = 0; ok && i < look->count; i++) {
        struct readback_span *span = &look->spans[i];

        span->until = items[i].offset > span->from ? items[i].offset : span->from;
    }
    ok = ok && (is_new || wait_for_stable(look, items, patience, err)) &&
         readback_new(job->config, true, &readback, err) &&
         readback_read(readback, look->spans, look->count, on_found, look, patience, err);
    readback_free(readback);
    free(items);
    return ok;
}

bool look_read(struct look *look, struct err *err)
{
    struct job *job = look->job;
    struct patience patience = job_patience(job, -1);

    if (look->committed) {
        return read_committed(look, &patience, err);
    }
    if (job->readback == NULL && !readback_new(job->config, false, &job->readback, err)) {
        return false;
    }
    job->readback_ms = clock_now_ms(&job->clock);
    return readback_read(job->readback, look->spans, look->count, on_found, look, &patience, err) &&
           look_positions_whole(look, err);
}

/* Moves every span's end to the log's end of now. */
bool look_extend(struct look *look, struct err *err)
{
    struct job *job = look->job;
    struct ends_item *items = mem_array(look->count, sizeof(*items));
    struct patience patience = job_patience(job, -1);
    bool ok;

    for (size_t i = 0; i < look->count; i++) {
        items[i] = (struct ends_item){.topic = look->spans[i].topic,
                                      .partition = look->spans[i].partition};
    }
    ok = ends_get(job->ask, ENDS_LAST, items, look->count, &patience, err);
    look->ends_ms = wait_now_ms();
    for (size_t i = 0; ok && i < look->count; i++) {
        if (items[i].offset > look->spans[i].until) {
            look->spans[i].until = items[i].offset;
        }
    }
    free(items);
    return ok;
}
