/* The group's mark, read and written: Admin ListConsumerGroupOffsets and AlterConsumerGroupOffsets,
 * which need no member of the group. Both answer on one queue; only one question is under way at a
 * time.
 *
 * The old mark is read before each new one (O2): a copy of this ledger that runs beside us is
 * noticed there. The commit itself isn't conditional, so two writers may still overwrite each other
 * between the reading and the writing; the next reading of either finds it. */
#include "mark.h"

#include "kafka_client.h"
#include "log.h"
#include "mem.h"
#include "wait.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum {
    ANSWER_MS_MAX = 5000, /* of one question */
    RETRY_MS_FIRST = 100,
    RETRY_MS_MAX = 5000,
    PENDING_MS = 10,
    TELL_EVERY_MS = 60000,
};

/* ── one question to the group's coordinator ─────────────────────────────────────────────────── */

static rd_kafka_topic_partition_list_t *list_of(const struct mark_item *items, size_t count,
                                                const char *text)
{
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new((int)count);

    for (size_t i = 0; i < count; i++) {
        rd_kafka_topic_partition_t *to =
            rd_kafka_topic_partition_list_add(list, items[i].topic, items[i].partition);

        if (text != NULL) {
            to->offset = items[i].offset;
            to->metadata = mem_text(text); /* freed with the list */
            to->metadata_size = strlen(text);
        }
    }
    return list;
}

static rd_kafka_AdminOptions_t *new_options(rd_kafka_t *ask, rd_kafka_admin_op_t question)
{
    rd_kafka_AdminOptions_t *options = rd_kafka_AdminOptions_new(ask, question);
    char text[256];

    rd_kafka_AdminOptions_set_request_timeout(options, ANSWER_MS_MAX, text, sizeof(text));
    return options;
}

static void ask_offsets(rd_kafka_t *ask, const char *group, enum mark_reading reading,
                        const struct mark_item *items, size_t count, rd_kafka_queue_t *queue)
{
    rd_kafka_AdminOptions_t *options = new_options(ask, RD_KAFKA_ADMIN_OP_LISTCONSUMERGROUPOFFSETS);
    rd_kafka_topic_partition_list_t *list = list_of(items, count, NULL);
    rd_kafka_ListConsumerGroupOffsets_t *question =
        rd_kafka_ListConsumerGroupOffsets_new(group, list);

    rd_kafka_error_destroy(
        rd_kafka_AdminOptions_set_require_stable_offsets(options, reading == MARK_STABLE));
    rd_kafka_ListConsumerGroupOffsets(ask, &question, 1, options, queue);
    rd_kafka_ListConsumerGroupOffsets_destroy(question);
    rd_kafka_topic_partition_list_destroy(list);
    rd_kafka_AdminOptions_destroy(options);
}

static void send_offsets(rd_kafka_t *ask, const char *group, const struct mark_item *items,
                         size_t count, const char *text, rd_kafka_queue_t *queue)
{
    rd_kafka_AdminOptions_t *options =
        new_options(ask, RD_KAFKA_ADMIN_OP_ALTERCONSUMERGROUPOFFSETS);
    rd_kafka_topic_partition_list_t *list = list_of(items, count, text);
    rd_kafka_AlterConsumerGroupOffsets_t *order =
        rd_kafka_AlterConsumerGroupOffsets_new(group, list);

    rd_kafka_AlterConsumerGroupOffsets(ask, &order, 1, options, queue);
    rd_kafka_AlterConsumerGroupOffsets_destroy(order);
    rd_kafka_topic_partition_list_destroy(list);
    rd_kafka_AdminOptions_destroy(options);
}

static bool refuse(const char *doing, const char *group, rd_kafka_resp_err_t code,
                   const char *words, struct err *err)
{
    if (code == RD_KAFKA_RESP_ERR_UNKNOWN_MEMBER_ID) {
        words = "consumers have joined this group and would overwrite the job's offsets: "
                "give them, or the job (group.id), another group";
    }
    if (*client_err_way_out(code) != '\0') {
        words = rd_kafka_err2str(code); /* without the names of librdkafka's parts */
    }
    return err_set(err, client_err_kind(code), (int)code, "%s of group '%s': %s%s", doing, group,
                   words, client_err_way_out(code));
}

/* The answer's partitions, borrowed from the event; an error of the whole or of one of them is the
 * call's. */
