/* The brokers, asked by oncesink-recover. */
#include "broker.h"

#include "client_end.h"
#include "kafka_client.h"
#include "ledger.h"
#include "log.h"
#include "mark.h"
#include "mem.h"
#include "source_ends.h"
#include "wait.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
    PATIENCE_MS = 60000,
    ANSWER_MS = 10000,
    SETTLE_MS = 1000,
    SETTLE_REPLICATED_MS = 3000,
};

int64_t broker_wall_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

bool broker_open(const char *settings_path, struct broker *broker, struct err *err)
{
    const struct client_options ask = {.purpose = CLIENT_ASK};

    *broker = (struct broker){.config = config_new(), .patience = {.timeout_ms = PATIENCE_MS}};
    log_set_level(LOG_ERROR); /* what becomes of it is the command's answer */
    if (!config_read_file(broker->config, settings_path, err) ||
        !config_finish(broker->config, broker_wall_ms(), err) ||
        !client_new(broker->config, &ask, &broker->ask, err)) {
        broker_close(broker);
        return false;
    }
    provenance_job(broker->config->job_name, broker->job);
    return true;
}

void broker_close(struct broker *broker)
{
    topic_facts_free(broker->facts);
    client_free(broker->ask, "the asking client");
    client_end_wait();
    config_free(broker->config);
    *broker = (struct broker){0};
}

bool broker_open_ledger(const struct broker *broker, const char *path, struct ledger **ledger_out,
                        struct err *err)
{
    const struct ledger_options options = {.path = path, .job = broker->config->job_name};

    return ledger_open(&options, ledger_out, err);
}

struct names {
    char **items;
    size_t count;
};

static void add_name(struct names *names, char *name)
{
    for (size_t i = 0; i < names->count; i++) {
        if (strcmp(names->items[i], name) == 0) {
            free(name);
            return;
        }
    }
    names->items = mem_grow(names->items, names->count + 1, sizeof(*names->items));
    names->items[names->count++] = name;
}

bool broker_ask(struct broker *broker, const struct definition *also, struct err *err)
{
    const struct config *config = broker->config;
    struct names names = {0};
    bool ok;

    for (size_t i = 0; i < config->input_topics.count; i++) {
        const char *topic = config->input_topics.items[i];

        add_name(&names, mem_text(topic));
        add_name(&names, config_topic_name(config->output_topic, topic));
        add_name(&names, config_topic_name(config->error_topic, topic));
    }
    for (size_t i = 0; also != NULL && i < also->input_count; i++) {
        add_name(&names, mem_text(also->inputs[i].topic));
        add_name(&names, mem_text(also->inputs[i].error_topic));
    }
    for (size_t i = 0; also != NULL && i < also->output_count; i++) {
        add_name(&names, mem_text(also->outputs[i].topic));
    }
    topic_facts_free(broker->facts);
    broker->facts = topic_facts_new(broker->ask, (const char *const *)names.items, names.count);
    for (size_t i = 0; i < names.count; i++) {
        free(names.items[i]);
    }
    free(names.items);
    ok = topic_facts_refresh(broker->facts, &broker->patience, err);
    if (ok) {
        topic_facts_ask_ids(broker->facts);
        topic_facts_step(broker->facts, ANSWER_MS);
    }
    return ok;
}

int32_t broker_partitions(const struct broker *broker, const char *topic)
{
    const struct topic_fact *fact = topic_facts_find(broker->facts, topic);

    return fact == NULL ? 0 : fact->partitions;
}

int64_t broker_settle_ms(const struct broker *broker)
{
    const struct config *config = broker->config;

    if (config->recovery_settle_ms >= 0) {
        return config->recovery_settle_ms;
    }
    for (size_t i = 0; i < config->input_topics.count; i++) {
        char *output = config_topic_name(config->output_topic, config->input_topics.items[i]);
        const struct topic_fact *fact = topic_facts_find(broker->facts, output);

        free(output);
        if (fact != NULL && fact->replicas > 1) {
            return SETTLE_REPLICATED_MS;
        }
    }
    return SETTLE_MS;
}

