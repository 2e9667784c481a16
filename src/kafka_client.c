/* Client handles, and what they say. librdkafka's log lines and error events come in on its own
 * threads and in polls; both end in log.c, and the latest trouble is kept for status lines. */
#include "kafka_client.h"

#include "client_conf.h"
#include "client_trouble.h"
#include "failpoint.h"
#include "log.h"
#include "wait.h"
#include "watchdog.h"

#include <assert.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    DESTROY_MS_MAX = 30000,
    TROUBLE_LOG_EVERY_MS = 30000,
    TROUBLE_BYTES_MAX = 768,
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
    bool produces = client_conf_produces(options->purpose);
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
    if (!client_conf_set(conf, config, options, err)) {
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
        strcmp(set, CLIENT_FETCH_WAIT_MS) == 0) {
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