static bool open_answer(rd_kafka_event_t *event, const char *doing, const char *group,
                        const rd_kafka_topic_partition_list_t **list_out, struct err *err)
{
    const rd_kafka_ListConsumerGroupOffsets_result_t *listed =
        rd_kafka_event_ListConsumerGroupOffsets_result(event);
    const rd_kafka_AlterConsumerGroupOffsets_result_t *altered =
        rd_kafka_event_AlterConsumerGroupOffsets_result(event);
    const rd_kafka_topic_partition_list_t *list;
    const rd_kafka_group_result_t **groups = NULL;
    const rd_kafka_error_t *error;
    size_t count = 0;

    if (rd_kafka_event_error(event) != RD_KAFKA_RESP_ERR_NO_ERROR) {
        return refuse(doing, group, rd_kafka_event_error(event), rd_kafka_event_error_string(event),
                      err);
    }
    if (listed != NULL) {
        groups = rd_kafka_ListConsumerGroupOffsets_result_groups(listed, &count);
    } else if (altered != NULL) {
        groups = rd_kafka_AlterConsumerGroupOffsets_result_groups(altered, &count);
    }
    if (count != 1) {
        return err_set(err, ERR_TEMPORARY, 0, "%s of group '%s': an odd answer", doing, group);
    }
    error = rd_kafka_group_result_error(groups[0]);
    if (error != NULL) {
        return refuse(doing, group, rd_kafka_error_code(error), rd_kafka_error_string(error), err);
    }
    list = rd_kafka_group_result_partitions(groups[0]);
    for (int i = 0; list != NULL && i < list->cnt; i++) {
        if (list->elems[i].err != RD_KAFKA_RESP_ERR_NO_ERROR) {
            refuse(doing, group, list->elems[i].err, rd_kafka_err2str(list->elems[i].err), err);
            return err_wrap(err, "%s[%" PRId32 "]", list->elems[i].topic, list->elems[i].partition);
        }
    }
    client_served();
    *list_out = list;
    return true;
}

static void take_offset(const rd_kafka_topic_partition_t *from, struct mark_item *item)
{
    char text[MARK_TEXT_SIZE];

    item->offset = from->offset >= 0 ? from->offset : -1;
    item->ours = false;
    if (item->offset >= 0 && from->metadata != NULL && from->metadata_size < sizeof(text)) {
        memcpy(text, from->metadata, from->metadata_size); /* it may have no end of its own */
        text[from->metadata_size] = '\0';
        item->ours = mark_text_parse(text, &item->text);
    }
}

static void take_offsets(const rd_kafka_topic_partition_list_t *list, struct mark_item *items,
                         size_t count)
{
    for (size_t i = 0; i < count; i++) {
        items[i].offset = -1;
        items[i].ours = false;
    }
    for (int k = 0; list != NULL && k < list->cnt; k++) {
        const rd_kafka_topic_partition_t *from = &list->elems[k];
        size_t guess = (size_t)k; /* the answer is nearly always in the question's order */

        for (size_t i = 0; i < count; i++) {
            struct mark_item *item = &items[(guess + i) % count];

            if (item->partition == from->partition && strcmp(item->topic, from->topic) == 0) {
                take_offset(from, item);
                break;
            }
        }
    }
}

/* ── reading at start ────────────────────────────────────────────────────────────────────────── */

static bool read_once(rd_kafka_t *ask, const char *group, enum mark_reading reading,
                      struct mark_item *items, size_t count, const struct wait *wait,
                      struct err *err)
{
    rd_kafka_queue_t *queue = rd_kafka_queue_new(ask);
    const rd_kafka_topic_partition_list_t *list = NULL;
    rd_kafka_event_t *event = NULL;
    bool fine = true;

    ask_offsets(ask, group, reading, items, count, queue);
    while (fine && (event = rd_kafka_queue_poll(queue, WAIT_SLICE_MS)) == NULL) {
        rd_kafka_poll(ask, 0); /* error events */
        fine = client_check_login(err) && wait_check(wait, err);
    }
    fine = fine && open_answer(event, "reading the mark", group, &list, err);
    if (fine) {
        take_offsets(list, items, count);
    }
    if (event != NULL) {
        rd_kafka_event_destroy(event);
    }
    rd_kafka_queue_destroy(queue);
    return fine;
}

bool mark_read(rd_kafka_t *ask, const char *group, enum mark_reading reading,
               struct mark_item *items, size_t count, const struct patience *patience,
               struct err *err)
{
    struct err trouble = {.kind = ERR_NONE};
    int64_t pause_ms = RETRY_MS_FIRST;
    struct wait wait;

