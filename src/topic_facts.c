/* What the brokers say of topics.
 *
 * Partitions and replicas come from metadata, which every broker and the mock cluster answer. Topic
 * ids and settings come from DescribeTopics and DescribeConfigs, which may be forbidden or
 * unanswered: they are asked in the background on one queue, and what hasn't come by
 * TOPIC_ANSWER_MS stays unknown.
 *
 * A topic handle is held for each topic, so that one metadata question covers them all and the
 * client follows their leaders. */
#include "topic_facts.h"

#include "kafka_client.h"
#include "log.h"
#include "mem.h"
#include "wait.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    METADATA_MS_FIRST =
        WAIT_SLICE_MS,      /* while no broker is there, a call lasts no longer than this */
    METADATA_MS_MAX = 2000, /* a broker that is there but slow gets more time by and by */
    PAUSE_MS = 100,
    UNKNOWN_RETENTION = -2,
};

struct topic_facts {
    rd_kafka_t *ask;
    struct topic_fact *facts;
    rd_kafka_topic_t **handles; /* beside facts */
    size_t count;
    rd_kafka_queue_t *queue; /* answers of the questions below; NULL = none was asked */
    size_t questions;        /* not answered yet */
    int64_t asked_ms;
    bool warned;
};

struct topic_facts *topic_facts_new(rd_kafka_t *ask, const char *const *topics, size_t count)
{
    struct topic_facts *facts = mem_zero(sizeof(*facts));

    facts->ask = ask;
    facts->count = count;
    facts->facts = mem_array(count, sizeof(facts->facts[0]));
    facts->handles = mem_array(count, sizeof(facts->handles[0]));
    for (size_t i = 0; i < count; i++) {
        facts->facts[i].topic = mem_text(topics[i]);
        facts->facts[i].max_message_bytes = -1;
        facts->facts[i].retention_ms = UNKNOWN_RETENTION;
        facts->handles[i] = rd_kafka_topic_new(ask, topics[i], NULL);
    }
    return facts;
}

static void forget_questions(struct topic_facts *facts)
{
    if (facts->queue != NULL) {
        rd_kafka_queue_destroy(facts->queue);
        facts->queue = NULL;
    }
    facts->questions = 0;
}

void topic_facts_free(struct topic_facts *facts)
{
    if (facts == NULL) {
        return;
    }
    forget_questions(facts);
    for (size_t i = 0; i < facts->count; i++) {
        if (facts->handles[i] != NULL) {
            rd_kafka_topic_destroy(facts->handles[i]);
        }
        free(facts->facts[i].topic);
    }
    free(facts->handles);
    free(facts->facts);
    free(facts);
}

static struct topic_fact *find(const struct topic_facts *facts, const char *topic)
{
    for (size_t i = 0; i < facts->count; i++) {
        if (topic != NULL && strcmp(facts->facts[i].topic, topic) == 0) {
            return &facts->facts[i];
        }
    }
    return NULL;
}

const struct topic_fact *topic_facts_find(const struct topic_facts *facts, const char *topic)
{
    return find(facts, topic);
}

/* ── partitions and replicas ─────────────────────────────────────────────────────────────────── */

static bool take_topic(struct topic_fact *fact, const struct rd_kafka_metadata_topic *topic,
                       struct err *err)
{
    enum err_kind kind = client_err_kind(topic->err);

    if (kind == ERR_DECISION || kind == ERR_SETTINGS) {
        return err_set(err, kind, (int)topic->err, "topic '%s': %s%s", topic->topic,
                       rd_kafka_err2str(topic->err), client_err_way_out(topic->err));
    }
    if (topic->err == RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART) {
        fact->partitions = 0;
        return true;
    }
    if (topic->err != RD_KAFKA_RESP_ERR_NO_ERROR && topic->partition_cnt == 0) {
        return err_set(err, ERR_TEMPORARY, (int)topic->err, "topic '%s': %s", topic->topic,
                       rd_kafka_err2str(topic->err));
    }
    fact->partitions = topic->partition_cnt;
    fact->replicas = 0;
    for (int i = 0; i < topic->partition_cnt; i++) {
        if (topic->partitions[i].replica_cnt > fact->replicas) {
            fact->replicas = topic->partitions[i].replica_cnt;
        }
    }
    return true;
}

static bool take_metadata(struct topic_facts *facts, const struct rd_kafka_metadata *metadata,
                          struct err *err)
{
    size_t seen = 0;

    for (int i = 0; i < metadata->topic_cnt; i++) {
        struct topic_fact *fact = find(facts, metadata->topics[i].topic);

        if (fact == NULL) {
            continue;
        }
        seen++;
        if (!take_topic(fact, &metadata->topics[i], err)) {
            return false;
        }
    }
    if (seen < facts->count) {
        return err_set(err, ERR_TEMPORARY, 0, "metadata of %zu of %zu topics came", seen,
                       facts->count);
    }
    return true;
}

