/* Where logs begin and end: Admin ListOffsets, with the isolation level of the question.
 *
 *     ends_ask ─► the request is on its way ─ends_wait─► the answer is in the items ─► ends_free
 *                       └ no broker, no leader: ERR_TEMPORARY, ask again
 *
 * The answer comes on a queue of its own, so that a question can be forgotten at any time. Items
 * are sorted beside the caller's array, since librdkafka wants topics together and answers in an
 * order of its own. */
#include "source_ends.h"

#include "kafka_client.h"
#include "mem.h"
#include "wait.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum {
    ANSWER_MS_FIRST = 2000, /* of one question; ends_get asks again, and waits longer each time */
    ANSWER_MS_MAX = 30000,
    MISSING_MS_MAX = 30000,
    METADATA_MS = 500,
    RETRY_MS_FIRST = 50,
    RETRY_MS_MAX = 1000,
    /* Partitions in one request to librdkafka: what it does with them grows with their square. */
    TOGETHER_MAX = 100,
};

struct ends {
    enum ends_of of;
    struct ends_item **items; /* by topic, partition */
    size_t count;
    rd_kafka_t *client;
    int answer_ms;
    rd_kafka_queue_t *queue; /* NULL: nothing is under way */
    size_t outstanding;      /* requests whose answer is to come */
    struct err trouble;      /* of the first that failed as a whole */
};

static int compare_names(const char *a, int32_t a_partition, const char *b, int32_t b_partition)
{
    int by_topic = strcmp(a, b);

    if (by_topic != 0) {
        return by_topic;
    }
    return a_partition < b_partition ? -1 : a_partition > b_partition;
}

static int compare_items(const void *a, const void *b)
{
    const struct ends_item *left = *(struct ends_item *const *)a;
    const struct ends_item *right = *(struct ends_item *const *)b;

    return compare_names(left->topic, left->partition, right->topic, right->partition);
}

static int64_t spec_of(enum ends_of of, const struct ends_item *item)
{
    switch (of) {
    case ENDS_FIRST:
        return RD_KAFKA_OFFSET_SPEC_EARLIEST;
    case ENDS_TIME:
        return item->time_ms > 0 ? item->time_ms : 0;
    case ENDS_COMMITTED:
    case ENDS_LAST:
        break;
    }
    return RD_KAFKA_OFFSET_SPEC_LATEST;
}

static void send_some(struct ends *ends, size_t first, size_t count,
                      const rd_kafka_AdminOptions_t *options)
{
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new((int)count);

    for (size_t i = first; i < first + count; i++) {
        const struct ends_item *item = ends->items[i];

        rd_kafka_topic_partition_list_add(list, item->topic, item->partition)->offset =
            spec_of(ends->of, item);
    }
    rd_kafka_ListOffsets(ends->client, list, options, ends->queue);
    rd_kafka_topic_partition_list_destroy(list);
    ends->outstanding++;
}

static void send_question(struct ends *ends)
{
    rd_kafka_AdminOptions_t *options =
        rd_kafka_AdminOptions_new(ends->client, RD_KAFKA_ADMIN_OP_LISTOFFSETS);
    rd_kafka_error_t *error;
    char text[256];

    rd_kafka_AdminOptions_set_request_timeout(options, ends->answer_ms, text, sizeof(text));
    error = rd_kafka_AdminOptions_set_isolation_level(
        options, ends->of == ENDS_COMMITTED ? RD_KAFKA_ISOLATION_LEVEL_READ_COMMITTED
                                            : RD_KAFKA_ISOLATION_LEVEL_READ_UNCOMMITTED);
    rd_kafka_error_destroy(error); /* NULL: the option fits this question */
    ends->queue = rd_kafka_queue_new(ends->client);
    ends->outstanding = 0;
    for (size_t i = 0; i < ends->count; i += TOGETHER_MAX) {
        send_some(ends, i, ends->count - i < TOGETHER_MAX ? ends->count - i : TOGETHER_MAX,
                  options);
    }
    rd_kafka_AdminOptions_destroy(options);
}

static struct ends *ask(rd_kafka_t *client, enum ends_of of, struct ends_item *items, size_t count,
                        int answer_ms)
{
    struct ends *ends = mem_zero(sizeof(*ends));

    ends->of = of;
    ends->client = client;
    ends->answer_ms = answer_ms;
    ends->count = count;
    ends->items = mem_array(count, sizeof(ends->items[0]));
    for (size_t i = 0; i < count; i++) {
        ends->items[i] = &items[i];
        /* Whoever isn't in the answer has no offset. */
        items[i].error = RD_KAFKA_RESP_ERR__NOENT;
        items[i].leader_epoch = -1;
    }
    qsort(ends->items, count, sizeof(ends->items[0]), compare_items);
    for (size_t i = 1; i < count; i++) {
        assert(compare_items(&ends->items[i - 1], &ends->items[i]) < 0);
    }
    if (count > 0) {
        send_question(ends);
    }
    return ends;
}

