/* The brokers as oncesink-recover's commands ask them: the service's settings file, one asking
 * client, and what is known of the topics. Waits a bounded time (ERR_TEMPORARY, exit 75). */
#ifndef TOOLS_BROKER_H
#define TOOLS_BROKER_H

#include "config.h"
#include "definition.h"
#include "err.h"
#include "patience.h"
#include "provenance.h"
#include "topic_facts.h"

#include <librdkafka/rdkafka.h>

struct broker {
    struct config *config;
    rd_kafka_t *ask;
    struct topic_facts *facts;
    struct patience patience;
    char job[PROVENANCE_JOB_SIZE]; /* of job.name, as it stands in headers */
};

/* Reads the settings and makes the client; asks nothing yet. broker_close accepts a zero struct. */
MUST_CHECK bool broker_open(const char *settings_path, struct broker *broker, struct err *err);
void broker_close(struct broker *broker);

/* Opens the job's ledger with its lock: while the service runs that is ERR_LOCKED, naming it. */
struct ledger;
MUST_CHECK bool broker_open_ledger(const struct broker *broker, const char *path,
                                   struct ledger **ledger_out, struct err *err);

/* Partitions, ids and replicas of the job's topics of today, error topics included, and of those of
 * `also` (NULL = none). A topic that isn't there has no partitions. */
MUST_CHECK bool broker_ask(struct broker *broker, const struct definition *also, struct err *err);

/* 0 when it isn't there. */
int32_t broker_partitions(const struct broker *broker, const char *topic);

/* How long a request of a process that has just died may still take effect (R3). */
int64_t broker_settle_ms(const struct broker *broker);

/* The first offsets, or the ends (`committed`: of what is committed), of all of `items`. */
struct ends_item;
MUST_CHECK bool broker_starts(struct broker *broker, struct ends_item *items, size_t count,
                              struct err *err);
MUST_CHECK bool broker_ends(struct broker *broker, bool committed, struct ends_item *items,
                            size_t count, struct err *err);

/* Commits the offsets of the job's group, each with the text. */
struct mark_item;
MUST_CHECK bool broker_write_marks(struct broker *broker, const struct mark_item *items,
                                   size_t count, const char *text, struct err *err);

int64_t broker_wall_ms(void);

#endif
