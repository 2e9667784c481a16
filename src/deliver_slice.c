/* The slices of a transactional batch.
 *
 * A batch of any size must neither hold readers up for long nor outlive the transaction's time-out,
 * so it is cut into transactions. A slice's mark says up to where each range is committed; the
 * checkpoint that follows says how many records that were, so that a recovery has at most one slice
 * to count by reading its input again. */
#include "deliver_slice.h"

#include "deliver.h"
#include "failpoint.h"
#include "job_state.h"
#include "log.h"
#include "mem.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum {
    SLICE_RECORDS_MAX = 500000,
    SLICE_MS_MAX = 5000,  /* readers wait so long for the records of a slow batch */
    SLICES_A_TIMEOUT = 4, /* the time-out is at least so many times a slice */
};

bool deliver_slice_open(struct job *job, struct err *err)
{
    if (job->whole || transaction_is_open(job->transaction)) {
        return true;
    }
    if (sink_tainted(job->sink)) {
        return err_set(err, ERR_PRODUCER, 0,
                       "a request of the last transaction had no clean answer, and a late copy of "
                       "it could act on the next");
    }
    job->slice_sent = job->sent;
    job->slice_ms = clock_now_ms(&job->clock);
    return transaction_begin(job->transaction, err);
}

bool deliver_slice_full(const struct job *job)
{
    int64_t most_ms = job->config->transaction_timeout_ms / SLICES_A_TIMEOUT;
    uint64_t sent = job->sent - job->slice_sent;

    if (job->whole) {
        return false; /* no slice is open */
    }
    return sent >= SLICE_RECORDS_MAX ||
           (sent > 0 && clock_now_ms(&job->clock) - job->slice_ms >=
                            (most_ms < SLICE_MS_MAX ? most_ms : SLICE_MS_MAX));
}

/* Up to where the range has gone into this transaction and those before it. */
static int64_t position_of(const struct job *job, size_t range)
{
    int64_t done = job->done == NULL ? 0 : job->done[range];

    for (size_t read = 0; read < job->read_count; read++) {
        if (job->read_range[read] != range) {
            continue;
        }
        if (job->read_done[read] && (job->hand.range != range || job->hand.at == job->hand.count)) {
            break;
        }
        return job->positions[range] > done ? job->positions[range] : done;
    }
    return job->batch.ranges[range].until;
}

/* A topic that is gone takes no offset. Its partition isn't planned, or reading it would tell. */
static bool is_gone(const struct job *job, const struct ledger_input *input)
{
    const struct topic_fact *fact = topic_facts_find(job->facts, input->topic);

    return fact != NULL && fact->partitions <= input->partition;
}

/* T1: the offsets of all input partitions of the definition. */
static struct mark_item *items_of(const struct job *job, size_t *count_out)
{
    struct mark_item *items = mem_array(job->inputs.count, sizeof(*items));
    size_t count = 0;

    for (size_t i = 0; i < job->inputs.count; i++) {
        const struct ledger_input *input = &job->inputs.items[i];
        int64_t range = batch_find_range(&job->batch, input->topic, input->partition);

        if (definition_find_input(&job->batch.definition, input->topic) < 0) {
            continue;
        }
        items[count] = (struct mark_item){
            .topic = input->topic, .partition = input->partition, .offset = input->next_offset};
        if (range >= 0) {
            items[count].offset = position_of(job, (size_t)range);
        }
        count += range >= 0 || !is_gone(job, input) ? 1 : 0;
    }
    *count_out = count;
    return items;
}

static bool commit(struct job *job, bool last, struct err *err)
{
    struct patience patience = job_patience(job, -1);
    struct mark_text text = {
        .delivery = DELIVERY_TRANSACTIONAL,
        .batch = job->batch.number,
        .slice = job->slice + 1,
        .slices = last ? job->slice + 1 : 0,
    };
    size_t count;
    struct mark_item *items = items_of(job, &count);
    bool ok;

    memcpy(text.uuid, job->identity.uuid, UUID_SIZE);
    memcpy(text.incarnation, job->incarnation, INCARNATION_SIZE);
    ok = transaction_commit(job->transaction, items, count, &text, &patience, err);
    free(items);
    return ok;
}

bool deliver_slice_end(struct job *job, bool last, struct err *err)
{
    struct patience patience = job_patience(job, -1);

    if (job->whole) {
        return true;
    }
    if (!sink_drain(job->sink, &patience, err)) {
        return false;
    }
    if (failpoint("deliver-last-acked")) {
        return err_set(err, ERR_FAILED, 0, "failpoint");
    }
    if (!commit(job, last, err)) {
        return false;
    }
    job->slice++;
    job->broken_count = 0;
    job->marked_ms = clock_now_ms(&job->clock);
    delivered_copy(&job->delivered, &job->committed);
    log_debug("batch %" PRId64 ": slice %" PRId64 " committed%s", job->batch.number, job->slice,
              last ? ", the last one" : "");
    return last || deliver_checkpoint(job, err);
}
