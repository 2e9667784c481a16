/* Records out, acknowledgements in.
 *
 * The producer never gives up by itself (no message time-out, endless retries), so an
 * acknowledgement is success with an offset, or trouble that ends this producer:
 *
 *     success, offset ≥ 0      delivered
 *     success, no offset       unknown: a duplicate or an implied acknowledgement (R1): read back
 *     success, not the next    (output.provenance=positions) somebody else writes there: stop
 *     refused for content      the whole request fails with the record: its records become suspects
 *     anything else            unknown: fatal, purged, gap refused
 *
 * After the first trouble sink_add answers SINK_BROKEN. What is still acknowledged until sink_free
 * is noted as usual. */
#include "sink.h"

#include "client_conf.h"
#include "failpoint.h"
#include "kafka_client.h"
#include "log.h"
#include "mem.h"
#include "positions.h"
#include "provenance.h"
#include "wait.h"
#include "watchdog.h"

#include <assert.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum {
    DESTROY_MS = 30000,
    PURGE_POLL_MS = 100,
    PURGE_ROUNDS_MAX = 100,
    FATAL_POLL_MS = 10,
    FATAL_ROUNDS_MAX = 20,
    FLUSH_SLICE_MS = 50,
    SUSPECTS_MAX = 100000,
    OWN_HEADER_BYTES = 96, /* its name and text, as most are */
    RECORD_COST = 640,     /* the message that came, the one that goes, its headers: measured */
    COPIED_MAX = 4096,     /* librdkafka copies smaller ones (message.copy.max.bytes) */
};

/* An output topic of this producer. */
struct sink_topic {
    rd_kafka_topic_t *handle;
    char *name;
    size_t *outputs; /* partition → index into the outputs */
    int32_t partitions;
    struct sink *sink;
};

struct sink {
    rd_kafka_t *producer;
    rd_kafka_queue_t *queue;
    int fd;
    struct outputs *outputs;
    struct sink_owner owner;
    struct delivered *delivered;
    struct sink_topic **topics;
    size_t topic_count;
    /* Of the last record of this batch: most go where that went. */
    struct sink_topic *last_topic;
    size_t last_output;
    uint64_t in_flight;
    uint64_t held; /* bytes of what is in flight, with what is kept beside a record */
    uint64_t held_max;
    uint64_t unknown; /* outcomes that no answer tells */
    bool holding;
    bool broken;
    bool by_content; /* the first trouble was a refusal for content */
    struct err trouble;
    struct sink_suspect *suspects;
    size_t suspect_count;
    atomic_bool tainted; /* set by broker threads */
};

/* What a record takes until it is acknowledged. A small one is copied into its request. Headers
 * other than ours are counted one by one. */
static uint64_t cost_of(size_t key_size, size_t value_size, const rd_kafka_headers_t *headers)
{
    uint64_t bytes = key_size + value_size + OWN_HEADER_BYTES;
    const char *name;
    const void *value;
    size_t size;

    for (size_t i = 0;
         headers != NULL && rd_kafka_header_get_all(headers, i, &name, &value, &size) == 0; i++) {
        bytes += strlen(name) + size;
    }
    return RECORD_COST + (bytes <= COPIED_MAX ? 2 * bytes : bytes);
}

/* A record's opaque is its cookie, and in the lowest bit whether it has headers other than ours:
 * for most records that saves looking at them again when they come back. */
static void *opaque_of(const struct sink_record *record)
{
    return (void *)((uintptr_t)record->cookie | (record->foreign_headers ? 1U : 0U));
}

static void *cookie_of(const rd_kafka_message_t *message)
{
    return (void *)((uintptr_t)message->_private & ~(uintptr_t)1);
}

static uint64_t cost_of_sent(const rd_kafka_message_t *message)
{
    rd_kafka_headers_t *headers = NULL;

    if (((uintptr_t)message->_private & 1) != 0) {
        rd_kafka_message_headers(message, &headers);
    }
    return cost_of(message->key_len, message->len, headers);
}

/* What no new producer changes. */
static bool is_forbidden(rd_kafka_resp_err_t code)
{
    return code == RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED ||
           code == RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED;
}