struct ends *ends_ask(rd_kafka_t *client, enum ends_of of, struct ends_item *items, size_t count)
{
    return ask(client, of, items, count, ANSWER_MS_FIRST);
}

static struct ends_item *find_item(const struct ends *ends, const char *topic, int32_t partition)
{
    struct ends_item wanted = {.topic = topic, .partition = partition};
    struct ends_item *key = &wanted;
    struct ends_item **found =
        bsearch(&key, ends->items, ends->count, sizeof(ends->items[0]), compare_items);

    return found != NULL ? *found : NULL;
}

/* −1 is an answer only where a time is past the end. */
static bool is_answer(enum ends_of of, int64_t offset)
{
    return offset >= 0 || (of == ENDS_TIME && offset == -1);
}

static void take_answer(struct ends *ends, const rd_kafka_ListOffsets_result_t *result)
{
    size_t count = 0;
    const rd_kafka_ListOffsetsResultInfo_t **infos =
        rd_kafka_ListOffsets_result_infos(result, &count);

    for (size_t i = 0; i < count; i++) {
        const rd_kafka_topic_partition_t *answer =
            rd_kafka_ListOffsetsResultInfo_topic_partition(infos[i]);
        struct ends_item *item = find_item(ends, answer->topic, answer->partition);

        if (item == NULL) {
            continue;
        }
        if (answer->err == RD_KAFKA_RESP_ERR_NO_ERROR && !is_answer(ends->of, answer->offset)) {
            continue; /* its broker's answer failed, and librdkafka tells no error */
        }
        item->error = answer->err;
        if (answer->err == RD_KAFKA_RESP_ERR_NO_ERROR) {
            item->offset = answer->offset;
            item->leader_epoch = rd_kafka_topic_partition_get_leader_epoch(answer);
        }
    }
}

/* Where no record has that time or a later one the answer is −1, and what is meant is the end: only
 * those stay in the question, which becomes one for the ends. false when there are none. */
static bool narrow_to_ends(struct ends *ends)
{
    size_t left = 0;

    for (size_t i = 0; i < ends->count; i++) {
        struct ends_item *item = ends->items[i];

        if (item->error == RD_KAFKA_RESP_ERR_NO_ERROR && item->offset < 0) {
            item->error = RD_KAFKA_RESP_ERR__NOENT;
            ends->items[left++] = item;
        }
    }
    ends->count = left;
    ends->of = ENDS_LAST;
    return left > 0;
}

static void take_event(struct ends *ends, rd_kafka_event_t *event)
{
    rd_kafka_resp_err_t code = rd_kafka_event_error(event);
    const rd_kafka_ListOffsets_result_t *result = rd_kafka_event_ListOffsets_result(event);

    ends->outstanding--;
    if (code == RD_KAFKA_RESP_ERR_NO_ERROR && result != NULL) {
        take_answer(ends, result);
        client_served();
    } else if (ends->trouble.kind == ERR_NONE) {
        err_set(&ends->trouble, client_err_kind(code), (int)code,
                "asking for offsets of %zu partitions: %s", ends->count,
                rd_kafka_event_error_string(event));
    }
}

/* Every request has its answer. */
static bool take_all(struct ends *ends, bool *done_out, struct err *err)
{
    rd_kafka_queue_destroy(ends->queue);
    ends->queue = NULL;
    *done_out = true;
    if (ends->trouble.kind != ERR_NONE) {
        *err = ends->trouble;
        return false;
    }
    if (ends->of == ENDS_TIME && narrow_to_ends(ends)) {
        send_question(ends);
        *done_out = false;
    }
    return true;
}

bool ends_wait(struct ends *ends, int timeout_ms, bool *done_out, struct err *err)
{
    rd_kafka_event_t *event;

    if (ends->queue == NULL) {
        *done_out = true;
        return true;
    }
    rd_kafka_poll(ends->client, 0); /* error events */
    event = rd_kafka_queue_poll(ends->queue, timeout_ms);
    if (event != NULL) {
        take_event(ends, event);
        rd_kafka_event_destroy(event);
    }
    if (ends->outstanding == 0) {
        return take_all(ends, done_out, err);
    }
    *done_out = false;
    return true;
}

void ends_free(struct ends *ends)
{
    if (ends == NULL) {
        return;
    }
    if (ends->queue != NULL) {
        rd_kafka_queue_destroy(ends->queue);
    }
    free(ends->items);
    free(ends);
}