static bool ask_metadata(struct topic_facts *facts, int timeout_ms, struct err *err)
{
    const struct rd_kafka_metadata *metadata = NULL;
    rd_kafka_resp_err_t code = rd_kafka_metadata(facts->ask, 0, NULL, &metadata, timeout_ms);
    bool fine;

    rd_kafka_poll(facts->ask, 0); /* error events */
    if (code != RD_KAFKA_RESP_ERR_NO_ERROR) {
        char latest[512];

        client_last_trouble(latest, sizeof(latest)); /* says more than "transport failure" */
        return err_set(err, client_err_kind(code), (int)code, "asking for topics: %s",
                       latest[0] != '\0' ? latest : rd_kafka_err2str(code));
    }
    client_served();
    fine = take_metadata(facts, metadata, err);
    rd_kafka_metadata_destroy(metadata);
    return fine;
}

bool topic_facts_refresh(struct topic_facts *facts, const struct patience *patience,
                         struct err *err)
{
    struct err trouble = {.kind = ERR_NONE};
    int timeout_ms = METADATA_MS_FIRST;
    struct wait wait;

    if (facts->count == 0) {
        return true;
    }
    wait_init(&wait, patience);
    while (!ask_metadata(facts, timeout_ms, &trouble)) {
        if (trouble.kind == ERR_TEMPORARY && trouble.cause == RD_KAFKA_RESP_ERR__TIMED_OUT) {
            timeout_ms = timeout_ms * 2 < METADATA_MS_MAX ? timeout_ms * 2 : METADATA_MS_MAX;
        }
        if (trouble.kind != ERR_TEMPORARY || !client_check_login(&trouble) ||
            !wait_pause(&wait, PAUSE_MS, &trouble)) {
            *err = trouble;
            return false;
        }
    }
    wait_over(&wait, "asking for topics");
    return true;
}

/* ── ids and settings ────────────────────────────────────────────────────────────────────────── */

static rd_kafka_AdminOptions_t *new_options(rd_kafka_t *ask, rd_kafka_admin_op_t question)
{
    rd_kafka_AdminOptions_t *options = rd_kafka_AdminOptions_new(ask, question);
    char text[256];

    rd_kafka_AdminOptions_set_request_timeout(options, TOPIC_ANSWER_MS, text, sizeof(text));
    return options;
}

static void ask_ids(struct topic_facts *facts)
{
    rd_kafka_AdminOptions_t *options = new_options(facts->ask, RD_KAFKA_ADMIN_OP_DESCRIBETOPICS);
    const char **names = mem_array(facts->count, sizeof(names[0]));
    rd_kafka_TopicCollection_t *topics;
    rd_kafka_error_t *error = rd_kafka_AdminOptions_set_include_authorized_operations(options, 1);

    rd_kafka_error_destroy(error); /* NULL: the option fits this question */
    for (size_t i = 0; i < facts->count; i++) {
        names[i] = facts->facts[i].topic;
    }
    topics = rd_kafka_TopicCollection_of_topic_names(names, facts->count);
    rd_kafka_DescribeTopics(facts->ask, topics, options, facts->queue);
    rd_kafka_TopicCollection_destroy(topics);
    rd_kafka_AdminOptions_destroy(options);
    free(names);
}

static void ask_configs(struct topic_facts *facts)
{
    rd_kafka_AdminOptions_t *options = new_options(facts->ask, RD_KAFKA_ADMIN_OP_DESCRIBECONFIGS);
    rd_kafka_ConfigResource_t **resources = mem_array(facts->count, sizeof(resources[0]));

    for (size_t i = 0; i < facts->count; i++) {
        resources[i] = rd_kafka_ConfigResource_new(RD_KAFKA_RESOURCE_TOPIC, facts->facts[i].topic);
    }
    rd_kafka_DescribeConfigs(facts->ask, resources, facts->count, options, facts->queue);
    rd_kafka_ConfigResource_destroy_array(resources, facts->count);
    rd_kafka_AdminOptions_destroy(options);
    free(resources);
}

static bool begin(struct topic_facts *facts, size_t questions)
{
    forget_questions(facts);
    if (facts->count == 0) {
        return false;
    }
    facts->queue = rd_kafka_queue_new(facts->ask);
    facts->asked_ms = wait_now_ms();
    facts->questions = questions;
    return true;
}

void topic_facts_ask(struct topic_facts *facts)
{
    if (begin(facts, 2)) {
        ask_ids(facts);
        ask_configs(facts);
    }
}

void topic_facts_ask_ids(struct topic_facts *facts)
{
    if (begin(facts, 1)) {
        ask_ids(facts);
    }
}

static void warn(struct topic_facts *facts, const char *what, const char *why)
{
    if (!facts->warned) {
        facts->warned = true;
        log_warning("%s can't be asked: %s; a topic made anew, compaction and short retention go "
                    "unnoticed",
                    what, why);
    }
}

static void take_id(struct topic_fact *fact, const rd_kafka_TopicDescription_t *description)
{
    const rd_kafka_Uuid_t *id = rd_kafka_TopicDescription_topic_id(description);
    const char *text = id != NULL ? rd_kafka_Uuid_base64str(id) : NULL;

    if (text != NULL) {
        snprintf(fact->topic_id, sizeof(fact->topic_id), "%s", text);
    }
    fact->described = true;
}