static void sink_break(struct sink *sink, rd_kafka_resp_err_t code, const char *topic,
                       int32_t partition, const char *why)
{
    char fatal_text[256];
    rd_kafka_resp_err_t fatal;

    if (sink->broken) {
        return;
    }
    /* A producer that was never given its id fails its records as purged. */
    fatal = rd_kafka_fatal_error(sink->producer, fatal_text, sizeof(fatal_text));
    if (is_forbidden(fatal)) {
        code = fatal;
        why = fatal_text;
    }
    sink->broken = true;
    sink->by_content = client_err_kind(code) == ERR_CONTENT;
    err_set(&sink->trouble, is_forbidden(code) ? ERR_DECISION : ERR_PRODUCER, (int)code,
            "delivery to '%s'[%d]: %s%s", topic, (int)partition, why, client_err_way_out(code));
}

static void suspect_add(struct sink *sink, const struct sink_origin *origin, size_t output)
{
    for (size_t i = 0; i < sink->suspect_count; i++) {
        struct sink_suspect *suspect = &sink->suspects[i];

        if (suspect->range == origin->range && suspect->output == output) {
            suspect->from = suspect->from < origin->offset ? suspect->from : origin->offset;
            suspect->until = suspect->until > origin->offset ? suspect->until : origin->offset;
            return;
        }
    }
    if (sink->suspect_count == SUSPECTS_MAX) {
        return; /* the rest fails again, and is found then */
    }
    sink->suspects = mem_grow(sink->suspects, sink->suspect_count + 1, sizeof(*sink->suspects));
    sink->suspects[sink->suspect_count++] = (struct sink_suspect){
        .range = origin->range, .output = output, .from = origin->offset, .until = origin->offset};
}

/* The broker's own words (rd_kafka_message_produce_errstr) can't be read: librdkafka 2.8 frees them
 * before its report is served. */
static void note_failure(struct sink *sink, const rd_kafka_message_t *message, size_t output,
                         const struct sink_origin *origin)
{
    if (client_err_kind(message->err) == ERR_CONTENT) {
        suspect_add(sink, origin, output);
    } else {
        sink->unknown++;
    }
    sink_break(sink, message->err, rd_kafka_topic_name(message->rkt), message->partition,
               rd_kafka_err2str(message->err));
}

/* What lies between our records there isn't ours (R7), and what comes next can't be told from
 * it. */
static void note_gap(struct sink *sink, const struct output *place, int64_t offset)
{
    char found[128];

    sink->unknown++;
    if (!sink->broken) {
        sink->broken = true;
        snprintf(found, sizeof(found), "the job's next record came to stand at offset %" PRId64,
                 offset);
        positions_refuse(place->topic, place->partition, place->next, offset, found,
                         &sink->trouble);
    }
}

static void on_delivered(rd_kafka_t *producer, const rd_kafka_message_t *message, void *opaque)
{
    struct sink *sink = opaque;
    struct sink_topic *topic = rd_kafka_topic_opaque(message->rkt);
    void *cookie = cookie_of(message);
    struct sink_origin origin;
    size_t output;

    (void)producer;
    assert(sink->in_flight > 0);
    assert(message->partition >= 0 && message->partition < topic->partitions);
    sink->in_flight--;
    sink->held -= cost_of_sent(message);
    output = topic->outputs[message->partition];
    sink->owner.origin(sink->owner.arg, cookie, &origin);
    if (message->err != RD_KAFKA_RESP_ERR_NO_ERROR) {
        note_failure(sink, message, output, &origin);
    } else if (message->offset < 0) {
        sink->unknown++;
        sink_break(sink, RD_KAFKA_RESP_ERR_NO_ERROR, topic->name, message->partition,
                   "acknowledged without an offset (a duplicate, or implied): read back");
    } else {
        struct output *place = &sink->outputs->items[output];

        if (message->offset < place->next) {
            /* R8: an offset that isn't above the last one means that the log was cut and
             * refilled. */
            sink->unknown++;
            sink_break(sink, RD_KAFKA_RESP_ERR_NO_ERROR, topic->name, message->partition,
                       "acknowledged at an offset that is not above the last one");
        } else if (place->positions && message->offset > place->next) {
            note_gap(sink, place, message->offset);
        } else {
            outputs_delivered(place, message->offset);
            delivered_add(sink->delivered, origin.range, output, origin.offset, origin.index);
        }
    }
    sink->owner.release(sink->owner.arg, cookie);
}

