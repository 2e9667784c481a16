/* The built-in pipeline: a record goes on unchanged, key, value, headers and timestamp, with our
 * header put last. A header of another Oncesink job is replaced by ours. Without our header
 * (output.provenance=positions, none) the record goes on as it is, another job's header with it;
 * only what goes to an error topic always gets ours. Pure but for librdkafka's message calls; main
 * thread. */
#ifndef RELAY_H
#define RELAY_H

#include "batch.h"
#include "outputs.h"
#include "provenance.h"
#include "sink.h"

#include <librdkafka/rdkafka.h>

struct relay;

/* For one batch. `batch` and `outputs` are borrowed; every output partition that the batch can
 * reach must be in `outputs` (a topic's partitions together). job: 8 hex digits. */
struct relay *relay_new(const struct batch *batch, const struct outputs *outputs, const char *job,
                        const char *uuid, const char *incarnation);
void relay_free(struct relay *relay); /* accepts NULL */

/* The outputs that records of a range can go to: outputs[first … first + count). */
void relay_reach(const struct relay *relay, size_t range, size_t *first_out, size_t *count_out);

/* Where the record goes. */
size_t relay_output(const struct relay *relay, size_t range, const rd_kafka_message_t *message);

/* Makes the record to send; output: relay_output's, or an error partition. The message is its
 * cookie and holds its bytes; its headers are taken out of it. `text` (PROVENANCE_TEXT_SIZE) holds
 * our header until the record is taken by the sink. */
void relay_record(const struct relay *relay, size_t range, size_t output,
                  rd_kafka_message_t *message, char *text, struct sink_record *record_out);

/* Which range and offset a message handed to the sink is. */
void relay_origin(struct relay *relay, const rd_kafka_message_t *message,
                  struct sink_origin *origin_out);

/* A consumer ends: what a topic's handle of it stood for may become another's. */
void relay_forget_topics(struct relay *relay);

/* The provenance of a record read back, from its last header; false when it has none. */
bool relay_provenance(const rd_kafka_message_t *message, struct provenance *provenance_out);

#endif
