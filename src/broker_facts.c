/* One broker's settings, by DescribeConfigs. Which broker is asked doesn't matter: these settings
 * are the cluster's, and the one that the client calls the controller is one that is there.
 *
 *     due ─(a broker is known)→ asked ─answer→ known, due again in an hour
 *                                 └ refused, or no answer in time → due again in a minute
 *
 * In idempotent mode an unknown retention does no harm: marks are renewed every hour then, and
 * brokers keep offsets for 7 days unless told otherwise. In transactional mode the broker's
 * verification is an assumption of the protocol (tests/model: transactional -DNOVERIFY), so what
 * isn't known of it is worth a warning. */
#include "broker_facts.h"

#include "log.h"
#include "mem.h"
#include "wait.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    NO_BROKER_MS = 1000, /* how soon to look again for a broker to ask */
    LATE_MS = 1000,      /* the client's own time-out comes before ours */
    MINUTE_MS = 60000,
};

enum verification { VERIFICATION_UNKNOWN, VERIFICATION_OFF, VERIFICATION_ON };

struct broker_facts {
    rd_kafka_t *ask;
    enum delivery delivery;
    rd_kafka_queue_t *queue; /* of the question under way; NULL = none */
    int64_t asked_ms;
    int64_t due_ms;
    int64_t offsets_retention_ms; /* −1 = unknown */
    enum verification verification;
    bool warned;
};

struct broker_facts *broker_facts_new(rd_kafka_t *ask, enum delivery delivery)
{
    struct broker_facts *facts = mem_zero(sizeof(*facts));

    facts->ask = ask;
    facts->delivery = delivery;
    facts->offsets_retention_ms = -1;
    return facts;
}

static void forget_question(struct broker_facts *facts)
{
    if (facts->queue != NULL) {
        rd_kafka_queue_destroy(facts->queue);
        facts->queue = NULL;
    }
}

void broker_facts_free(struct broker_facts *facts)
{
    if (facts != NULL) {
        forget_question(facts);
        free(facts);
    }
}

static void ask(struct broker_facts *facts, int32_t broker)
{
    rd_kafka_AdminOptions_t *options =
        rd_kafka_AdminOptions_new(facts->ask, RD_KAFKA_ADMIN_OP_DESCRIBECONFIGS);
    rd_kafka_ConfigResource_t *resource;
    char text[256];
    char name[16];

    snprintf(name, sizeof(name), "%d", (int)broker);
    resource = rd_kafka_ConfigResource_new(RD_KAFKA_RESOURCE_BROKER, name);
    rd_kafka_AdminOptions_set_request_timeout(options, BROKER_ANSWER_MS, text, sizeof(text));
    facts->queue = rd_kafka_queue_new(facts->ask);
    facts->asked_ms = wait_now_ms();
    rd_kafka_DescribeConfigs(facts->ask, &resource, 1, options, facts->queue);
    rd_kafka_ConfigResource_destroy(resource);
    rd_kafka_AdminOptions_destroy(options);
}

static void warn(struct broker_facts *facts, const char *why)
{
    if (facts->delivery == DELIVERY_TRANSACTIONAL && !facts->warned) {
        facts->warned = true;
        log_warning("delivery.mode=transactional relies on brokers that verify transactions: %s; "
                    "where they don't, a request that the network holds back may be written after "
                    "its transaction has ended, and records be lost or doubled (Kafka 4 verifies "
                    "unless transaction.partition.verification.enable is set to false)",
                    why);
    }
}

static void unknown(struct broker_facts *facts, const char *why)
{
    char text[256];

    facts->due_ms = wait_now_ms() + BROKER_RETRY_MS;
    log_debug("the brokers' settings can't be asked: %s", why);
    snprintf(text, sizeof(text),
             "whether these do can't be asked (DescribeConfigs of a broker: %s)", why);
    warn(facts, text);
}

static void take_entry(struct broker_facts *facts, const char *name, const char *value)
{
    if (value == NULL) {
        return;
    }
    if (strcmp(name, "offsets.retention.minutes") == 0) {
        facts->offsets_retention_ms = strtoll(value, NULL, 10) * MINUTE_MS;
    } else if (strcmp(name, "transaction.partition.verification.enable") == 0) {
        facts->verification = strcmp(value, "true") == 0 ? VERIFICATION_ON : VERIFICATION_OFF;
    }
}

static void take_entries(struct broker_facts *facts, const rd_kafka_ConfigResource_t *resource)
{
    size_t count = 0;
    const rd_kafka_ConfigEntry_t **entries = rd_kafka_ConfigResource_configs(resource, &count);

    facts->verification = VERIFICATION_UNKNOWN;
    for (size_t i = 0; i < count; i++) {
        take_entry(facts, rd_kafka_ConfigEntry_name(entries[i]),
                   rd_kafka_ConfigEntry_value(entries[i]));
    }
    facts->due_ms = wait_now_ms() + BROKER_ASK_MS;
    if (facts->verification == VERIFICATION_OFF) {
        warn(facts, "these are told not to");
    } else if (facts->verification == VERIFICATION_UNKNOWN) {
        warn(facts, "these have no setting of that kind (Kafka before 3.6)");
    }
}

static void take_event(struct broker_facts *facts, rd_kafka_event_t *event)
{
    const rd_kafka_DescribeConfigs_result_t *result = rd_kafka_event_DescribeConfigs_result(event);
    const rd_kafka_ConfigResource_t **resources = NULL;
    size_t count = 0;

    if (rd_kafka_event_error(event) != RD_KAFKA_RESP_ERR_NO_ERROR) {
        unknown(facts, rd_kafka_event_error_string(event));
        return;
    }
    if (result != NULL) {
        resources = rd_kafka_DescribeConfigs_result_resources(result, &count);
    }
    if (count != 1) {
        unknown(facts, "an odd answer");
    } else if (rd_kafka_ConfigResource_error(resources[0]) != RD_KAFKA_RESP_ERR_NO_ERROR) {
        unknown(facts, rd_kafka_err2str(rd_kafka_ConfigResource_error(resources[0])));
    } else {
        take_entries(facts, resources[0]);
    }
}

static void take_answer(struct broker_facts *facts)
{
    rd_kafka_event_t *event = rd_kafka_queue_poll(facts->queue, 0);

    if (event != NULL) {
        take_event(facts, event);
        rd_kafka_event_destroy(event);
        forget_question(facts);
    } else if (wait_now_ms() - facts->asked_ms >= BROKER_ANSWER_MS + LATE_MS) {
        unknown(facts, "no answer in time");
        forget_question(facts);
    }
}

void broker_facts_step(struct broker_facts *facts)
{
    int32_t broker;

    if (facts->queue != NULL) {
        take_answer(facts);
        return;
    }
    if (wait_now_ms() < facts->due_ms) {
        return;
    }
    broker = rd_kafka_controllerid(facts->ask, 0);
    if (broker < 0) {
        facts->due_ms = wait_now_ms() + NO_BROKER_MS;
        return;
    }
    ask(facts, broker);
}

int64_t broker_facts_mark_age_ms(const struct broker_facts *facts)
{
    int64_t age_ms = facts->offsets_retention_ms / MARK_AGES_IN_RETENTION;

    return facts->offsets_retention_ms > 0 && age_ms < MARK_AGE_MS_MAX ? age_ms : MARK_AGE_MS_MAX;
}
