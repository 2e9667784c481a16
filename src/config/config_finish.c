/* What depends on several settings: what must be there, defaults that come from others, topics that
 * would feed each other, and pairs of times that people set at odds (an error where it can't work,
 * a warning with both values where the user set one of the pair). */
#include "config_client.h"
#include "config_list.h"
#include "config_names.h"
#include "config_table.h"
#include "config_value.h"
#include "log.h"
#include "mem.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum {
    SHUTDOWN_INTERVALS = 10,
    SHUTDOWN_MS_MIN = 10000,
    TRANSACTION_TIMEOUT_MS = 60000, /* librdkafka's default */
    IN_FLIGHT_MAX = 5,              /* of an idempotent producer */
    FETCH_WAIT_MS = 100,            /* client_conf.c's default */
};

/* Where the value comes from: "FILE:LINE", "--set", or "default". */
static const char *origin_of(const struct config *config, const char *name)
{
    const struct config_place *place = config_row_place(config, config_row(name));

    return place->origin != NULL ? place->origin : "default";
}

static bool check_required(const struct config *config, struct err *err)
{
    if (config->job_name == NULL) {
        return err_set(err, ERR_SETTINGS, 0,
                       "job.name isn't set: the job needs a name that never changes");
    }
    if (config->input_topics.count == 0) {
        return err_set(err, ERR_SETTINGS, 0,
                       "input.topics isn't set: which topics are to be read?");
    }
    if (config_client_value(config, "metadata.broker.list") == NULL) {
        return err_set(err, ERR_SETTINGS, 0,
                       "bootstrap.servers isn't set: where is Kafka? For example localhost:9092");
    }
    return true;
}

/* It was checked as a number of milliseconds by librdkafka's own range. */
static int64_t transaction_timeout(const struct config *config)
{
    const char *value = config_producer_value(config, "transaction.timeout.ms");

    return value == NULL ? TRANSACTION_TIMEOUT_MS : strtoll(value, NULL, 10);
}

/* R1. In a transaction what came without an offset is not committed: it is delivered again. */
static bool check_in_flight(const struct config *config, struct err *err)
{
    bool transactional = config->delivery == DELIVERY_TRANSACTIONAL;

    for (size_t i = 0; i < config->kafka_count; i++) {
        const struct config_kafka *setting = &config->kafka[i];
        long value = strtol(setting->value, NULL, 10);

        if (strcmp(config_names_canonical(config->names, setting->name), CONFIG_IN_FLIGHT) != 0 ||
            (value >= 1 && value <= (transactional ? IN_FLIGHT_MAX : 1))) {
            continue;
        }
        return err_set(
            err, ERR_SETTINGS, 0, "%s: %s is %s: %s", setting->origin, setting->written,
            transactional ? "always 1 to 5" : "1 or not set with delivery.mode=idempotent",
            transactional
                ? "with more requests on their way Kafka can't keep their order"
                : "with more of a partition on their way Kafka can lose records in silence");
    }
    return true;
}

static void derive_defaults(struct config *config, int64_t now_ms)
{
    if (config->group_id == NULL) {
        config->group_id = mem_text(config->job_name);
    }
    if (config->transactional_id == NULL) {
        config->transactional_id = mem_text(config->job_name);
    }
    config->transaction_timeout_ms = transaction_timeout(config);
    config->warn_of_pace = config_row_is_set(config, "fetch.max.records") ||
                           config_row_is_set(config, "session.timeout.ms");
    if (config->ledger_path == NULL) {
        config->ledger_path = mem_print("%s.db", config->job_name);
    }
    if (!config_row_is_set(config, "shutdown.timeout.ms")) {
        config->shutdown_timeout_ms = SHUTDOWN_INTERVALS * config->batch_interval_ms;
        if (config->shutdown_timeout_ms < SHUTDOWN_MS_MIN) {
            config->shutdown_timeout_ms = SHUTDOWN_MS_MIN;
        }
    }
    if (config->start_before_ms >= 0) {
        config->start_ms = now_ms > config->start_before_ms ? now_ms - config->start_before_ms : 0;
    }
}

/* Rows that aren't built yet and whose default is another setting's value. */
static bool check_unbuilt(const struct config *config, struct err *err)
{
    const struct config_place *bytes = config_row_place(config, config_row("batch.max.bytes"));

    if (bytes->value != NULL) {
        return err_set(err, ERR_SETTINGS, 0, "%s: batch.max.bytes is not built yet; leave it out",
                       bytes->origin);
    }
    return true;
}

