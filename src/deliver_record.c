/* One record of a batch on its way.
 *
 * Nothing waits for a single record but these: the first record of an output partition after a
 * recovery (R5), and the suspects of a request that was refused for content (rule C1). They travel
 * alone: added, flushed and acknowledged before anything else is taken. */
#include "deliver_record.h"

#include "bad_record.h"
#include "failpoint.h"
#include "job_state.h"
#include "recover.h"

static bool is_suspect(const struct job *job, size_t range, size_t output, int64_t offset)
{
    for (size_t i = 0; i < job->suspect_count; i++) {
        const struct sink_suspect *suspect = &job->suspects[i];

        if (suspect->range == range && suspect->output == output) {
            return offset >= suspect->from && offset <= suspect->until;
        }
    }
    return false;
}

/* The place of a record that was put aside, or −1. */
static int64_t set_aside_place(const struct job *job, size_t range, int64_t offset)
{
    for (size_t i = 0; i < job->batch.set_aside_count; i++) {
        const struct set_aside_mark *mark = &job->batch.set_aside[i];

        if (mark->range == range && mark->offset == offset) {
            return outputs_find(&job->outputs, mark->error_topic, mark->error_partition);
        }
    }
    return -1;
}

static void hand_next(struct job *job)
{
    struct hand *hand = &job->hand;

    job->positions[hand->range] = hand->offset + 1;
    hand->at++;
    hand->made = false;
}

static void drop(rd_kafka_headers_t *headers)
{
    if (headers != NULL) {
        rd_kafka_headers_destroy(headers);
    }
}

/* Ours stands last; the user may have one of the same name. Takes the list over. */
static rd_kafka_headers_t *without_last(rd_kafka_headers_t *headers)
{
    size_t count = rd_kafka_header_cnt(headers);
    rd_kafka_headers_t *rest = rd_kafka_headers_new(count);
    const char *name;
    const void *value;
    size_t size;

    for (size_t i = 0; i + 1 < count; i++) {
        rd_kafka_header_get_all(headers, i, &name, &value, &size);
        rd_kafka_header_add(rest, name, -1, value, value == NULL ? 0 : (ssize_t)size);
    }
    rd_kafka_headers_destroy(headers);
    return rest;
}

/* The record in hand can't be delivered for what it is: it is put aside, and stays in hand for its
 * error topic. */
static bool put_aside(struct job *job, rd_kafka_headers_t *headers, const char *reason,
                      struct err *err)
{
    struct hand *hand = &job->hand;
    rd_kafka_message_t *message = hand->messages[hand->at];

    hand->made = false;
    if (headers != NULL) {
        rd_kafka_message_set_headers(message, headers);
    }
    return bad_record_refused(job, hand->range, message, reason, err);
}

/* The record in hand travels alone: nothing else goes out until it is acknowledged. A refusal of a
 * suspect is its own, as nothing else was on its way. `headers`: a suspect's own ones, a copy; NULL
 * = none. Takes them over. */
static bool send_alone(struct job *job, rd_kafka_headers_t *headers, bool suspect, struct err *err)
{
    struct hand *hand = &job->hand;
    struct output *place = &job->outputs.items[hand->record.output];
    rd_kafka_message_t *message = hand->messages[hand->at];
    struct patience patience = job_patience(job, -1);
    bool acknowledged;

    job->kept = message;
    hand->made = false;
    job->sent++;
    acknowledged = sink_drain(job->sink, &patience, err);
    if (!acknowledged && suspect && job->kept == NULL && err->kind == ERR_PRODUCER &&
        sink_broken_by_content(job->sink) && sink_drained(job->sink)) {
        struct err refusal = *err;

        return put_aside(job, headers, refusal.text, err);
    }
    drop(headers);
    if (job->kept == NULL) {
        rd_kafka_message_destroy(message);
    }
    job->kept = NULL; /* still on its way: freed when it comes back */
    hand_next(job);
    if (!acknowledged) {
        return false;
    }
    place->alone = false;
    return place->gap_from == place->gap_until || recover_look_at_gaps(job, err);
}

/* Found delivered. What a transaction committed and no checkpoint knows yet is counted here. */
static bool is_there(struct job *job, size_t output, int64_t offset)
{
    size_t range = job->hand.range;

    if (job->recovered && delivered_has(&job->delivered, range, output, offset, 0)) {
        return true;
    }
    if (job->done == NULL || offset >= job->done[range]) {
        return false;
    }
    delivered_add(&job->delivered, range, output, offset, 0);
    job->found++;
    return true;
}

/* The record in hand: sent, put aside, or known to be delivered. *moved_out: the hand went on. */
bool deliver_record(struct job *job, bool *moved_out, struct err *err)
{
    struct hand *hand = &job->hand;
    rd_kafka_message_t *message = hand->messages[hand->at];
    struct patience patience = job_patience(job, -1);
    rd_kafka_headers_t *headers = NULL;
    bool suspect;
    bool alone;

    hand->offset = message->offset;
    if (!hand->made) {
        int64_t aside = set_aside_place(job, hand->range, message->offset);
        size_t output = aside >= 0 ? (size_t)aside : relay_output(job->relay, hand->range, message);

        if (is_there(job, output, message->offset)) {
            rd_kafka_message_destroy(message);
            hand_next(job);
            *moved_out = true;
            return true;
        }
        relay_record(job->relay, hand->range, output, message, hand->text, &hand->record);
        hand->record.reason = aside >= 0 ? "refused by the output topic" : NULL;
        hand->made = true;
    }
    suspect = job->suspect_count > 0 &&
              is_suspect(job, hand->range, hand->record.output, message->offset);
    alone = suspect || job->outputs.items[hand->record.output].alone;
    if (alone && !job_synced(job, true, err)) {
        return false;
    }
    if (suspect && !sink_drain(job->sink, &patience, err)) {
        return false;
    }
    if (suspect && hand->record.headers != NULL) {
        headers = rd_kafka_headers_copy(hand->record.headers); /* the sink puts ours among them */
    }
    failpoint_delay_record();
    switch (sink_add(job->sink, &hand->record, err)) {
    case SINK_TAKEN:
        *moved_out = true;
        if (alone) {
            return send_alone(job, headers, suspect, err);
        }
        job->sent++;
        hand_next(job);
        return true;
    case SINK_REFUSED: {
        struct err refusal = *err;
        rd_kafka_headers_t *own = hand->record.headers;

        drop(headers);
        if (own != NULL && hand->record.provenance != NULL) {
            own = without_last(own);
        }
        hand->record.headers = NULL;
        *moved_out = true;
        return put_aside(job, own, refusal.text, err);
    }
    case SINK_FULL:
        drop(headers);
        return true;
    case SINK_BROKEN:
        drop(headers);
        return false;
    }
    return false;
}
