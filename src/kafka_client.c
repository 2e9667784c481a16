/* Client handles: settings in layers, later ones win.
 *
 *     ours for every handle → ours for the purpose → sizes from memory.max.bytes → the user's
 *     → what the protocol fixes
 *
 * The user's settings were checked by config.c; what breaks the protocol is refused there and fixed
 * here once more. librdkafka's log lines and error events come in on its own threads and in polls;
 * both end in log.c, and the latest trouble is kept for status lines. */
#include "kafka_client.h"

#include "client_trouble.h"
#include "failpoint.h"
#include "log.h"
#include "mem.h"
#include "wait.h"
#include "watchdog.h"

#include <assert.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    DESTROY_MS_MAX = 30000,
    TROUBLE_LOG_EVERY_MS = 30000,
    TROUBLE_BYTES_MAX = 768,
    UNKNOWN_PARTITIONS = 8,
    KIB = 1024,
    FETCH_KIB_MIN = 32, /* of one partition in one answer; each answer costs the broker, too */
    FETCH_KIB_MAX = 512,
    ANSWER_KIB_MAX = 1024,
    RECORD_COST = 512, /* what librdkafka keeps beside a record's bytes */
    SOCKET_TIMEOUT_MS_MAX = 300000,
    SOCKET_TIMEOUT_MS_MIN = 1000,
};

struct setting {
    const char *name;
    const char *value;
};

static const struct setting FOR_ALL[] = {
    {"allow.auto.create.topics", "false"},
    {"enable.metrics.push", "false"},
    {"log.thread.name", "false"},
    {"log.connection.close", "true"},
    {"reconnect.backoff.ms", "100"},
    {"reconnect.backoff.max.ms", "1000"}, /* a broker that comes back is noticed soon */
    {"socket.keepalive.enable", "true"},
    {"socket.nagle.disable", "true"},
    {NULL, NULL},
};

/* To begin with: client_fetch_wait. */
#define FETCH_WAIT_MS "100"

static const struct setting FOR_CONSUMERS[] = {
    {"check.crcs", "true"},
    {"fetch.queue.backoff.ms", "1"}, /* a full queue must not cost a second */
    {"fetch.wait.max.ms", FETCH_WAIT_MS},
    /* Bounds what a batch of records may be inflated to; a large one from the broker must not be
     * refused. */
    {"receive.message.max.bytes", "1000000000"},
    {NULL, NULL},
};

static const struct setting FOR_SINK[] = {
    {"batch.num.messages", "100000"},
    {"linger.ms", "5"},
    {"queue.buffering.max.kbytes", "2147483647"},
    {"queue.buffering.max.messages", "10000000"},
    /* A request's buffer is allocated for copies of so much of each queued record, sent with it or
     * not: with librdkafka's 65535 that is the whole queue once more, and holes in the heap. */
    {"message.copy.max.bytes", "4096"},
    {"max.in.flight.requests.per.connection", "1"}, /* R1: see below */
    {NULL, NULL},
};

static const struct setting FIXED_FOR_CONSUMERS[] = {
    {"auto.offset.reset", "error"},
    {"enable.auto.commit", "false"},
    {"enable.auto.offset.store", "false"},
    {"enable.partition.eof", "true"},
    {NULL, NULL},
};

static const struct setting FIXED_FOR_OUTPUT[] = {
    {"client.rack", ""}, /* the leader only: a follower may lag (R4) */
    {NULL, NULL},
};

static const struct setting FIXED_FOR_SINK[] = {
    {"enable.idempotence", "true"},
    {"acks", "all"},
    /* The broker decides what is too large, after compression; a smaller value here would refuse by
     * itself. */
    {"message.max.bytes", "1000000000"},
    {NULL, NULL},
};