    if (count == 0) {
        return true;
    }
    wait_init(&wait, patience);
    while (!read_once(ask, group, reading, items, count, &wait, &trouble)) {
        bool pending = trouble.cause == RD_KAFKA_RESP_ERR_UNSTABLE_OFFSET_COMMIT;

        if (pending) {
            pause_ms = PENDING_MS; /* it ends within milliseconds */
        }
        if (trouble.kind != ERR_TEMPORARY || !wait_pause(&wait, pause_ms, &trouble)) {
            *err = trouble;
            return false;
        }
        pause_ms = pause_ms * 2 < RETRY_MS_MAX ? pause_ms * 2 : RETRY_MS_MAX;
    }
    wait_over(&wait, "reading the mark");
    return true;
}

/* ── writing ─────────────────────────────────────────────────────────────────────────────────── */

enum writer_state {
    WRITER_IDLE,
    WRITER_DUE,     /* to be begun (again) at due_ms */
    WRITER_READING, /* the old mark */
    WRITER_WRITING,
};

struct mark_writer {
    rd_kafka_t *ask;
    char *group;
    struct mark_text mark; /* the text to write; its batch is the one under way */
    rd_kafka_queue_t *queue;
    int fd;
    enum writer_state state;
    int64_t due_ms;
    int64_t pause_ms;
    int64_t told_ms;
    struct mark_item *items; /* to be written; topics are owned */
    struct mark_item *old;   /* what was found; topics are those of items */
    size_t count;
    bool accept_any_incarnation;
    int64_t written;
    bool moved;
};

static void forget_question(struct mark_writer *writer)
{
    if (writer->queue != NULL) {
        rd_kafka_queue_io_event_enable(writer->queue, -1, NULL, 0);
        rd_kafka_queue_destroy(writer->queue);
        writer->queue = NULL;
    }
}

static void new_question(struct mark_writer *writer)
{
    static const uint64_t ONE = 1;

    forget_question(writer);
    writer->queue = rd_kafka_queue_new(writer->ask);
    rd_kafka_queue_io_event_enable(writer->queue, writer->fd, &ONE, sizeof(ONE));
}

static void free_items(struct mark_writer *writer)
{
    for (size_t i = 0; i < writer->count; i++) {
        free((char *)writer->items[i].topic);
    }
    free(writer->items);
    free(writer->old);
    writer->items = writer->old = NULL;
    writer->count = 0;
}

struct mark_writer *mark_writer_new(rd_kafka_t *ask, const char *group, const char *uuid,
                                    const char *incarnation)
{
    struct mark_writer *writer = mem_zero(sizeof(*writer));

    writer->ask = ask;
    writer->group = mem_text(group);
    assert(strlen(uuid) == UUID_SIZE - 1 && strlen(incarnation) == INCARNATION_SIZE - 1);
    memcpy(writer->mark.uuid, uuid, UUID_SIZE);
    memcpy(writer->mark.incarnation, incarnation, INCARNATION_SIZE);
    writer->mark.delivery = DELIVERY_IDEMPOTENT;
    writer->mark.slice = writer->mark.slices = 1;
    writer->fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    assert(writer->fd >= 0);
    return writer;
}

void mark_writer_free(struct mark_writer *writer)
{
    if (writer == NULL) {
        return;
    }
    forget_question(writer);
    free_items(writer);
    close(writer->fd);
    free(writer->group);
    free(writer);
}

void mark_begin(struct mark_writer *writer, int64_t batch, const struct mark_item *items,
                size_t count, bool accept_any_incarnation)
{
    assert(writer->state == WRITER_IDLE && batch > 0);
    free_items(writer);
    writer->mark.batch = batch;
    writer->count = count;
    writer->accept_any_incarnation = accept_any_incarnation;
    writer->items = mem_array(count, sizeof(writer->items[0]));
    writer->old = mem_array(count, sizeof(writer->old[0]));
    for (size_t i = 0; i < count; i++) {
        writer->items[i] = items[i];
        writer->items[i].topic = mem_text(items[i].topic);
        writer->old[i] = writer->items[i];
    }
    writer->pause_ms = RETRY_MS_FIRST;
    writer->due_ms = 0;
    writer->state = WRITER_DUE;
}

