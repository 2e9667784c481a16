/* The transaction around a sink's records.
 *
 * init and commit are resumed by the library when they time out, so they are called in slices until
 * their deadline; sending offsets isn't resumed and is called once. What an error means is asked in
 * librdkafka's own order: fatal, abort required, retriable, else as fatal. The first two, and the
 * last, are one answer here: replace the producer (protocol.c, `fail`). */
#include "transaction.h"

#include "failpoint.h"
#include "kafka_client.h"
#include "log.h"
#include "mem.h"
#include "wait.h"
#include "watchdog.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum {
    INIT_SLICE_MS = 100, /* one call of the library; between two it is looked around */
    COMMIT_SLICE_MS = 1000,
    OFFSETS_MS = 20000, /* sending offsets: finding the group's coordinator included */
    COMMIT_MS = 45000,  /* in all; then the mark tells whether it happened */
    HANG_MS = 30000,    /* beyond the call's own time: it hangs */
    RETRY_PAUSE_MS = 50,
};

struct transaction {
    struct sink *sink;
    rd_kafka_t *producer; /* the sink's */
    rd_kafka_consumer_group_metadata_t *group;
    bool open;
};

struct transaction *transaction_new(struct sink *sink, const char *group)
{
    struct transaction *transaction = mem_zero(sizeof(*transaction));

    transaction->sink = sink;
    transaction->producer = sink_producer(sink);
    transaction->group = rd_kafka_consumer_group_metadata_new(group);
    return transaction;
}

void transaction_free(struct transaction *transaction)
{
    if (transaction == NULL) {
        return;
    }
    rd_kafka_consumer_group_metadata_destroy(transaction->group);
    free(transaction);
}

bool transaction_is_open(const struct transaction *transaction)
{
    return transaction->open;
}

/* What no new producer changes. */
static enum err_kind kind_of(rd_kafka_resp_err_t code)
{
    switch ((int)code) {
    case RD_KAFKA_RESP_ERR_TRANSACTIONAL_ID_AUTHORIZATION_FAILED:
    case RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED:
    case RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED:
    case RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED:
    case RD_KAFKA_RESP_ERR_UNKNOWN_MEMBER_ID: /* consumers have joined the group */
    case RD_KAFKA_RESP_ERR_ILLEGAL_GENERATION:
        return ERR_DECISION;
    case RD_KAFKA_RESP_ERR_INVALID_TRANSACTION_TIMEOUT:
        return ERR_SETTINGS;
    default:
        return ERR_PRODUCER;
    }
}

static const char *words_of(rd_kafka_resp_err_t code)
{
    switch ((int)code) {
    case RD_KAFKA_RESP_ERR_UNKNOWN_MEMBER_ID:
    case RD_KAFKA_RESP_ERR_ILLEGAL_GENERATION:
        return ": consumers have joined the job's group: give them, or the job (group.id), another "
               "group";
    case RD_KAFKA_RESP_ERR_INVALID_TRANSACTION_TIMEOUT:
        return ": transaction.timeout.ms is larger than the brokers' transaction.max.timeout.ms";
    default:
        return client_err_way_out(code);
    }
}

/* Fills err by the error, which is freed; false. */
static bool fail(rd_kafka_error_t *error, const char *doing, struct err *err)
{
    rd_kafka_resp_err_t code = rd_kafka_error_code(error);

    err_set(err, kind_of(code), (int)code, "%s: %s%s", doing, rd_kafka_error_string(error),
            words_of(code));
    rd_kafka_error_destroy(error);
    return false;
}

static bool is_final(const rd_kafka_error_t *error)
{
    return rd_kafka_error_is_fatal(error) || rd_kafka_error_txn_requires_abort(error) ||
           !rd_kafka_error_is_retriable(error);
}

/* What a dead producer left open is aborted first: until that is done the coordinator answers that
 * it is busy, and librdkafka would ask again after 500 ms only, for which readers of the outputs
 * wait. A new call asks at once, unless a request is under way; so the calls are short. */
bool transaction_init(struct transaction *transaction, const struct patience *patience,
                      struct err *err)
{
    struct err trouble = {.kind = ERR_NONE};
    rd_kafka_error_t *error;
    struct wait wait;