/* What is not yet acknowledged must never be given up; in a transaction it ends with that one.
 *
 * R1: a leader that doesn't know the producer takes any first sequence, so of the first requests
 * one that was refused can be skipped. Transactions don't close that. Kafka (3.6 on) verifies a
 * producer's first request in a transaction and refuses sequences above the lowest one that it has
 * verified (VerificationStateEntry), but a request refused before that, by a broker that isn't the
 * leader yet, leaves no trace; that the first sequence must be 0 (ProducerAppendInfo) is asked of
 * clients with transactions v2 only, which librdkafka isn't. But such a record is acknowledged
 * without an offset, which breaks the sink, and in a transaction nothing is committed then. So
 * there up to 5 are allowed; without, what came through is visible at once. 1 is the default there
 * too: librdkafka never has two requests of a partition of any size on their way, so 5 are no
 * faster (tests/bench, three partitions on one broker), and cost more CPU, for smaller requests. */
static const struct setting FIXED_WITHOUT_TRANSACTIONS[] = {
    {"max.in.flight.requests.per.connection", "1"},
    {"enable.gapless.guarantee", "true"},
    {"message.timeout.ms", "0"},
    {NULL, NULL},
};

static pthread_mutex_t trouble_lock = PTHREAD_MUTEX_INITIALIZER;
static struct {
    char text[TROUBLE_BYTES_MAX];  /* the latest */
    char login[TROUBLE_BYTES_MAX]; /* of the log-in */
    rd_kafka_resp_err_t code;      /* of what was logged last */
    int64_t logged_ms;
    bool login_failed;
    bool served; /* a broker has answered since the start of the process */
    /* the broker whose certificate was refused last, and why; NULL = no words for it */
    char refused[TROUBLE_BYTES_MAX];
    const char *certificate;
} trouble;

/* Keeps what an error event says, as one line. *news_out: it is to be logged; *login_out: no log-in
 * can work. */
static void keep_trouble(rd_kafka_resp_err_t code, const char *reason, char *text, bool *news_out,
                         bool *login_out)
{
    bool same;

    pthread_mutex_lock(&trouble_lock);
    same = trouble.refused[0] != '\0' && strstr(reason, trouble.refused) != NULL;
    *login_out = client_trouble_describe(code, reason, same ? trouble.certificate : NULL,
                                         trouble.served, text, TROUBLE_BYTES_MAX);
    if (*login_out) {
        trouble.login_failed = true;
        snprintf(trouble.login, sizeof(trouble.login), "%s", text);
    }
    /* That all brokers are down is the sum of what was said of each. Before a broker has answered a
     * failed log-in is the end, which is logged as such. */
    *news_out = code != RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN && (!*login_out || trouble.served) &&
                (code != trouble.code || wait_now_ms() - trouble.logged_ms >= TROUBLE_LOG_EVERY_MS);
    if (*news_out) {
        trouble.logged_ms = wait_now_ms();
        trouble.code = code;
    }
    if (code != RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN || trouble.text[0] == '\0') {
        snprintf(trouble.text, sizeof(trouble.text), "%s", text);
    }
    pthread_mutex_unlock(&trouble_lock);
}

/* Trouble with a broker: kept, and logged when it is news. librdkafka tries again by itself. */
static void on_error(rd_kafka_t *client, int code_number, const char *reason, void *opaque)
{
    rd_kafka_resp_err_t code = (rd_kafka_resp_err_t)code_number;
    char text[TROUBLE_BYTES_MAX] = "";
    bool news;
    bool login;

    (void)opaque;
    keep_trouble(code, reason, text, &news, &login);
    if (code == RD_KAFKA_RESP_ERR__FATAL) {
        code = rd_kafka_fatal_error(client, text, sizeof(text));
        log_warning("%s: fatal for this handle: %s: %s", rd_kafka_name(client),
                    rd_kafka_err2name(code), text);
    } else if (news) {
        log_warning("%s: %s; trying again%s", rd_kafka_name(client), text,
                    login ? " (settings that have changed since the start are read at the next)"
                          : "");
    }
}

/* OpenSSL's opinion of a certificate, which stays as it is: only the reason is kept. A broker's
 * thread. */
