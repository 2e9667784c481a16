/* What the brokers say of topics: partitions and replicas (waited for), topic ids and
 * configurations (asked in the background, held up by nothing: unknown is an answer). Main
 * thread. */
#ifndef TOPIC_FACTS_H
#define TOPIC_FACTS_H

#include "batch.h"
#include "err.h"
#include "patience.h"

#include <librdkafka/rdkafka.h>

enum { TOPIC_MISSING_MS = 30000, TOPIC_ANSWER_MS = 10000 };

struct topic_fact {
    char *topic;                  /* owned */
    int32_t partitions;           /* 0 = doesn't exist (yet) */
    int32_t replicas;             /* the largest number of a partition */
    char topic_id[TOPIC_ID_SIZE]; /* "" = unknown */
    int64_t max_message_bytes;    /* −1 = unknown */
    int64_t retention_ms;         /* −2 = unknown, −1 = for ever */
    bool compacted;
    bool described;                         /* topic id asked and answered */
    bool rights_known, may_read, may_write; /* what the ACLs give the job's user */
    bool configured;                        /* configs asked and answered */
};

struct topic_facts;

/* `topics`: each once, copied. */
struct topic_facts *topic_facts_new(rd_kafka_t *ask, const char *const *topics, size_t count);
void topic_facts_free(struct topic_facts *facts); /* accepts NULL */

/* Partition counts and replicas of every topic, from fresh metadata. Waits for a broker as patience
 * allows. A topic that isn't there has partitions = 0 and is no error here. Not permitted:
 * ERR_DECISION. */
MUST_CHECK bool topic_facts_refresh(struct topic_facts *facts, const struct patience *patience,
                                    struct err *err);

/* Sends the questions for ids and configs (DescribeTopics, DescribeConfigs) again. */
void topic_facts_ask(struct topic_facts *facts);

/* The same for the ids alone. */
void topic_facts_ask_ids(struct topic_facts *facts);

/* Takes the answers that have come, waiting at most timeout_ms for all of them; true when both are
 * there (or given up after TOPIC_ANSWER_MS, or not permitted: logged as a warning once). */
bool topic_facts_step(struct topic_facts *facts, int timeout_ms);

/* NULL when it isn't among them. Borrowed until the next refresh or step. */
const struct topic_fact *topic_facts_find(const struct topic_facts *facts, const char *topic);

#endif
