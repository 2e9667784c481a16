/* What the brokers say of their own settings, as far as the job depends on them: how long a group
 * keeps its offsets, and what transactions need. Asked in the background, held up by nothing:
 * unknown is an answer. Main thread. */
#ifndef BROKER_FACTS_H
#define BROKER_FACTS_H

#include "batch.h"

#include <librdkafka/rdkafka.h>

enum {
    BROKER_ANSWER_MS = 10000,   /* what isn't answered by then is unknown */
    BROKER_ASK_MS = 3600000,    /* how often it is asked again */
    BROKER_RETRY_MS = 60000,    /* and how soon while it is unknown */
    MARK_AGE_MS_MAX = 3600000,  /* T4: an idle job's mark is written again after this long, or */
    MARK_AGES_IN_RETENTION = 4, /* so many times before the group forgets it */
};

struct broker_facts;

/* `delivery`: in transactional mode a warning says what is missing there, once. */
struct broker_facts *broker_facts_new(rd_kafka_t *ask, enum delivery delivery);
void broker_facts_free(struct broker_facts *facts); /* accepts NULL */

/* Asks when it is due and takes the answer that has come. Never waits; call it often. */
void broker_facts_step(struct broker_facts *facts);

/* How old a group's mark may become (T4): MARK_AGE_MS_MAX, or less by offsets.retention.minutes. */
int64_t broker_facts_mark_age_ms(const struct broker_facts *facts);

#endif