static int on_certificate(rd_kafka_t *client, const char *broker, int32_t broker_id,
                          int *x509_error, int depth, const char *certificate, size_t size,
                          char *text, size_t text_size, void *opaque)
{
    (void)client;
    (void)broker_id;
    (void)depth;
    (void)certificate;
    (void)size;
    (void)text;
    (void)text_size;
    (void)opaque;
    if (*x509_error == 0) {
        return 1;
    }
    pthread_mutex_lock(&trouble_lock);
    snprintf(trouble.refused, sizeof(trouble.refused), "%s", broker);
    trouble.certificate = client_trouble_certificate(*x509_error);
    pthread_mutex_unlock(&trouble_lock);
    return 0;
}

/* Lines that say what error events say too, or what was done on purpose, are of interest when
 * looking closely only. */
static bool is_chatter(const char *facility, const char *line)
{
    static const char *const FACILITIES[] = {"FAIL", "ERROR",       "FATAL",    "CONFWARN",
                                             "SSL",  "SSLCERTVRFY", "ADDPARTS", "ADDOFFSETS"};

    for (size_t i = 0; i < sizeof(FACILITIES) / sizeof(FACILITIES[0]); i++) {
        if (strcmp(facility, FACILITIES[i]) == 0) {
            return true;
        }
    }
    /* A transaction that a dead process left open is being aborted: the ordinary way to start. */
    if (strcmp(facility, "GETPID") == 0 && strstr(line, "another concurrent operation") != NULL) {
        return true;
    }
    /* What is fatal for a handle comes as an event, and by the call that it fails. */
    return strcmp(facility, "TXNERR") == 0 && strstr(line, "Fatal transaction error") != NULL;
}

static void on_log(const rd_kafka_t *client, int level, const char *facility, const char *line)
{
    enum log_level ours = LOG_DEBUG;

    /* What librdkafka calls an error is no end of ours: whoever called decides that. */
    if (!is_chatter(facility, line) && level <= LOG_WARNING) {
        ours = LOG_WARNING;
    }
    log_line(ours, "%s: %s: %s", client != NULL ? rd_kafka_name(client) : "librdkafka", facility,
             line);
}

static bool set_one(rd_kafka_conf_t *conf, const char *name, const char *value, struct err *err)
{
    char text[512];

    if (rd_kafka_conf_set(conf, name, value, text, sizeof(text)) != RD_KAFKA_CONF_OK) {
        return err_set(err, ERR_SETTINGS, 0, "setting %s: %s", name, text);
    }
    return true;
}

static bool set_all(rd_kafka_conf_t *conf, const struct setting *settings, struct err *err)
{
    for (; settings->name != NULL; settings++) {
        if (!set_one(conf, settings->name, settings->value, err)) {
            return false;
        }
    }
    return true;
}

static bool set_number(rd_kafka_conf_t *conf, const char *name, int64_t value, struct err *err)
{
    char text[32];

    snprintf(text, sizeof(text), "%" PRId64, value);
    return set_one(conf, name, text, err);
}

static int64_t clamp(int64_t value, int64_t low, int64_t high)
{
    return value < low ? low : value > high ? high : value;
}

struct client_fetch client_fetch_sizes(const struct config *config, uint32_t partitions)
{
    int64_t all = config->memory_max_bytes / 4;
    int64_t share = all / (int64_t)(partitions > 0 ? partitions : UNKNOWN_PARTITIONS);

    return (struct client_fetch){
        .all = all + all / 2,
        .part = clamp(share / 8, FETCH_KIB_MIN * KIB, FETCH_KIB_MAX * KIB),
        .queue = clamp(share / 2, FETCH_KIB_MIN * KIB, all > 0 ? all : FETCH_KIB_MIN * KIB),
        .answer = clamp(all / 2, FETCH_KIB_MIN * KIB,
                        clamp(all / 8, ANSWER_KIB_MAX * KIB, 2 * ANSWER_KIB_MAX * KIB)),
    };
}

/* Records cost more than their bytes, so their number is bounded too; a partition stops fetching at
 * either bound and goes over it by one answer. An answer stays in memory until the last of its
 * records is acknowledged. */