/* May the old mark be overwritten? */
static bool judge(struct mark_writer *writer, struct err *err)
{
    const struct mark_text *we = &writer->mark;

    for (size_t i = 0; i < writer->count; i++) {
        const struct mark_item *old = &writer->old[i];
        const struct mark_text *they = &old->text;

        if (!old->ours) {
            writer->moved |= old->offset >= 0;
            continue;
        }
        if (strcmp(they->uuid, we->uuid) != 0 ||
            (!writer->accept_any_incarnation && strcmp(they->incarnation, we->incarnation) != 0)) {
            return err_set(
                err, ERR_DECISION, 0,
                "group '%s' at %s[%" PRId32 "] carries the mark of ledger %.12s, start "
                "%s, batch %" PRId64 "; we are ledger %.12s, start %s: %s",
                writer->group, old->topic, old->partition, they->uuid, they->incarnation,
                they->batch, we->uuid, we->incarnation,
                strcmp(they->uuid, we->uuid) != 0
                    ? "another job uses this group"
                    : "another process works on a copy of this ledger: end one of the two, "
                      "then oncesink-recover reconcile");
        }
        if (they->batch > we->batch) {
            return err_set(
                err, ERR_DECISION, 0,
                "group '%s' at %s[%" PRId32 "] carries the mark of batch %" PRId64
                ", we have settled %" PRId64
                ": this ledger is older than the group; start with the newest, or bring this "
                "one up to date: oncesink-recover reconcile",
                writer->group, old->topic, old->partition, they->batch, we->batch);
        }
    }
    return true;
}

static void begin_question(struct mark_writer *writer, enum writer_state state)
{
    char text[MARK_TEXT_SIZE];

    new_question(writer);
    writer->state = state;
    if (state == WRITER_READING) {
        ask_offsets(writer->ask, writer->group, MARK_AS_IT_IS, writer->old, writer->count,
                    writer->queue);
        return;
    }
    mark_text_format(&writer->mark, text);
    send_offsets(writer->ask, writer->group, writer->items, writer->count, text, writer->queue);
}

static bool try_later(struct mark_writer *writer, struct err *err)
{
    int64_t now_ms = wait_now_ms();

    if (err->kind != ERR_TEMPORARY) {
        writer->state = WRITER_IDLE;
        return false;
    }
    if (now_ms - writer->told_ms >= TELL_EVERY_MS || writer->told_ms == 0) {
        writer->told_ms = now_ms;
        log_warning("mark of batch %" PRId64 ": %s; trying again", writer->mark.batch, err->text);
    }
    writer->state = WRITER_DUE;
    writer->due_ms = now_ms + writer->pause_ms;
    writer->pause_ms = writer->pause_ms * 2 < RETRY_MS_MAX ? writer->pause_ms * 2 : RETRY_MS_MAX;
    return true;
}

static bool take_answer(struct mark_writer *writer, rd_kafka_event_t *event, struct err *err)
{
    const rd_kafka_topic_partition_list_t *list = NULL;
    struct err trouble = {.kind = ERR_NONE};
    bool reading = writer->state == WRITER_READING;

    if (!open_answer(event, reading ? "reading the mark" : "writing the mark", writer->group, &list,
                     &trouble)) {
        if (!try_later(writer, &trouble)) {
            *err = trouble;
            return false;
        }
        return true;
    }
    if (!reading) {
        writer->written = writer->mark.batch;
        writer->state = WRITER_IDLE;
        writer->told_ms = 0;
        return true;
    }
    take_offsets(list, writer->old, writer->count);
    if (!judge(writer, err)) {
        writer->state = WRITER_IDLE;
        return false;
    }
    begin_question(writer, WRITER_WRITING);
    return true;
}

bool mark_step(struct mark_writer *writer, struct err *err)
{
    rd_kafka_event_t *event;
    uint64_t count;
    bool fine;

    rd_kafka_poll(writer->ask, 0); /* error events */
    /* Also when it is idle: set once more, it would wake the loop for ever. */
    if (read(writer->fd, &count, sizeof(count)) < 0 && errno != EAGAIN) {
        return err_set(err, ERR_FAILED, errno, "reading an eventfd: %s", strerror(errno));
    }
    if (writer->state == WRITER_IDLE) {
        return true;
    }
    if (writer->count == 0) {
        writer->written = writer->mark.batch;
        writer->state = WRITER_IDLE;
        return true;
    }
    if (writer->state == WRITER_DUE) {
        if (wait_now_ms() >= writer->due_ms) {
            begin_question(writer, WRITER_READING);
        }
        return true;
    }
    event = rd_kafka_queue_poll(writer->queue, 0);
    if (event == NULL) {
        return true;
    }
    fine = take_answer(writer, event, err);
    rd_kafka_event_destroy(event);
    return fine;
}

bool mark_idle(const struct mark_writer *writer)
{
    return writer->state == WRITER_IDLE;
}

int64_t mark_written(const struct mark_writer *writer)
{
    return writer->written;
}

bool mark_moved(struct mark_writer *writer)
{
    bool moved = writer->moved;

    writer->moved = false;
    return moved;
}

int mark_fd(const struct mark_writer *writer)
{
    return writer->fd;
}
