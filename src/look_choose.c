/* Where to look: which outputs, from where to where, each judged before it is read (R8, O3).
 *
 *     log starts and ends asked → protocol_judge_output → a span of the look, or the job stops
 *
 * With nothing in doubt an output that was made anew or cut by retention is an event; while a batch
 * is in doubt it stops the job, as what was delivered can't be told any more. */
#include "look_choose.h"

#include "job_state.h"
#include "log.h"
#include "mem.h"
#include "positions.h"
#include "source_ends.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

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
            *from_out = found->log_end - LOOK_UNKNOWN;
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
    /* What must be there begins at the fence, which a checkpoint raises above `next` (told: at the
     * higher of the two); what is to be read, at the lower. */
    bool at_fence = told ? output->fence > output->next : in_doubt;
    struct output_found found = {
        .in_doubt = in_doubt,
        .exists = true,
        .other_id = fact != NULL && fact->topic_id[0] != '\0' && output->topic_id[0] != '\0' &&
                    strcmp(fact->topic_id, output->topic_id) != 0,
        .told = told,
        .place = at_fence ? output->fence : output->next,
        .log_start = log_start,
        .log_end = log_end,
        .exact = output->positions && !in_doubt && (doubt || job->identity.settled_by_place),
    };
    int64_t from;

    if (!judge_output(job, output, &found, &from, err)) {
        return false;
    }
    if (at_fence && !told && !output->positions && output->next >= 0 && output->next < from) {
        from = output->next > log_start ? output->next : log_start;
    }
    if (output->positions && doubt && (in_doubt || output->next >= 0)) {
        return look_add_by_place(look, place, from, log_end, err);
    }
    look_add(look, place, from, log_end);
    return true;
}

bool look_choose(struct look *look, bool again, struct err *err)
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