static bool check_ledger_path(const struct config *config, struct err *err)
{
    size_t size = strlen(config->ledger_path);

    if (config->ledger_path[0] == ':' || strncmp(config->ledger_path, "file:", 5) == 0) {
        return err_set(err, ERR_SETTINGS, 0,
                       "%s: ledger.path must be a file's path, not SQLite's ':memory:' or 'file:' "
                       "form",
                       origin_of(config, "ledger.path"));
    }
    if (config->ledger_path[size - 1] == '/') {
        return err_set(err, ERR_SETTINGS, 0, "%s: ledger.path ends in '/': it must name a file",
                       origin_of(config, "ledger.path"));
    }
    return true;
}

/* ---- topics ---- */

static bool is_input(const struct config *config, const char *topic)
{
    for (size_t i = 0; i < config->input_topics.count; i++) {
        if (strcmp(config->input_topics.items[i], topic) == 0) {
            return true;
        }
    }
    return false;
}

static bool check_target(const struct config *config, const char *setting, const char *input,
                         const char *target, struct err *err)
{
    if (!config_topic_is_valid(target)) {
        return err_set(err, ERR_SETTINGS, 0,
                       "%s: %s for '%s' is longer than the %d bytes that a topic's name may have",
                       origin_of(config, setting), setting, input, TOPIC_NAME_MAX);
    }
    if (is_input(config, target)) {
        return err_set(err, ERR_SETTINGS, 0,
                       "%s: %s for '%s' is '%s', which is in input.topics too: the job would read "
                       "what it writes, without end",
                       origin_of(config, setting), setting, input, target);
    }
    return true;
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* The pattern's names for all inputs, sorted, none twice; false when one of them can't be. */
static bool list_targets(const struct config *config, const char *setting, const char *pattern,
                         struct config_list *list, struct err *err)
{
    size_t kept = 0;

    list->items = mem_array(config->input_topics.count, sizeof(*list->items));
    for (size_t i = 0; i < config->input_topics.count; i++) {
        list->items[list->count] = config_topic_name(pattern, config->input_topics.items[i]);
        if (!check_target(config, setting, config->input_topics.items[i],
                          list->items[list->count++], err)) {
            return false;
        }
    }
    qsort(list->items, list->count, sizeof(*list->items), compare_names);
    for (size_t i = 0; i < list->count; i++) {
        if (kept > 0 && strcmp(list->items[kept - 1], list->items[i]) == 0) {
            free(list->items[i]);
        } else {
            list->items[kept++] = list->items[i];
        }
    }
    list->count = kept;
    return true;
}

/* R7, as far as settings tell it: each output partition has one input partition as its source. */
static bool check_positions(const struct config *config, size_t output_count, struct err *err)
{
    const char *origin = origin_of(config, "output.provenance");

    if (config->delivery != DELIVERY_IDEMPOTENT) {
        return err_set(err, ERR_SETTINGS, 0,
                       "%s: output.provenance=positions is for delivery.mode=idempotent only: the "
                       "ends of transactions take offsets too; use headers",
                       origin);
    }
    if (config->partitioner != PARTITIONER_SAME) {
        return err_set(err, ERR_SETTINGS, 0,
                       "%s: output.provenance=positions needs output.partitioner=same (%s says "
                       "otherwise): an output partition must have one source",
                       origin, origin_of(config, "output.partitioner"));
    }
    if (output_count < config->input_topics.count) {
        return err_set(
            err, ERR_SETTINGS, 0,
            "%s: output.provenance=positions needs an output topic for each input topic, "
            "but output.topic (%s) sends %zu input topics to %zu: put {topic} into it",
            origin, origin_of(config, "output.topic"), config->input_topics.count, output_count);
    }
    return true;
}

static bool check_topics(const struct config *config, struct err *err)
{
    struct config_list outputs = {0};
    struct config_list errors = {0};
    bool sound = list_targets(config, "output.topic", config->output_topic, &outputs, err) &&
                 list_targets(config, "error.topic", config->error_topic, &errors, err);

    for (size_t i = 0; sound && i < errors.count; i++) {
        if (bsearch(&errors.items[i], outputs.items, outputs.count, sizeof(*outputs.items),
                    compare_names) != NULL) {
            sound = err_set(err, ERR_SETTINGS, 0,
                            "%s: error.topic and output.topic are both '%s': what was refused "
                            "would mix with what "
                            "was delivered",
                            origin_of(config, "error.topic"), errors.items[i]);
        }
    }
    if (sound && config->provenance == PROVENANCE_NONE &&
        config->delivery != DELIVERY_TRANSACTIONAL) {
        sound = err_set(err, ERR_SETTINGS, 0,
                        "%s: output.provenance=none is for delivery.mode=transactional only, where "
                        "Kafka tells what is there; use headers, or positions",
                        origin_of(config, "output.provenance"));
    }
    if (sound && config->provenance == PROVENANCE_POSITIONS) {
        sound = check_positions(config, outputs.count, err);
    }
    if (sound && config->input_topics.count + outputs.count > TOPICS_MAX) {
        sound =
            err_set(err, ERR_SETTINGS, 0,
                    "%s: %zu inputs with %zu outputs are more than the %d topics a job may have",
                    origin_of(config, "input.topics"), config->input_topics.count, outputs.count,
                    TOPICS_MAX);
    }
    config_list_deinit(&outputs);
    config_list_deinit(&errors);
    return sound;
}

static void warn_of_caps(const struct config *config)
{
    for (size_t i = 0; i < config->cap_count; i++) {
        const struct config_cap *cap = &config->caps[i];

        if (cap->topic != NULL && !is_input(config, cap->topic)) {
            log_warning("%s: rate.max.per.partition names '%s'[%" PRId32
                        "], but that topic isn't in input.topics; "
                        "the cap has no effect",
                        origin_of(config, "rate.max.per.partition"), cap->topic, cap->partition);
        }
    }
}

/* The estimator counts in intervals. */
static bool check_backpressure(const struct config *config, struct err *err)
{
    if (!config->backpressure || config->batch_interval_ms > 0) {
        return true;
    }
    return err_set(err, ERR_SETTINGS, 0,
                   "%s: backpressure.enabled = true needs a batch.interval.ms above 0, and it is "
                   "%" PRId64 " (%s): with batches that follow at once there is no delay to "
                   "measure; set an interval, or use rate.max.per.partition alone",
                   origin_of(config, "backpressure.enabled"), config->batch_interval_ms,
                   origin_of(config, "batch.interval.ms"));
}

/* ---- times ---- */

/* A broker may keep a fetch for so long although all is well. */
static bool check_fetch_wait(const struct config *config, struct err *err)
{
    static const char *const WAIT = "fetch.wait.max.ms";
    const char *origin = "default";
    int64_t wait_ms = FETCH_WAIT_MS;

    for (size_t i = 0; i < config->kafka_count; i++) {
        const struct config_kafka *kafka = &config->kafka[i];

        if (strcmp(kafka->name, WAIT) == 0 && kafka->client != CONFIG_PRODUCER) {
            wait_ms = strtoll(kafka->value, NULL, 10);
            origin = kafka->origin;
        }
    }
    if (config->fetch_timeout_ms > wait_ms) {
        return true;
    }
    return err_set(err, ERR_SETTINGS, 0,
                   "%s: fetch.timeout.ms = %" PRId64 " must be above %s = %" PRId64
                   " (%s): so long a broker may keep a request that it has nothing for",
                   origin_of(config, "fetch.timeout.ms"), config->fetch_timeout_ms, WAIT, wait_ms,
                   origin);
}

static bool check_times(const struct config *config, struct err *err)
{
    static const char *const MAX_POLL = "max.poll.interval.ms";
    const struct pair {
        const char *smaller;
        const char *larger;
        int64_t smaller_ms, larger_ms;
    } pairs[] = {
        {"heartbeat.interval.ms", "session.timeout.ms", config->heartbeat_interval_ms,
         config->session_timeout_ms},
        {"session.timeout.ms", "request.timeout.ms", config->session_timeout_ms,
         config->request_timeout_ms},
        {"batch.interval.ms", MAX_POLL, config->batch_interval_ms, config->max_poll_interval_ms},
    };

    if (config->max_poll_interval_ms < config->session_timeout_ms) {
        return err_set(err, ERR_SETTINGS, 0,
                       "%s: max.poll.interval.ms = %" PRId64
                       " is below session.timeout.ms = %" PRId64 " (%s): librdkafka refuses that",
                       origin_of(config, MAX_POLL), config->max_poll_interval_ms,
                       config->session_timeout_ms, origin_of(config, "session.timeout.ms"));
    }
    if (!check_fetch_wait(config, err)) {
        return false;
    }
    for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
        const struct pair *pair = &pairs[i];

        if (pair->smaller_ms >= pair->larger_ms &&
            (config_row_is_set(config, pair->smaller) || config_row_is_set(config, pair->larger))) {
            log_warning("%s = %" PRId64 " (%s) should be below %s = %" PRId64 " (%s); going on",
                        pair->smaller, pair->smaller_ms, origin_of(config, pair->smaller),
                        pair->larger, pair->larger_ms, origin_of(config, pair->larger));
        }
    }
    return true;
}

bool config_finish(struct config *config, int64_t now_ms, struct err *err)
{
    if (!check_required(config, err)) {
        return false;
    }
    derive_defaults(config, now_ms);
    if (!check_unbuilt(config, err) || !check_ledger_path(config, err) ||
        !check_topics(config, err) || !check_backpressure(config, err) ||
        !check_times(config, err) || !check_in_flight(config, err)) {
        return false;
    }
    warn_of_caps(config);
    config_client_sort(config);
    return true;
}