static bool set_consumer_sizes(rd_kafka_conf_t *conf, const struct config *config,
                               uint32_t partitions, struct err *err)
{
    struct client_fetch size = client_fetch_sizes(config, partitions);

    return set_number(conf, "fetch.message.max.bytes", size.part, err) &&
           /* of an answer it may not be more; a consumer has no other use for it */
           set_number(conf, "message.max.bytes", size.answer < 1000000 ? size.answer : 1000000,
                      err) &&
           set_number(conf, "fetch.max.bytes", size.answer, err) &&
           set_number(conf, "queued.max.messages.kbytes", size.queue / KIB, err) &&
           set_number(conf, "queued.min.messages", clamp(size.queue / RECORD_COST, 100, 10000000),
                      err);
}

static bool set_consumer(rd_kafka_conf_t *conf, const struct config *config,
                         const struct client_options *options, struct err *err)
{
    if (!set_all(conf, FOR_CONSUMERS, err) ||
        !set_consumer_sizes(conf, config, options->partitions, err)) {
        return false;
    }
    if (options->purpose == CLIENT_OUTPUT || options->purpose == CLIENT_OUTPUT_COMMITTED) {
        /* A fetch that waits at one partition's end holds up those whose queue was full when it was
         * sent: a read-back would stand still for that long, again and again. */
        return set_one(conf, "fetch.wait.max.ms", "10", err);
    }
    return set_number(conf, "session.timeout.ms", config->session_timeout_ms, err) &&
           set_number(conf, "heartbeat.interval.ms", config->heartbeat_interval_ms, err) &&
           set_number(conf, "max.poll.interval.ms", config->max_poll_interval_ms, err);
}

int64_t client_sink_bytes(const struct config *config)
{
    return config->memory_max_bytes / 2;
}

/* sink.c counts what is on its way. librdkafka's own bounds are out of the way: a record that is
 * larger than them could never be sent. */
static bool set_sink(rd_kafka_conf_t *conf, const struct client_options *options, struct err *err)
{
    return set_all(conf, FOR_SINK, err) &&
           (options->batch_bytes_max == 0 ||
            set_number(conf, "batch.size", (int64_t)options->batch_bytes_max, err));
}

static bool is_producer(enum client_purpose purpose)
{
    return purpose == CLIENT_SINK || purpose == CLIENT_TRANSACTIONS;
}

static bool set_users(rd_kafka_conf_t *conf, const struct config *config,
                      enum client_purpose purpose, struct err *err)
{
    enum config_client own = CONFIG_BOTH;

    if (is_producer(purpose)) {
        own = CONFIG_PRODUCER;
    } else if (purpose != CLIENT_ASK) {
        own = CONFIG_CONSUMER;
    }
    for (int pass = 0; pass < 2; pass++) { /* the plain ones first: `producer.NAME` says more */
        for (size_t i = 0; i < config->kafka_count; i++) {
            const struct config_kafka *kafka = &config->kafka[i];

            if (kafka->client == (pass == 0 ? CONFIG_BOTH : own) &&
                !set_one(conf, kafka->name, kafka->value, err)) {
                return false;
            }
        }
        if (own == CONFIG_BOTH) {
            break;
        }
    }
    return true;
}

/* No request may be larger than the smallest output topic takes, whatever the user's setting is. */
static bool cap_batch_size(rd_kafka_conf_t *conf, size_t bytes_max, struct err *err)
{
    char text[32];
    size_t size = sizeof(text);

    if (bytes_max == 0 || rd_kafka_conf_get(conf, "batch.size", text, &size) != RD_KAFKA_CONF_OK ||
        strtoull(text, NULL, 10) <= bytes_max) {
        return true;
    }
    return set_number(conf, "batch.size", (int64_t)bytes_max, err);
}