    wait_init(&wait, patience);
    for (;;) {
        watchdog_arm("fencing earlier producers (init_transactions)", INIT_SLICE_MS + HANG_MS);
        error = rd_kafka_init_transactions(transaction->producer, INIT_SLICE_MS);
        watchdog_disarm();
        if (error == NULL) {
            wait_over(&wait, "fencing earlier producers");
            client_served();
            return true;
        }
        if (is_final(error)) {
            return fail(error, "fencing earlier producers (init_transactions)", err);
        }
        err_set(&trouble, ERR_TEMPORARY, (int)rd_kafka_error_code(error),
                "fencing earlier producers: %s", rd_kafka_error_string(error));
        rd_kafka_error_destroy(error);
        rd_kafka_poll(transaction->producer,
                      0); /* error events: a log-in that fails is seen there */
        if (!client_check_login(err)) {
            return false;
        }
        if (!wait_pause(&wait, RETRY_PAUSE_MS, &trouble)) {
            *err = trouble;
            return false;
        }
    }
}

bool transaction_begin(struct transaction *transaction, struct err *err)
{
    rd_kafka_error_t *error;

    assert(!transaction->open);
    error = rd_kafka_begin_transaction(transaction->producer);
    if (error != NULL) {
        return fail(error, "beginning a transaction", err);
    }
    transaction->open = true;
    return true;
}

static rd_kafka_topic_partition_list_t *offsets_of(const struct mark_item *items, size_t count,
                                                   const struct mark_text *mark)
{
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new((int)count);
    char text[MARK_TEXT_SIZE];

    mark_text_format(mark, text);
    for (size_t i = 0; i < count; i++) {
        rd_kafka_topic_partition_t *to =
            rd_kafka_topic_partition_list_add(list, items[i].topic, items[i].partition);

        to->offset = items[i].offset;
        to->metadata = mem_text(text); /* freed with the list */
        to->metadata_size = strlen(text);
    }
    return list;
}

static bool send_offsets(struct transaction *transaction, const struct mark_item *items,
                         size_t count, const struct mark_text *mark, struct err *err)
{
    rd_kafka_topic_partition_list_t *list = offsets_of(items, count, mark);
    rd_kafka_error_t *error;

    watchdog_arm("sending offsets to the transaction", OFFSETS_MS + HANG_MS);
    error = rd_kafka_send_offsets_to_transaction(transaction->producer, list, transaction->group,
                                                 OFFSETS_MS);
    watchdog_disarm();
    rd_kafka_topic_partition_list_destroy(list);
    return error == NULL || fail(error, "sending offsets to the transaction", err);
}

static bool commit(struct transaction *transaction, const struct patience *patience,
                   struct err *err)
{
    int64_t end = wait_now_ms() + COMMIT_MS;
    rd_kafka_error_t *error;

    for (;;) {
        watchdog_arm("committing a transaction", COMMIT_SLICE_MS + HANG_MS);
        error = rd_kafka_commit_transaction(transaction->producer, COMMIT_SLICE_MS);
        watchdog_disarm();
        if (error == NULL) {
            transaction->open = false;
            return true;
        }
        if (is_final(error) || wait_now_ms() >= end) {
            return fail(error, "committing a transaction", err);
        }
        rd_kafka_error_destroy(error);
        if (patience->stopped != NULL && patience->stopped(patience->arg)) {
            return err_set(err, ERR_STOPPED, 0, "asked to stop while a commit was under way");
        }
    }
}

bool transaction_commit(struct transaction *transaction, const struct mark_item *items,
                        size_t count, const struct mark_text *mark, const struct patience *patience,
                        struct err *err)
{
    assert(transaction->open && sink_in_flight(transaction->sink) == 0);
    if (failpoint("transaction-before-offsets")) {
        return err_set(err, ERR_FAILED, 0, "failpoint");
    }
    if (!send_offsets(transaction, items, count, mark, err)) {
        return false;
    }
    if (failpoint("transaction-before-commit")) {
        return err_set(err, ERR_FAILED, 0, "failpoint");
    }
    if (!commit(transaction, patience, err)) {
        return false;
    }
    return !failpoint("transaction-after-commit") || err_set(err, ERR_FAILED, 0, "failpoint");
}

void transaction_abort(struct transaction *transaction, int timeout_ms)
{
    rd_kafka_error_t *error;

    if (!transaction->open) {
        return;
    }
    watchdog_arm("aborting a transaction", timeout_ms + HANG_MS);
    error = rd_kafka_abort_transaction(transaction->producer, timeout_ms);
    watchdog_disarm();
    transaction->open = false;
    if (error != NULL) {
        log_notice("the open transaction could not be aborted in time (%s); the next start does it",
                   rd_kafka_error_string(error));
        rd_kafka_error_destroy(error);
    }
}