bool sink_new(const struct sink_options *options, struct sink **sink_out, struct err *err)
{
    struct sink *sink = mem_zero(sizeof(*sink));
    struct client_options client = {
        .purpose = options->transactional ? CLIENT_TRANSACTIONS : CLIENT_SINK,
        .batch_bytes_max = options->batch_bytes_max,
        .delivered = on_delivered,
        .opaque = sink,
        .tainted = options->transactional ? &sink->tainted : NULL,
    };

    sink->fd = -1;
    sink->outputs = options->outputs;
    sink->held_max = (uint64_t)client_sink_bytes(options->config);
    if (!client_new(options->config, &client, &sink->producer, err)) {
        sink_free(sink);
        return err_wrap(err, "cannot make the producer");
    }
    sink->fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (sink->fd < 0) {
        sink_free(sink);
        return err_set(err, ERR_FAILED, 0, "cannot make an eventfd");
    }
    sink->queue = rd_kafka_queue_get_main(sink->producer);
    rd_kafka_queue_io_event_enable(sink->queue, sink->fd, &(uint64_t){1}, sizeof(uint64_t));
    *sink_out = sink;
    return true;
}

void sink_purge(struct sink *sink)
{
    rd_kafka_purge(sink->producer, RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT);
    for (unsigned round = 0; sink->in_flight > 0 && round < PURGE_ROUNDS_MAX; round++) {
        rd_kafka_poll(sink->producer, PURGE_POLL_MS);
        rd_kafka_purge(sink->producer, RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT);
    }
}

void sink_free(struct sink *sink)
{
    if (sink == NULL) {
        return;
    }
    if (sink->producer != NULL) {
        watchdog_arm("ending the producer", DESTROY_MS);
        if (sink->in_flight > 0) {
            sink_purge(sink);
        }
        if (sink->queue != NULL) {
            rd_kafka_queue_io_event_enable(sink->queue, -1, NULL, 0);
            rd_kafka_queue_destroy(sink->queue);
        }
        for (size_t i = 0; i < sink->topic_count; i++) {
            rd_kafka_topic_destroy(sink->topics[i]->handle);
        }
        rd_kafka_destroy(sink->producer);
        watchdog_disarm();
    }
    for (size_t i = 0; i < sink->topic_count; i++) {
        free(sink->topics[i]->name);
        free(sink->topics[i]->outputs);
        free(sink->topics[i]);
    }
    free(sink->topics);
    free(sink->suspects);
    if (sink->fd >= 0) {
        close(sink->fd);
    }
    free(sink);
}

void sink_batch(struct sink *sink, struct delivered *delivered, const struct sink_owner *owner)
{
    assert(sink->in_flight == 0);
    sink->delivered = delivered;
    sink->owner = *owner;
    sink->last_topic = NULL;
}

static struct sink_topic *topic_new(struct sink *sink, const char *name)
{
    struct sink_topic *topic = mem_zero(sizeof(*topic));
    rd_kafka_topic_conf_t *conf = rd_kafka_default_topic_conf_dup(sink->producer);

    topic->name = mem_text(name);
    topic->sink = sink;
    rd_kafka_topic_conf_set_opaque(conf, topic);
    topic->handle = rd_kafka_topic_new(sink->producer, name, conf);
    assert(topic->handle != NULL); /* the name was seen in metadata */
    sink->topics = mem_grow(sink->topics, sink->topic_count + 1, sizeof(struct sink_topic *));
    sink->topics[sink->topic_count++] = topic;
    return topic;
}

/* The topic of an output, with its place in the partition table set. */
static struct sink_topic *topic_of(struct sink *sink, size_t output)
{
    const struct output *place = &sink->outputs->items[output];
    struct sink_topic *topic = NULL;

    if (sink->last_topic != NULL && sink->last_output == output) {
        return sink->last_topic;
    }
    if (sink->last_topic != NULL && strcmp(sink->last_topic->name, place->topic) == 0) {
        topic = sink->last_topic;
    }
    for (size_t i = 0; topic == NULL && i < sink->topic_count; i++) {
        if (strcmp(sink->topics[i]->name, place->topic) == 0) {
            topic = sink->topics[i];
        }
    }
    if (topic == NULL) {
        topic = topic_new(sink, place->topic);
    }
    if (place->partition >= topic->partitions) {
        topic->outputs =
            mem_grow(topic->outputs, (size_t)place->partition + 1, sizeof(*topic->outputs));
        for (int32_t p = topic->partitions; p <= place->partition; p++) {
            topic->outputs[p] = SIZE_MAX;
        }
        topic->partitions = place->partition + 1;
    }
    topic->outputs[place->partition] = output;
    sink->last_topic = topic;
    sink->last_output = output;
    return topic;
}

