/* Settings that go to librdkafka. Each is tried on a scratch configuration first, so the library
 * itself says whether name and value are good; what would break the protocol is refused before
 * that, with the reason. */
#include "config_client.h"

#include "config_names.h"
#include "config_value.h"
#include "mem.h"

#include <librdkafka/rdkafka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define TRUE_WORDS                                                                                 \
    {                                                                                              \
        "true", "t", "1"                                                                           \
    }
#define FALSE_WORDS                                                                                \
    {                                                                                              \
        "false", "f", "0"                                                                          \
    }

enum { ACCEPTED_MAX = 3 };

/* By librdkafka's main name (aliases are resolved first). A value that says the same as the
 * protocol is accepted. */
static const struct fixed {
    const char *name;
    const char *accepted[ACCEPTED_MAX];
    const char *reason;
} FIXED[] = {
    {"request.required.acks",
     {"all", "-1"},
     "a record is delivered when all in-sync replicas have it"},
    {"enable.idempotence", TRUE_WORDS, "a request that is sent again must not double its records"},
    {"enable.gapless.guarantee", TRUE_WORDS, "a gap in what is delivered would be a loss"},
    {"message.send.max.retries", {"2147483647"}, "a record is sent until it is delivered"},
    {"message.timeout.ms",
     {"0"},
     "a record is sent until it is delivered, however long that takes"},
    {"delivery.report.only.error", FALSE_WORDS, "every delivery is accounted for"},
    {"produce.offset.report", TRUE_WORDS, "every delivery is accounted for by its offset"},
    {"queuing.strategy", {"fifo"}, "records keep their order"},
    {"partitioner",
     {NULL},
     "a record must go to the same partition each time; use output.partitioner"},
    {"sticky.partitioning.linger.ms", {"0"}, "a record must go to the same partition each time"},
    {"queue.buffering.max.kbytes", {NULL}, "it is sized from memory.max.bytes; use that"},
    {"queue.buffering.max.messages", {NULL}, "it is sized from memory.max.bytes; use that"},
    {"queued.max.messages.kbytes", {NULL}, "it is sized from memory.max.bytes; use that"},
    {"enable.auto.commit", FALSE_WORDS, "offsets move with their effects, in the ledger"},
    {"auto.commit.enable", FALSE_WORDS, "offsets move with their effects, in the ledger"},
    {"auto.commit.interval.ms", {NULL}, "offsets move with their effects, in the ledger"},
    {"enable.auto.offset.store", FALSE_WORDS, "offsets move with their effects, in the ledger"},
    {"offset.store.method", {"broker"}, "offsets move with their effects, in the ledger"},
    {"offset.store.path", {NULL}, "offsets move with their effects, in the ledger"},
    {"offset.store.sync.interval.ms", {NULL}, "offsets move with their effects, in the ledger"},
    {"enable.partition.eof", TRUE_WORDS,
     "the end of a partition is how a range is known to be read"},
    {"allow.auto.create.topics", FALSE_WORDS,
     "a topic must not come into being because it was asked for"},
    {"topic.blacklist",
     {NULL},
     "a topic of the job that the client hides looks like one that was deleted"},
    {"group.instance.id",
     {NULL},
     "partitions are assigned by Oncesink itself; its group has no members"},
    {"group.protocol",
     {"classic"},
     "partitions are assigned by Oncesink itself; its group has no members"},
    {"group.protocol.type",
     {"consumer"},
     "partitions are assigned by Oncesink itself; its group has no members"},
    {"group.remote.assignor",
     {NULL},
     "partitions are assigned by Oncesink itself; its group has no members"},
    {"partition.assignment.strategy",
     {NULL},
     "partitions are assigned by Oncesink itself; its group has no members"},
    {"api.version.request", TRUE_WORDS, "idempotent delivery needs what the broker says it can do"},
    {"log.queue", FALSE_WORDS, "the clients' log goes to Oncesink's"},
    {"enabled_events", {NULL}, "it belongs to the program, not to its settings"},
    {"internal.termination.signal", {NULL}, "it belongs to the program, not to its settings"},
    {"test.mock.num.brokers", {"0"}, "each client would see a cluster of its own"},
};
enum { FIXED_COUNT = sizeof(FIXED) / sizeof(FIXED[0]) };

static const char *const SECRETS[] = {
    "sasl.password",
    "sasl.oauthbearer.client.secret",
    "sasl.oauthbearer.config",
    "ssl.key.password",
    "ssl.key.pem",
    "ssl_key",
    "ssl.keystore.password",
};
enum { SECRET_COUNT = sizeof(SECRETS) / sizeof(SECRETS[0]) };