/* An authorizer that lets a topic be described but tells nothing of it isn't asked further. */
static void take_rights(struct topic_fact *fact, const rd_kafka_TopicDescription_t *description)
{
    size_t count = 0;
    const rd_kafka_AclOperation_t *allowed =
        rd_kafka_TopicDescription_authorized_operations(description, &count);

    fact->rights_known = allowed != NULL && count > 0;
    fact->may_read = fact->may_write = false;
    for (size_t i = 0; fact->rights_known && i < count; i++) {
        bool all = allowed[i] == RD_KAFKA_ACL_OPERATION_ALL;

        fact->may_read |= all || allowed[i] == RD_KAFKA_ACL_OPERATION_READ;
        fact->may_write |= all || allowed[i] == RD_KAFKA_ACL_OPERATION_WRITE;
    }
}

static void take_ids(struct topic_facts *facts, const rd_kafka_DescribeTopics_result_t *result)
{
    size_t count = 0;
    const rd_kafka_TopicDescription_t **topics =
        rd_kafka_DescribeTopics_result_topics(result, &count);

    for (size_t i = 0; i < count; i++) {
        const rd_kafka_error_t *error = rd_kafka_TopicDescription_error(topics[i]);
        struct topic_fact *fact = find(facts, rd_kafka_TopicDescription_name(topics[i]));

        if (fact == NULL) {
            continue;
        }
        if (error == NULL || rd_kafka_error_code(error) == RD_KAFKA_RESP_ERR_NO_ERROR) {
            take_id(fact, topics[i]);
            take_rights(fact, topics[i]);
        } else if (rd_kafka_error_code(error) != RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART) {
            warn(facts, "the topics' ids", rd_kafka_error_string(error));
        }
    }
}

static void take_config(struct topic_fact *fact, const char *name, const char *value)
{
    if (value == NULL) {
        return;
    }
    if (strcmp(name, "max.message.bytes") == 0) {
        fact->max_message_bytes = strtoll(value, NULL, 10);
    } else if (strcmp(name, "retention.ms") == 0) {
        fact->retention_ms = strtoll(value, NULL, 10);
    } else if (strcmp(name, "cleanup.policy") == 0) {
        fact->compacted = strstr(value, "compact") != NULL;
    }
}

static void take_configs(struct topic_facts *facts, const rd_kafka_DescribeConfigs_result_t *result)
{
    size_t count = 0;
    const rd_kafka_ConfigResource_t **resources =
        rd_kafka_DescribeConfigs_result_resources(result, &count);

    for (size_t i = 0; i < count; i++) {
        rd_kafka_resp_err_t code = rd_kafka_ConfigResource_error(resources[i]);
        struct topic_fact *fact = find(facts, rd_kafka_ConfigResource_name(resources[i]));
        size_t entry_count = 0;
        const rd_kafka_ConfigEntry_t **entries =
            rd_kafka_ConfigResource_configs(resources[i], &entry_count);

        if (fact == NULL) {
            continue;
        }
        if (code == RD_KAFKA_RESP_ERR_NO_ERROR) {
            for (size_t j = 0; j < entry_count; j++) {
                take_config(fact, rd_kafka_ConfigEntry_name(entries[j]),
                            rd_kafka_ConfigEntry_value(entries[j]));
            }
            fact->configured = true;
        } else if (code != RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART) {
            warn(facts, "the topics' settings (ACL DescribeConfigs)", rd_kafka_err2str(code));
        }
    }
}

static void take_event(struct topic_facts *facts, rd_kafka_event_t *event)
{
    const rd_kafka_DescribeTopics_result_t *ids = rd_kafka_event_DescribeTopics_result(event);
    const rd_kafka_DescribeConfigs_result_t *configs = rd_kafka_event_DescribeConfigs_result(event);

    if (facts->questions > 0) {
        facts->questions--;
    }
    if (rd_kafka_event_error(event) != RD_KAFKA_RESP_ERR_NO_ERROR) {
        warn(facts, "the topics' ids or settings", rd_kafka_event_error_string(event));
    } else if (ids != NULL) {
        take_ids(facts, ids);
    } else if (configs != NULL) {
        take_configs(facts, configs);
    }
}

bool topic_facts_step(struct topic_facts *facts, int timeout_ms)
{
    int64_t until_ms = wait_now_ms() + timeout_ms;

    while (facts->questions > 0) {
        int64_t left_ms = until_ms - wait_now_ms();
        rd_kafka_event_t *event = rd_kafka_queue_poll(facts->queue, left_ms > 0 ? (int)left_ms : 0);

        if (event != NULL) {
            take_event(facts, event);
            rd_kafka_event_destroy(event);
        } else if (wait_now_ms() - facts->asked_ms >= TOPIC_ANSWER_MS) {
            warn(facts, "the topics' ids or settings", "no answer in time");
            forget_questions(facts);
        } else {
            return false;
        }
    }
    forget_questions(facts);
    return true;
}