/* Our headers go behind those that the record has. A record that found the queue full comes again
 * with them. */
static void put_headers(struct sink_record *record)
{
    if (record->headers_complete) {
        return;
    }
    record->foreign_headers = record->headers != NULL || record->reason != NULL;
    if (record->provenance != NULL || record->reason != NULL) {
        if (record->headers == NULL) {
            record->headers =
                rd_kafka_headers_new(1); /* a header given as a field makes a list of 8 */
        }
        if (record->reason != NULL) {
            rd_kafka_header_add(record->headers, "oncesink.error", -1, record->reason, -1);
        }
        if (record->provenance != NULL) {
            rd_kafka_header_add(record->headers, PROVENANCE_HEADER, sizeof(PROVENANCE_HEADER) - 1,
                                record->provenance, (ssize_t)record->provenance_size);
        }
    }
    record->headers_complete = true;
}

static enum sink_answer refuse(const struct output *place, const char *why, struct err *err)
{
    err_set(err, ERR_CONTENT, 0, "'%s'[%d] can't take it: %s", place->topic, (int)place->partition,
            why);
    return SINK_REFUSED;
}

/* Hands the record to the producer. */
static rd_kafka_error_t *produce(struct sink *sink, struct sink_record *record)
{
    const struct output *place = &sink->outputs->items[record->output];
    const rd_kafka_vu_t fields[] = {
        {.vtype = RD_KAFKA_VTYPE_RKT, .u.rkt = topic_of(sink, record->output)->handle},
        {.vtype = RD_KAFKA_VTYPE_PARTITION, .u.i32 = place->partition},
        {.vtype = RD_KAFKA_VTYPE_VALUE,
         .u.mem = {.ptr = (void *)(uintptr_t)record->value, .size = record->value_size}},
        {.vtype = RD_KAFKA_VTYPE_KEY,
         .u.mem = {.ptr = (void *)(uintptr_t)record->key, .size = record->key_size}},
        {.vtype = RD_KAFKA_VTYPE_TIMESTAMP, .u.i64 = record->timestamp_ms},
        {.vtype = RD_KAFKA_VTYPE_OPAQUE, .u.ptr = opaque_of(record)},
        {.vtype = RD_KAFKA_VTYPE_HEADERS, .u.headers = record->headers}, /* last */
    };
    size_t count = sizeof(fields) / sizeof(fields[0]);

    return rd_kafka_produceva(sink->producer, fields, record->headers == NULL ? count - 1 : count);
}

/* A refusal makes the producer fatal a moment before its report comes, and only the report says for
 * which records. */
static void look_for_fatal(struct sink *sink)
{
    char why[256];
    rd_kafka_resp_err_t code = rd_kafka_fatal_error(sink->producer, why, sizeof(why));

    for (unsigned round = 0;
         code != 0 && !sink->broken && sink->in_flight > 0 && round < FATAL_ROUNDS_MAX; round++) {
        rd_kafka_poll(sink->producer, FATAL_POLL_MS);
    }
    if (code != 0 && !sink->broken) {
        sink->unknown++;
        sink_break(sink, code, "*", -1, why);
    }
}

enum sink_answer sink_add(struct sink *sink, struct sink_record *record, struct err *err)
{
    const struct output *place = &sink->outputs->items[record->output];
    rd_kafka_error_t *error;
    enum sink_answer answer;
    uint64_t cost;

