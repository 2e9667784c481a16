/* The built-in pipeline: record in, record out.
 *
 * What is the same for all records of a range is made once a batch: its outputs and the beginning
 * of its header. An acknowledged record finds its range by its input topic and partition: a table
 * per topic, and the topic by its handle, which is the same for all messages of a consumer (there
 * may be more than one, each with handles of its own). */
#include "relay.h"

#include "mem.h"
#include "route.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

struct relay_range {
    size_t first, count; /* outputs */
    struct provenance_prefix prefix;
};

struct relay_topic {
    const char *name;
    const rd_kafka_topic_t *handle; /* as last seen */
    size_t *ranges;                 /* partition → range */
    int32_t partitions;
};

struct relay {
    const struct batch *batch;
    struct relay_range *ranges;
    struct relay_topic *topics; /* the definition's inputs */
    size_t last_topic;
};

static size_t first_output(const struct outputs *outputs, const char *topic)
{
    int64_t first = outputs_find(outputs, topic, 0);

    assert(first >= 0);
    return (size_t)first;
}

static void range_init(struct relay *relay, const struct outputs *outputs, size_t index,
                       struct provenance *provenance)
{
    const struct range *range = &relay->batch->ranges[index];
    const struct definition *definition = &relay->batch->definition;
    const struct definition_input *input = &definition->inputs[range->input];
    const struct definition_output *output = &definition->outputs[input->output];
    struct relay_range *made = &relay->ranges[index];
    size_t first = first_output(outputs, output->topic);

    if (definition->partitioner == PARTITIONER_SAME) {
        made->first = first + (size_t)(range->partition % output->partitions);
        made->count = 1;
    } else {
        made->first = first;
        made->count = (size_t)output->partitions;
    }
    strncpy(provenance->topic, input->topic, sizeof(provenance->topic) - 1);
    provenance->partition = range->partition;
    provenance_prefix(provenance, &made->prefix);
}

static void topic_note(struct relay_topic *topic, int32_t partition, size_t range)
{
    if (partition >= topic->partitions) {
        topic->ranges = mem_grow(topic->ranges, (size_t)partition + 1, sizeof(*topic->ranges));
        for (int32_t p = topic->partitions; p <= partition; p++) {
            topic->ranges[p] = SIZE_MAX;
        }
        topic->partitions = partition + 1;
    }
    topic->ranges[partition] = range;
}

struct relay *relay_new(const struct batch *batch, const struct outputs *outputs, const char *job,
                        const char *uuid, const char *incarnation)
{
    struct relay *relay = mem_zero(sizeof(*relay));
    struct provenance provenance = {.batch = batch->number};

    memcpy(provenance.job, job, PROVENANCE_JOB_SIZE);
    memcpy(provenance.ledger, uuid, PROVENANCE_LEDGER_SIZE - 1);
    memcpy(provenance.incarnation, incarnation, INCARNATION_SIZE);
    relay->batch = batch;
    relay->ranges = mem_array(batch->range_count, sizeof(*relay->ranges));
    relay->topics = mem_array(batch->definition.input_count, sizeof(*relay->topics));
    for (size_t i = 0; i < batch->definition.input_count; i++) {
        relay->topics[i].name = batch->definition.inputs[i].topic;
    }
    for (size_t i = 0; i < batch->range_count; i++) {
        memset(provenance.topic, 0, sizeof(provenance.topic));
        range_init(relay, outputs, i, &provenance);
        topic_note(&relay->topics[batch->ranges[i].input], batch->ranges[i].partition, i);
    }
    return relay;
}

void relay_free(struct relay *relay)
{
    if (relay == NULL) {
        return;
    }
    for (size_t i = 0; i < relay->batch->definition.input_count; i++) {
        free(relay->topics[i].ranges);
    }
    free(relay->topics);
    free(relay->ranges);
    free(relay);
}

void relay_reach(const struct relay *relay, size_t range, size_t *first_out, size_t *count_out)
{
    *first_out = relay->ranges[range].first;
    *count_out = relay->ranges[range].count;
}

size_t relay_output(const struct relay *relay, size_t range, const rd_kafka_message_t *message)
{
    const struct relay_range *known = &relay->ranges[range];

    if (known->count == 1) {
        return known->first;
    }
    return known->first + (size_t)route_partition(relay->batch->definition.partitioner,
                                                  message->partition, message->key,
                                                  message->key_len, (int32_t)known->count);
}

