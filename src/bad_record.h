/* A record that its output refuses for what it is (rule C1; setting on.bad.record). */
#ifndef BAD_RECORD_H
#define BAD_RECORD_H

#include "err.h"

#include <librdkafka/rdkafka.h>
#include <stddef.h>

struct job;

/* Policy stop: ERR_DECISION that names the record and the reason. Policy set-aside: the record with
 * its bytes, the reason and the fence of its error partition are durable when this returns true;
 * the record is then to be sent to that partition (job->batch.set_aside tells). A broken sink, all
 * of whose answers are known, has been replaced. */
MUST_CHECK bool bad_record_refused(struct job *job, size_t range, rd_kafka_message_t *message,
                                   const char *reason, struct err *err);

#endif