/* One question with its answer. Trouble that may pass is returned as ERR_TEMPORARY. */
static bool ask_once(rd_kafka_t *client, enum ends_of of, struct ends_item *items, size_t count,
                     int answer_ms, const struct wait *wait, struct err *err)
{
    struct ends *ends = ask(client, of, items, count, answer_ms);
    bool done = false;
    bool fine = true;

    while (fine && !done) {
        fine = ends_wait(ends, WAIT_SLICE_MS, &done, err) && client_check_login(err) &&
               (done || wait_check(wait, err));
    }
    ends_free(ends);
    return fine;
}

/* The worst of the partitions' errors, as an error that names the partition. */
static bool check_items(const struct ends_item *items, size_t count, struct err *err)
{
    const struct ends_item *worst = NULL;

    for (size_t i = 0; i < count; i++) {
        if (items[i].error == RD_KAFKA_RESP_ERR_NO_ERROR) {
            continue;
        }
        worst = &items[i];
        if (client_err_kind(worst->error) != ERR_TEMPORARY) {
            break;
        }
    }
    if (worst == NULL) {
        return true;
    }
    return err_set(err, client_err_kind(worst->error), (int)worst->error,
                   "asking where %s[%" PRId32 "] begins or ends: %s%s", worst->topic,
                   worst->partition, rd_kafka_err2str(worst->error),
                   client_err_way_out(worst->error));
}

/* Is the trouble a topic that doesn't exist? When no leader at all was found the answer doesn't
 * tell: metadata does. */
static bool is_missing(rd_kafka_t *client, const struct ends_item *items, size_t count,
                       const struct err *err)
{
    rd_kafka_resp_err_t code = (rd_kafka_resp_err_t)err->cause;
    const struct rd_kafka_metadata *metadata = NULL;
    rd_kafka_topic_t *topic;
    bool missing = false;
    size_t at = 0;

    if (code != RD_KAFKA_RESP_ERR__NOENT) {
        return code == RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART ||
               code == RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC ||
               code == RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION;
    }
    while (at + 1 < count && items[at].error == RD_KAFKA_RESP_ERR_NO_ERROR) {
        at++;
    }
    topic = rd_kafka_topic_new(client, items[at].topic, NULL);
    if (rd_kafka_metadata(client, 0, topic, &metadata, METADATA_MS) == RD_KAFKA_RESP_ERR_NO_ERROR) {
        missing = metadata->topic_cnt == 1 &&
                  metadata->topics[0].err == RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART;
        rd_kafka_metadata_destroy(metadata);
    }
    rd_kafka_topic_destroy(topic);
    return missing;
}

/* Trouble that may pass: waits a little and lets it be tried again; else it is the end. */
static bool try_again(rd_kafka_t *client, const struct ends_item *items, size_t count,
                      struct wait *wait, struct err *trouble, int64_t *missing_ms,
                      int64_t *pause_ms)
{
    if (trouble->kind != ERR_TEMPORARY) {
        return false;
    }
    if (!is_missing(client, items, count, trouble)) {
        *missing_ms = -1;
    } else if (*missing_ms < 0) {
        *missing_ms = wait_now_ms();
    } else if (wait_now_ms() - *missing_ms >= MISSING_MS_MAX) {
        trouble->kind = ERR_DECISION;
        return err_wrap(trouble,
                        "topic missing for %d s (asked for '%s' and %zu partitions in all)",
                        MISSING_MS_MAX / 1000, items[0].topic, count);
    }
    if (!wait_pause(wait, *pause_ms, trouble)) {
        return false;
    }
    *pause_ms = *pause_ms * 2 < RETRY_MS_MAX ? *pause_ms * 2 : RETRY_MS_MAX;
    return true;
}

bool ends_get(rd_kafka_t *client, enum ends_of of, struct ends_item *items, size_t count,
              const struct patience *patience, struct err *err)
{
    struct err trouble = {.kind = ERR_NONE};
    int64_t missing_ms = -1; /* since when a topic has been missing */
    int64_t pause_ms = RETRY_MS_FIRST;
    int answer_ms = ANSWER_MS_FIRST;
    struct wait wait;

    wait_init(&wait, patience);
    while (!ask_once(client, of, items, count, answer_ms, &wait, &trouble) ||
           !check_items(items, count, &trouble)) {
        if (!try_again(client, items, count, &wait, &trouble, &missing_ms, &pause_ms)) {
            *err = trouble;
            return false;
        }
        answer_ms = answer_ms * 2 < ANSWER_MS_MAX ? answer_ms * 2 : ANSWER_MS_MAX;
    }
    wait_over(&wait, "asking for offsets");
    return true;
}