/* Takes the headers out of the message; with `ours` to come, without those of another Oncesink job.
 * What has that name but isn't a provenance text is the user's and stays. */
static rd_kafka_headers_t *take_headers(rd_kafka_message_t *message, bool ours)
{
    rd_kafka_headers_t *headers = NULL;
    rd_kafka_headers_t *kept;
    const char *name;
    const void *value;
    size_t size;
    struct provenance provenance;

    if (rd_kafka_message_detach_headers(message, &headers) != RD_KAFKA_RESP_ERR_NO_ERROR ||
        headers == NULL) {
        return NULL;
    }
    if (!ours || rd_kafka_header_get_last(headers, PROVENANCE_HEADER, &value, &size) !=
                     RD_KAFKA_RESP_ERR_NO_ERROR) {
        return headers;
    }
    kept = rd_kafka_headers_new(rd_kafka_header_cnt(headers) + 2);
    for (size_t i = 0;
         rd_kafka_header_get_all(headers, i, &name, &value, &size) == RD_KAFKA_RESP_ERR_NO_ERROR;
         i++) {
        if (strcmp(name, PROVENANCE_HEADER) != 0 || value == NULL ||
            !provenance_read(value, size, &provenance)) {
            rd_kafka_header_add(kept, name, -1, value, value == NULL ? 0 : (ssize_t)size);
        }
    }
    rd_kafka_headers_destroy(headers);
    return kept;
}

void relay_record(const struct relay *relay, size_t range, size_t output,
                  rd_kafka_message_t *message, char *text, struct sink_record *record_out)
{
    const struct relay_range *from = &relay->ranges[range];
    bool ours = relay->batch->definition.provenance == PROVENANCE_HEADERS || output < from->first ||
                output >= from->first + from->count; /* an error partition */
    rd_kafka_timestamp_type_t type;

    *record_out = (struct sink_record){
        .output = output,
        .key = message->key,
        .key_size = message->key_len,
        .value = message->payload,
        .value_size = message->len,
        .timestamp_ms = rd_kafka_message_timestamp(message, &type),
        .headers = take_headers(message, ours),
        .cookie = message,
    };
    if (ours) {
        record_out->provenance = text;
        record_out->provenance_size = provenance_write(&from->prefix, message->offset, 0, text);
    }
}

static const struct relay_topic *topic_of(struct relay *relay, const rd_kafka_message_t *message)
{
    struct relay_topic *topic = &relay->topics[relay->last_topic];

    if (topic->handle == message->rkt) {
        return topic;
    }
    for (size_t i = 0; i < relay->batch->definition.input_count; i++) {
        topic = &relay->topics[i];
        if (topic->handle == message->rkt ||
            strcmp(topic->name, rd_kafka_topic_name(message->rkt)) == 0) {
            topic->handle = message->rkt;
            relay->last_topic = i;
            return topic;
        }
    }
    assert(false && "a message of a topic that isn't read");
    return NULL;
}

void relay_origin(struct relay *relay, const rd_kafka_message_t *message,
                  struct sink_origin *origin_out)
{
    const struct relay_topic *topic = topic_of(relay, message);

    assert(message->partition < topic->partitions);
    assert(topic->ranges[message->partition] != SIZE_MAX);
    *origin_out = (struct sink_origin){
        .range = topic->ranges[message->partition], .offset = message->offset, .index = 0};
}

void relay_forget_topics(struct relay *relay)
{
    for (size_t i = 0; i < relay->batch->definition.input_count; i++) {
        relay->topics[i].handle = NULL;
    }
}

bool relay_provenance(const rd_kafka_message_t *message, struct provenance *provenance_out)
{
    rd_kafka_headers_t *headers;
    const void *value;
    size_t size;

    if (rd_kafka_message_headers(message, &headers) != RD_KAFKA_RESP_ERR_NO_ERROR ||
        rd_kafka_header_get_last(headers, PROVENANCE_HEADER, &value, &size) !=
            RD_KAFKA_RESP_ERR_NO_ERROR ||
        value == NULL) {
        return false;
    }
    return provenance_read(value, size, provenance_out);
}