/* By list, and by the look of the name: a newer library may bring more of them. */
static bool is_secret(const char *name)
{
    for (size_t i = 0; i < SECRET_COUNT; i++) {
        if (strcmp(SECRETS[i], name) == 0) {
            return true;
        }
    }
    return strstr(name, "password") != NULL || strstr(name, "secret") != NULL;
}

static const struct fixed *find_fixed(const char *canonical)
{
    for (size_t i = 0; i < FIXED_COUNT; i++) {
        if (strcmp(FIXED[i].name, canonical) == 0) {
            return &FIXED[i];
        }
    }
    return NULL;
}

static bool check_fixed(const struct fixed *fixed, const char *name, const char *value,
                        struct err *err)
{
    for (size_t i = 0; i < ACCEPTED_MAX && fixed->accepted[i] != NULL; i++) {
        if (strcasecmp(fixed->accepted[i], value) == 0) {
            return true;
        }
    }
    if (fixed->accepted[0] == NULL) {
        return err_set(err, ERR_SETTINGS, 0, "%s can't be set: %s", name, fixed->reason);
    }
    return err_set(err, ERR_SETTINGS, 0, "%s is always %s: %s", name, fixed->accepted[0],
                   fixed->reason);
}

/* `consumer.NAME`, `producer.NAME`, `kafka.NAME` (for both) or NAME: the client and what is behind
 * the prefix. */
static const char *split_name(const char *name, enum config_client *client_out)
{
    static const struct {
        const char *prefix;
        enum config_client client;
    } PREFIXES[] = {
        {"consumer.", CONFIG_CONSUMER}, {"producer.", CONFIG_PRODUCER}, {"kafka.", CONFIG_BOTH}};

    *client_out = CONFIG_BOTH;
    for (size_t i = 0; i < sizeof(PREFIXES) / sizeof(PREFIXES[0]); i++) {
        size_t size = strlen(PREFIXES[i].prefix);

        if (strncmp(name, PREFIXES[i].prefix, size) == 0) {
            *client_out = PREFIXES[i].client;
            return name + size;
        }
    }
    return name;
}

static bool refuse_unknown(const struct config *config, const char *name, const char *plain,
                           struct err *err)
{
    char shown[CONFIG_SHOWN_SIZE];
    const char *nearest = config_names_nearest(config->names, plain);

    config_value_shown(name, shown);
    if (nearest == NULL) {
        return err_set(err, ERR_SETTINGS, 0,
                       "there is no setting '%s'; oncesinkd --help lists all of them", shown);
    }
    return err_set(err, ERR_SETTINGS, 0, "there is no setting '%s'; did you mean '%.*s%s'?", shown,
                   (int)(plain - name), name, nearest);
}

static rd_kafka_conf_res_t ask_library(const char *name, const char *value, char *text, size_t size)
{
    rd_kafka_conf_t *scratch = rd_kafka_conf_new();
    rd_kafka_conf_res_t result = rd_kafka_conf_set(scratch, name, value, text, size);

    rd_kafka_conf_destroy(scratch);
    return result;
}

/* The library's own opinion of name and value. */
static bool try_setting(const struct config *config, const struct config_kafka *setting,
                        struct err *err)
{
    char text[512] = "";
    rd_kafka_conf_res_t result = ask_library(setting->name, setting->value, text, sizeof(text));

    if (result == RD_KAFKA_CONF_OK) {
        return true;
    }
    if (result == RD_KAFKA_CONF_UNKNOWN) {
        const char *plain = setting->written + strlen(setting->written) - strlen(setting->name);

        return refuse_unknown(config, setting->written, plain, err);
    }
    /* The library's words may hold the value: of a secret, ask what it says of another one. */
    if (setting->hidden &&
        ask_library(setting->name, "[hidden]", text, sizeof(text)) == RD_KAFKA_CONF_OK) {
        snprintf(text, sizeof(text), "librdkafka refuses this value");
    }
    return err_set(err, ERR_SETTINGS, 0, "%s: %s", setting->written, text);
}

/* Whose setting it is according to the library must agree with whose the user wrote. */
static bool check_client(const struct config *config, struct config_kafka *setting, struct err *err)
{
    enum config_client client = config_names_client(config->names, setting->name);

    if (setting->client == CONFIG_BOTH) {
        setting->client = client;
    }
    if (client != CONFIG_BOTH && client != setting->client) {
        return err_set(err, ERR_SETTINGS, 0, "%s: %s is a setting of %s", setting->written,
                       setting->name, client == CONFIG_CONSUMER ? "consumers" : "producers");
    }
    /* R1: config_finish.c checks the value by the mode. It would hold consumers up. */
    if (strcmp(config_names_canonical(config->names, setting->name), CONFIG_IN_FLIGHT) == 0) {
        if (setting->client == CONFIG_CONSUMER) {
            return err_set(err, ERR_SETTINGS, 0, "%s: only the producer's requests are counted",
                           setting->written);
        }
        setting->client = CONFIG_PRODUCER;
    }
    /* Outputs are read back from their leaders only (R4). */
    if (strcmp(setting->name, "client.rack") == 0) {
        if (setting->client == CONFIG_PRODUCER) {
            return err_set(err, ERR_SETTINGS, 0, "%s: only inputs are read from a near replica",
                           setting->written);
        }
        setting->client = CONFIG_CONSUMER;
    }
    return true;
}