static bool set_fixed(rd_kafka_conf_t *conf, const struct config *config,
                      const struct client_options *options, struct err *err)
{
    char *group = NULL;
    bool done = false;

    switch (options->purpose) {
    case CLIENT_INPUT:
        return set_all(conf, FIXED_FOR_CONSUMERS, err) &&
               set_one(conf, "group.id", config->group_id, err) &&
               set_one(conf, "isolation.level",
                       config->isolation == ISOLATION_READ_COMMITTED ? "read_committed"
                                                                     : "read_uncommitted",
                       err);
    case CLIENT_OUTPUT:
    case CLIENT_OUTPUT_COMMITTED:
        group = mem_print("%s-readback", config->group_id); /* never joined, never committed to */
        done = set_all(conf, FIXED_FOR_CONSUMERS, err) && set_all(conf, FIXED_FOR_OUTPUT, err) &&
               set_one(conf, "isolation.level",
                       options->purpose == CLIENT_OUTPUT ? "read_uncommitted" : "read_committed",
                       err) &&
               set_one(conf, "group.id", group, err);
        free(group);
        return done;
    case CLIENT_SINK:
        return set_all(conf, FIXED_FOR_SINK, err) &&
               set_all(conf, FIXED_WITHOUT_TRANSACTIONS, err) &&
               cap_batch_size(conf, options->batch_bytes_max, err);
    case CLIENT_TRANSACTIONS:
        return set_all(conf, FIXED_FOR_SINK, err) &&
               set_one(conf, "transactional.id", config->transactional_id, err) &&
               cap_batch_size(conf, options->batch_bytes_max, err);
    case CLIENT_ASK:
        /* A consumer, though it consumes nothing: on a handle without a group 2.8 crashes when a
         * coordinator that is still loading answers a question for a group's offsets
         * (rd_kafka_handle_OffsetFetch). */
        return set_all(conf, FIXED_FOR_CONSUMERS, err) &&
               set_one(conf, "group.id", config->group_id, err);
    }
    return true;
}

static bool set_everything(rd_kafka_conf_t *conf, const struct config *config,
                           const struct client_options *options, struct err *err)
{
    enum client_purpose purpose = options->purpose;
    int64_t socket_ms =
        clamp(config->request_timeout_ms, SOCKET_TIMEOUT_MS_MIN, SOCKET_TIMEOUT_MS_MAX);

    if (purpose == CLIENT_TRANSACTIONS && socket_ms > config->transaction_timeout_ms) {
        socket_ms = config->transaction_timeout_ms; /* librdkafka's own condition */
    }
    if (!set_all(conf, FOR_ALL, err) || !set_one(conf, "client.id", config->job_name, err) ||
        !set_number(conf, "socket.timeout.ms", socket_ms, err)) {
        return false;
    }
    if (is_producer(purpose) && !set_sink(conf, options, err)) {
        return false;
    }
    if (!is_producer(purpose) && purpose != CLIENT_ASK &&
        !set_consumer(conf, config, options, err)) {
        return false;
    }
    return set_users(conf, config, purpose, err) && set_fixed(conf, config, options, err);
}

/* Requests of a transaction: Produce, InitProducerId, AddPartitionsToTxn, AddOffsetsToTxn, EndTxn,
 * TxnOffsetCommit. */
static bool is_of_transaction(int16_t api)
{
    return api == 0 || api == 22 || api == 24 || api == 25 || api == 26 || api == 28;
}

/* T2. On a broker's thread, at times twice for one response. A broker's error code is a definite
 * answer and doesn't taint. */
static rd_kafka_resp_err_t on_response(rd_kafka_t *client, int fd, const char *broker,
                                       int32_t broker_id, int16_t api, int16_t version,
                                       int32_t correlation, size_t size, int64_t round_trip,
                                       rd_kafka_resp_err_t code, void *opaque)
{
    atomic_bool *tainted = opaque;

    (void)client;
    (void)fd;
    (void)broker;
    (void)broker_id;
    (void)version;
    (void)correlation;
    (void)size;
    (void)round_trip;
    if (is_of_transaction(api) &&
        (code == RD_KAFKA_RESP_ERR__TRANSPORT || code == RD_KAFKA_RESP_ERR__TIMED_OUT ||
         code == RD_KAFKA_RESP_ERR__TIMED_OUT_QUEUE)) {
        atomic_store(tainted, true);
    }
    return RD_KAFKA_RESP_ERR_NO_ERROR;
}

