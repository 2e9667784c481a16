/* Output records known by their places (output.provenance=positions, R7): what lies in an output
 * partition from the fence on is compared with the batch's input, read again. Used by look.c only;
 * main thread. */
#ifndef LOOK_POSITIONS_H
#define LOOK_POSITIONS_H

#include "err.h"

#include <librdkafka/rdkafka.h>
#include <stddef.h>
#include <stdint.h>

struct job;
struct look;
struct look_positions;

/* The input of job->batch is read again with job->source, each range from behind what
 * job->delivered has; the source must not be begun for something else until this is freed. */
MUST_CHECK bool look_positions_new(struct job *job, struct look_positions **positions_out,
                                   struct err *err);
void look_positions_free(struct look_positions *positions); /* accepts NULL */

/* The first record of ours in that output, if one is there, stands at `from`. */
void look_positions_begin(struct look_positions *positions, size_t output, int64_t from);

/* A record of a span that is known by its place: the batch's next one for that output, which is
 * then noted as delivered, or ERR_DECISION naming both. */
MUST_CHECK bool look_positions_found(struct look *look, size_t span,
                                     const rd_kafka_message_t *message, struct err *err);

/* After the spans were read to their ends: every offset up to there held a record of ours, else
 * ERR_DECISION (transaction markers take offsets too). */
MUST_CHECK bool look_positions_whole(const struct look *look, struct err *err);

#endif