static void free_setting(struct config_kafka *setting)
{
    free(setting->name);
    free(setting->value);
    free(setting->written);
    free(setting->origin);
}

/* In the place of the one that is there already, or at the end. On failure the setting stays the
 * caller's. */
static bool put_setting(struct config *config, const struct config_kafka *setting, struct err *err)
{
    const char *canonical = config_names_canonical(config->names, setting->name);

    for (size_t i = 0; i < config->kafka_count; i++) {
        struct config_kafka *there = &config->kafka[i];

        if (there->client != setting->client ||
            strcmp(config_names_canonical(config->names, there->name), canonical) != 0) {
            continue;
        }
        if (there->from_file && setting->from_file) {
            return err_set(err, ERR_SETTINGS, 0,
                           "%s is set already, by %s at %s: leave one of them out",
                           setting->written, there->written, there->origin);
        }
        free_setting(there);
        *there = *setting;
        return true;
    }
    config->kafka = mem_grow(config->kafka, config->kafka_count + 1, sizeof(*config->kafka));
    config->kafka[config->kafka_count++] = *setting;
    return true;
}

bool config_client_set(struct config *config, const char *name, const char *value, bool secret,
                       bool from_file, const char *origin, struct err *err)
{
    enum config_client client;
    const char *plain = split_name(name, &client);
    const char *alias;
    const struct fixed *fixed;
    struct config_kafka setting;

    if (config->names == NULL) {
        config->names = config_names_new();
    }
    if (plain != name && config_row_find(plain, &alias) != NULL) {
        return err_set(err, ERR_SETTINGS, 0,
                       "%s: %s is a setting of the whole job; write it without %.*s", name, plain,
                       (int)(plain - name), name);
    }
    fixed = find_fixed(config_names_canonical(config->names, plain));
    if (fixed != NULL) {
        return check_fixed(fixed, name, value, err);
    }
    setting = (struct config_kafka){
        .client = client,
        .name = mem_text(plain),
        .value = mem_text(value),
        .written = mem_text(name),
        .origin = mem_text(origin),
        .hidden = secret || is_secret(plain),
        .from_file = from_file,
    };
    if (!try_setting(config, &setting, err) || !check_client(config, &setting, err) ||
        !put_setting(config, &setting, err)) {
        free_setting(&setting);
        return false;
    }
    return true;
}

bool config_client_is_secret(const char *name)
{
    enum config_client client;

    return is_secret(split_name(name, &client));
}

void config_client_sort(struct config *config)
{
    struct config_kafka *sorted = mem_array(config->kafka_count, sizeof(*sorted));
    size_t count = 0;

    for (int pass = 0; pass < 2; pass++) {
        for (size_t i = 0; i < config->kafka_count; i++) {
            if ((config->kafka[i].client == CONFIG_BOTH) == (pass == 0)) {
                sorted[count++] = config->kafka[i];
            }
        }
    }
    free(config->kafka);
    config->kafka = sorted;
}

void config_client_deinit(struct config *config)
{
    for (size_t i = 0; i < config->kafka_count; i++) {
        free_setting(&config->kafka[i]);
    }
    free(config->kafka);
    config_names_free(config->names);
    config->kafka = NULL;
    config->kafka_count = 0;
    config->names = NULL;
}

const char *config_producer_value(const struct config *config, const char *name)
{
    const char *value = config_client_value(config, name);

    for (size_t i = 0; i < config->kafka_count; i++) {
        if (config->kafka[i].client == CONFIG_PRODUCER &&
            strcmp(config_names_canonical(config->names, config->kafka[i].name), name) == 0) {
            value = config->kafka[i].value;
        }
    }
    return value;
}

const char *config_client_value(const struct config *config, const char *name)
{
    for (size_t i = 0; i < config->kafka_count; i++) {
        if (config->kafka[i].client == CONFIG_BOTH &&
            strcmp(config_names_canonical(config->names, config->kafka[i].name), name) == 0) {
            return config->kafka[i].value;
        }
    }
    return NULL;
}