bool broker_starts(struct broker *broker, struct ends_item *items, size_t count, struct err *err)
{
    return ends_get(broker->ask, ENDS_FIRST, items, count, &broker->patience, err);
}

bool broker_ends(struct broker *broker, bool committed, struct ends_item *items, size_t count,
                 struct err *err)
{
    return ends_get(broker->ask, committed ? ENDS_COMMITTED : ENDS_LAST, items, count,
                    &broker->patience, err);
}

/* ---- marks, written without asking what was there: that is what they mend ---- */

static bool judge_answer(rd_kafka_event_t *event, struct err *err)
{
    const rd_kafka_AlterConsumerGroupOffsets_result_t *result =
        rd_kafka_event_AlterConsumerGroupOffsets_result(event);
    const rd_kafka_topic_partition_list_t *list;
    const rd_kafka_group_result_t **groups = NULL;
    const rd_kafka_error_t *error;
    size_t count = 0;

    if (rd_kafka_event_error(event) != RD_KAFKA_RESP_ERR_NO_ERROR) {
        return err_set(err, client_err_kind(rd_kafka_event_error(event)), 0, "%s",
                       rd_kafka_event_error_string(event));
    }
    if (result != NULL) {
        groups = rd_kafka_AlterConsumerGroupOffsets_result_groups(result, &count);
    }
    if (count != 1) {
        return err_set(err, ERR_TEMPORARY, 0, "an odd answer");
    }
    error = rd_kafka_group_result_error(groups[0]);
    if (error != NULL) {
        return err_set(err, client_err_kind(rd_kafka_error_code(error)), 0, "%s",
                       rd_kafka_error_string(error));
    }
    list = rd_kafka_group_result_partitions(groups[0]);
    for (int i = 0; list != NULL && i < list->cnt; i++) {
        if (list->elems[i].err != RD_KAFKA_RESP_ERR_NO_ERROR) {
            return err_set(err, client_err_kind(list->elems[i].err), 0, "%s[%d]: %s",
                           list->elems[i].topic, (int)list->elems[i].partition,
                           rd_kafka_err2str(list->elems[i].err));
        }
    }
    return true;
}

static bool write_once(struct broker *broker, const rd_kafka_topic_partition_list_t *list,
                       struct err *err)
{
    rd_kafka_queue_t *queue = rd_kafka_queue_new(broker->ask);
    rd_kafka_AlterConsumerGroupOffsets_t *order =
        rd_kafka_AlterConsumerGroupOffsets_new(broker->config->group_id, list);
    rd_kafka_event_t *event;
    bool ok = false;

    rd_kafka_AlterConsumerGroupOffsets(broker->ask, &order, 1, NULL, queue);
    event = rd_kafka_queue_poll(queue, PATIENCE_MS);
    if (event == NULL) {
        err_set(err, ERR_TEMPORARY, 0, "no answer");
    } else {
        ok = judge_answer(event, err);
        rd_kafka_event_destroy(event);
    }
    rd_kafka_AlterConsumerGroupOffsets_destroy(order);
    rd_kafka_queue_destroy(queue);
    return ok;
}

bool broker_write_marks(struct broker *broker, const struct mark_item *items, size_t count,
                        const char *text, struct err *err)
{
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new((int)count);
    struct wait wait;
    struct err trouble;
    bool ok;

    for (size_t i = 0; i < count; i++) {
        rd_kafka_topic_partition_t *to =
            rd_kafka_topic_partition_list_add(list, items[i].topic, items[i].partition);

        to->offset = items[i].offset;
        to->metadata = mem_text(text); /* freed with the list */
        to->metadata_size = strlen(text);
    }
    wait_init(&wait, &broker->patience);
    while (!(ok = write_once(broker, list, &trouble))) {
        if (trouble.kind != ERR_TEMPORARY || !wait_pause(&wait, SETTLE_MS, &trouble)) {
            *err = trouble;
            err_wrap(err, "writing the marks of group '%s'", broker->config->group_id);
            break;
        }
    }
    rd_kafka_topic_partition_list_destroy(list);
    return ok;
}