static rd_kafka_resp_err_t on_new(rd_kafka_t *client, const rd_kafka_conf_t *conf, void *opaque,
                                  char *text, size_t size)
{
    (void)conf;
    (void)text;
    (void)size;
    return rd_kafka_interceptor_add_on_response_received(client, "oncesink", on_response, opaque);
}

bool client_new(const struct config *config, const struct client_options *options,
                rd_kafka_t **client_out, struct err *err)
{
    bool produces = is_producer(options->purpose);
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    rd_kafka_t *client;
    char text[512];

    rd_kafka_conf_set_log_cb(conf, on_log); /* before rd_kafka_new, which logs already */
    rd_kafka_conf_set_error_cb(conf, on_error);
    rd_kafka_conf_set_ssl_cert_verify_cb(conf, on_certificate);
    rd_kafka_conf_set_opaque(conf, options->opaque);
    if (produces) {
        rd_kafka_conf_set_dr_msg_cb(conf, options->delivered);
    }
    if (options->tainted != NULL) {
        rd_kafka_conf_interceptor_add_on_new(conf, "oncesink", on_new, options->tainted);
    }
    if (!set_everything(conf, config, options, err)) {
        rd_kafka_conf_destroy(conf);
        return false;
    }
    client =
        rd_kafka_new(produces ? RD_KAFKA_PRODUCER : RD_KAFKA_CONSUMER, conf, text, sizeof(text));
    if (client == NULL) {
        rd_kafka_conf_destroy(conf);
        return err_set(err, ERR_SETTINGS, (int)rd_kafka_last_error(), "client settings: %s%s", text,
                       client_trouble_settings(text));
    }
    *client_out = client;
    return true;
}

void client_fetch_wait(rd_kafka_t *consumer, int wait_ms)
{
#ifdef ONCESINK_RDKAFKA_FETCH_WAIT
    char set[16];
    size_t size = sizeof(set);

    if (rd_kafka_conf_get(rd_kafka_conf(consumer), "fetch.wait.max.ms", set, &size) ==
            RD_KAFKA_CONF_OK &&
        strcmp(set, FETCH_WAIT_MS) == 0) {
        rd_kafka_fetch_wait_set(consumer, wait_ms);
    }
#else
    (void)consumer;
    (void)wait_ms;
#endif
}

#ifdef ONCESINK_RDKAFKA_PRODUCE_HOLD
bool client_can_hold(void)
{
    return true;
}

void client_hold(rd_kafka_t *producer, bool hold)
{
    rd_kafka_produce_hold(producer, hold);
}
#else
bool client_can_hold(void)
{
    return false;
}

void client_hold(rd_kafka_t *producer, bool hold)
{
    (void)producer;
    (void)hold;
    assert(!"client_can_hold");
}
#endif

void client_free(rd_kafka_t *client, const char *what)
{
    if (client == NULL) {
        return;
    }
    watchdog_arm(what, DESTROY_MS_MAX);
    (void)failpoint("client-destroy");
    rd_kafka_destroy_flags(client, RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE);
    watchdog_disarm();
}

void client_served(void)
{
    pthread_mutex_lock(&trouble_lock);
    trouble.served = true;
    trouble.text[0] = '\0';
    pthread_mutex_unlock(&trouble_lock);
}

bool client_check_login(struct err *err)
{
    bool fine;

    pthread_mutex_lock(&trouble_lock);
    fine = trouble.served || !trouble.login_failed;
    if (!fine) {
        err_set(err, ERR_SETTINGS, (int)trouble.code, "log-in to Kafka failed: %s", trouble.login);
    }
    pthread_mutex_unlock(&trouble_lock);
    return fine;
}

void client_last_trouble(char *text, size_t size)
{
    assert(size > 0);
    pthread_mutex_lock(&trouble_lock);
    snprintf(text, size, "%s", trouble.text);
    pthread_mutex_unlock(&trouble_lock);
}

const char *client_versions(void)
{
    static char text[64];

    if (text[0] == '\0') {
        snprintf(text, sizeof(text), "librdkafka %s", rd_kafka_version_str());
    }
    return text;
}