    if (sink->broken) {
        *err = sink->trouble;
        return SINK_BROKEN;
    }
    assert(place->fenced && sink->delivered != NULL);
    put_headers(record);
    cost = cost_of(record->key_size, record->value_size,
                   record->foreign_headers ? record->headers : NULL);
    if (sink->in_flight > 0 && sink->held + cost > sink->held_max) {
        return SINK_FULL; /* one that is larger than all there is goes alone */
    }
#ifndef ONCESINK_RDKAFKA_TIMESTAMP_ZERO
    if (record->timestamp_ms == 0) {
        return refuse(place, "this build's librdkafka can't send a timestamp of 0", err);
    }
#endif
    error = produce(sink, record);
    if (error == NULL) {
        record->headers = NULL;
        sink->in_flight++;
        sink->held += cost;
        return SINK_TAKEN;
    }
    if (rd_kafka_error_code(error) == RD_KAFKA_RESP_ERR__QUEUE_FULL) {
        answer = SINK_FULL;
    } else if (client_err_kind(rd_kafka_error_code(error)) == ERR_CONTENT) {
        answer = refuse(place, rd_kafka_error_string(error), err);
    } else {
        look_for_fatal(sink); /* what made it so is known better there */
        sink_break(sink, rd_kafka_error_code(error), place->topic, place->partition,
                   rd_kafka_error_string(error));
        *err = sink->trouble;
        answer = SINK_BROKEN;
    }
    rd_kafka_error_destroy(error);
    return answer;
}

void sink_hold(struct sink *sink)
{
    assert(sink->in_flight == 0);
    client_hold(sink->producer, true);
    sink->holding = true;
}

void sink_let_go(struct sink *sink)
{
    if (sink->holding) {
        client_hold(sink->producer, false);
        sink->holding = false;
    }
}

void sink_poll(struct sink *sink, int timeout_ms)
{
    uint64_t ticks;

    /* The descriptor fires when an empty queue fills: clear it before the queue is emptied. */
    if (read(sink->fd, &ticks, sizeof(ticks)) < 0) {
        ticks = 0;
    }
    rd_kafka_poll(sink->producer, timeout_ms);
    look_for_fatal(sink);
}

void sink_flush(struct sink *sink, int timeout_ms)
{
    assert(!sink->holding);
    rd_kafka_flush(sink->producer, timeout_ms);
    sink_poll(sink, 0);
}

uint64_t sink_in_flight(const struct sink *sink)
{
    return sink->in_flight;
}

bool sink_check(const struct sink *sink, struct err *err)
{
    if (sink->broken) {
        *err = sink->trouble;
        return false;
    }
    return true;
}

bool sink_drain(struct sink *sink, const struct patience *patience, struct err *err)
{
    int64_t end = wait_now_ms() + patience->timeout_ms;

    while (sink->in_flight > 0 && !sink->broken) {
        sink_flush(sink, FLUSH_SLICE_MS);
        if (patience->stopped != NULL && patience->stopped(patience->arg)) {
            return err_set(err, ERR_STOPPED, 0, "asked to stop with records on their way");
        }
        if (patience->timeout_ms >= 0 && wait_now_ms() >= end && sink->in_flight > 0) {
            return err_set(err, ERR_TEMPORARY, 0, "no acknowledgement within %lld ms",
                           (long long)patience->timeout_ms);
        }
    }
    return sink_check(sink, err);
}

bool sink_broken_by_content(const struct sink *sink)
{
    return sink->broken && sink->by_content;
}

bool sink_drained(const struct sink *sink)
{
    return sink->in_flight == 0 && sink->unknown == 0;
}

struct sink_suspect *sink_suspects(const struct sink *sink, size_t *count_out)
{
    struct sink_suspect *copy = mem_array(sink->suspect_count, sizeof(*copy));

    if (sink->suspect_count > 0) {
        memcpy(copy, sink->suspects, sink->suspect_count * sizeof(*copy));
    }
    *count_out = sink->suspect_count;
    return copy;
}

int sink_fd(const struct sink *sink)
{
    return sink->fd;
}

bool sink_tainted(const struct sink *sink)
{
    return atomic_load(&sink->tainted) && !failpoint_without("taint");
}

bool sink_fenced(const struct sink *sink)
{
    char why[256];
    rd_kafka_resp_err_t code = rd_kafka_fatal_error(sink->producer, why, sizeof(why));

    return code == RD_KAFKA_RESP_ERR__FENCED || code == RD_KAFKA_RESP_ERR_PRODUCER_FENCED ||
           code == RD_KAFKA_RESP_ERR_INVALID_PRODUCER_EPOCH;
}

rd_kafka_t *sink_producer(const struct sink *sink)
{
    return sink->producer;
}
