/* The inputs, read exactly.
 *
 *     source_begin: from == where we are ──► go on with what is kept
 *                   else ──► assign at `from` (again), nothing is kept
 *     source_take:  kept ──► the partition's queue ──► below `until`: handed out │ from `until` on: kept
 *
 * Each partition has a queue of its own, which librdkafka fills ahead within its limits; what nobody takes stays there.
 * `seen` is the offset below which everything has left that queue. It moves by records, by the end of the partition (an
 * event that carries the offset), and by librdkafka's position, which alone moves over transaction markers. A range is
 * done when seen ≥ until and nothing below `until` is kept.
 *
 * Two things to know of librdkafka 2.8's position: taking an event with an offset (the partition's end, an error) sets it
 * to that offset + 1 as if a record had been taken; and after a new assignment it is the old one until the old fetcher
 * has stopped. Either would end a range early: a record lost. So a position is believed only when no event explains
 * it, and after it was seen reset. */
#include "source_read.h"

#include "kafka_client.h"
#include "log.h"
#include "mem.h"
#include "source_probe.h"
#include "wait.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum {
    POLL_EVERY_MS = 100,
    GONE_MS_MAX = 30000,
    DAMAGED_TRIES = 5,
    LOG_START_MS = 2000,
};

/* One partition that is being read. */
struct part {
    char *topic;
    int32_t partition;
    rd_kafka_queue_t *queue;
    rd_kafka_topic_partition_list_t *self; /* it alone: for asking the position */
    bool assigned;
    bool position_old;         /* the position may be that of an earlier assignment */
    int64_t event;             /* the highest position that an event explains; −1 = none */
    int64_t next;              /* first offset not handed out */
    int64_t seen;              /* everything below has left the queue */
    int32_t epoch;             /* of the last record handed out */
    rd_kafka_message_t **kept; /* taken and not handed out: kept[kept_at … kept_count) */
    size_t kept_at, kept_count, kept_room;
    int64_t moved_ms; /* when something last came */
    int64_t gone_ms;  /* since when the topic is reported missing; 0 = it isn't */
    int tries;        /* how often what comes next couldn't be read */
    enum source_trouble trouble;
    char text[256];
};

struct source {
    const struct config *config;
    enum client_purpose purpose;
    rd_kafka_t *client;
    int fd;
    int64_t polled_ms;
    struct part **parts; /* by topic, partition */
    size_t part_count;
    struct part **reading; /* beside the ranges of the batch */
    const struct range *ranges;
    size_t range_count;
    struct source_probe *probe;
    struct part *probed; /* whom the probe is for */
};

/* ── making and freeing ──────────────────────────────────────────────────────────────────────── */

static bool make(const struct config *config, enum client_purpose purpose, uint32_t partitions,
                 struct source **source_out, struct err *err)
{
    struct client_options options = {.purpose = purpose, .partitions = partitions};
    struct source *source = mem_zero(sizeof(*source));

    source->config = config;
    source->purpose = purpose;
    source->fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (source->fd < 0) {
        err_set(err, ERR_FAILED, errno, "eventfd: %s", strerror(errno));
        free(source);
        return false;
    }
    if (!client_new(config, &options, &source->client, err)) {
        close(source->fd);
        free(source);
        return false;
    }
    rd_kafka_poll_set_consumer(source->client);
    *source_out = source;
    return true;
}

bool source_new(const struct config *config, uint32_t partitions, struct source **source_out,
                struct err *err)
{
    return make(config, CLIENT_INPUT, partitions, source_out, err);
}

bool source_new_outputs(const struct config *config, uint32_t partitions,
                        struct source **source_out, struct err *err)
{
    return make(config, CLIENT_OUTPUT, partitions, source_out, err);
}

static void drop(rd_kafka_message_t **messages, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        rd_kafka_message_destroy(messages[i]);
    }
}

static void drop_kept(struct part *part)
{
    drop(part->kept + part->kept_at, part->kept_count - part->kept_at);
    part->kept_at = part->kept_count = 0;
}

static void part_free(struct part *part)
{
    drop_kept(part);
    rd_kafka_queue_io_event_enable(part->queue, -1, NULL, 0);
    rd_kafka_queue_destroy(part->queue);
    rd_kafka_topic_partition_list_destroy(part->self);
    free(part->kept);
    free(part->topic);
    free(part);
}

static void end_probe(struct source *source)
{
    source_probe_free(source->probe);
    source->probe = NULL;
    source->probed = NULL;
}

void source_free(struct source *source)
{
    if (source == NULL) {
        return;
    }
    end_probe(source);
    for (size_t i = 0; i < source->part_count; i++) {
        part_free(source->parts[i]);
    }
    client_free(source->client, "ending the consumer of the inputs");
    close(source->fd);
    free(source->parts);
    free(source->reading);
    free(source);
}

int source_fd(const struct source *source)
{
    return source->fd;
}

static void drain_fd(const struct source *source)
{
    uint64_t count;

    while (read(source->fd, &count, sizeof(count)) > 0) {
    }
}

/* ── which partitions are read, and from where ───────────────────────────────────────────────── */

static struct part *part_new(struct source *source, const char *topic, int32_t partition)
{
    static const uint64_t ONE = 1; /* what an eventfd wants to be written */
    struct part *part = mem_zero(sizeof(*part));

    part->topic = mem_text(topic);
    part->partition = partition;
    part->queue = rd_kafka_queue_get_partition(source->client, topic, partition);
    rd_kafka_queue_forward(part->queue, NULL);
    /* Before it is assigned: the event comes only when an empty queue fills. */
    rd_kafka_queue_io_event_enable(part->queue, source->fd, &ONE, sizeof(ONE));
    part->self = rd_kafka_topic_partition_list_new(1);
    rd_kafka_topic_partition_list_add(part->self, topic, partition);
    return part;
}

static int compare(const struct part *part, const char *topic, int32_t partition)
{
    int by_topic = strcmp(part->topic, topic);

    if (by_topic != 0) {
        return by_topic;
    }
    return part->partition < partition ? -1 : part->partition > partition;
}

/* Finds the partition, or makes it. */
static struct part *get_part(struct source *source, const char *topic, int32_t partition)
{
    size_t low = 0;
    size_t high = source->part_count;
    struct part *part;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = compare(source->parts[middle], topic, partition);

        if (order == 0) {
            return source->parts[middle];
        }
        if (order < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    part = part_new(source, topic, partition);
    source->parts = mem_grow(source->parts, source->part_count + 1, sizeof(source->parts[0]));
    memmove(&source->parts[low + 1], &source->parts[low],
            (source->part_count - low) * sizeof(source->parts[0]));
    source->parts[low] = part;
    source->part_count++;
    return part;
}

/* Lists of what changes in one go. */
struct change {
    rd_kafka_topic_partition_list_t *leave;
    rd_kafka_topic_partition_list_t *enter;
};

static void change_begin(struct change *change)
{
    change->leave = rd_kafka_topic_partition_list_new(0);
    change->enter = rd_kafka_topic_partition_list_new(0);
}

/* The partition is to be read from `offset`, whatever it was read from before. */
static void move_part(struct change *change, struct part *part, int64_t offset, int32_t epoch)
{
    rd_kafka_topic_partition_t *enter;

    if (part->assigned) {
        rd_kafka_topic_partition_list_add(change->leave, part->topic, part->partition);
        part->position_old = true;
    }
    enter = rd_kafka_topic_partition_list_add(change->enter, part->topic, part->partition);
    enter->offset = offset;
    rd_kafka_topic_partition_set_leader_epoch(enter, epoch);
    drop_kept(part);
    part->assigned = true;
    part->event = -1;
    part->next = part->seen = offset;
    part->gone_ms = 0;
    part->trouble = SOURCE_FINE;
}

static bool check(rd_kafka_error_t *error, const char *doing, struct err *err)
{
    if (error == NULL) {
        return true;
    }
    err_set(err, ERR_FAILED, (int)rd_kafka_error_code(error), "%s: %s", doing,
            rd_kafka_error_string(error));
    rd_kafka_error_destroy(error);
    return false;
}

static bool change_end(struct source *source, struct change *change, struct err *err)
{
    bool fine = true;

    if (change->leave->cnt > 0) {
        fine = check(rd_kafka_incremental_unassign(source->client, change->leave),
                     "leaving input partitions", err);
    }
    if (fine && change->enter->cnt > 0) {
        fine = check(rd_kafka_incremental_assign(source->client, change->enter),
                     "entering input partitions", err);
    }
    rd_kafka_topic_partition_list_destroy(change->leave);
    rd_kafka_topic_partition_list_destroy(change->enter);
    return fine;
}

bool source_begin(struct source *source, const struct definition *definition,
                  const struct range *ranges, size_t count, struct err *err)
{
    int64_t now_ms = wait_now_ms();
    struct change change;

    end_probe(source);
    source->ranges = ranges;
    source->range_count = count;
    source->reading = mem_grow(source->reading, count, sizeof(source->reading[0]));
    change_begin(&change);
    for (size_t i = 0; i < count; i++) {
        const struct range *range = &ranges[i];
        struct part *part =
            get_part(source, definition->inputs[range->input].topic, range->partition);

        assert(range->from >= 0 && range->until >= range->from);
        if (!part->assigned || part->next != range->from || part->trouble != SOURCE_FINE) {
            move_part(&change, part, range->from, range->leader_epoch);
            part->tries = 0;
        }
        part->epoch = range->leader_epoch;
        part->moved_ms = now_ms;
        source->reading[i] = part;
    }
    return change_end(source, &change, err);
}

static bool move_one(struct source *source, struct part *part, int64_t offset, int32_t epoch,
                     struct err *err)
{
    struct change change;

    change_begin(&change);
    move_part(&change, part, offset, epoch);
    part->moved_ms = wait_now_ms();
    return change_end(source, &change, err);
}

bool source_skip(struct source *source, size_t index, int64_t offset, struct err *err)
{
    struct part *part = source->reading[index];

    assert(index < source->range_count && offset >= part->next);
    if (part->trouble != SOURCE_FINE || offset > part->seen) {
        return move_one(source, part, offset, offset == part->next ? part->epoch : -1, err);
    }
    while (part->kept_at < part->kept_count && part->kept[part->kept_at]->offset < offset) {
        rd_kafka_message_destroy(part->kept[part->kept_at++]);
    }
    part->next = offset;
    return true;
}

int32_t source_leader_epoch(const struct source *source, size_t index)
{
    assert(index < source->range_count);
    return source->reading[index]->epoch;
}

int64_t source_log_start(struct source *source, size_t index)
{
    const struct part *part = source->reading[index];
    int64_t low = -1;
    int64_t high = -1;

    assert(index < source->range_count);
    if (rd_kafka_query_watermark_offsets(source->client, part->topic, part->partition, &low, &high,
                                         LOG_START_MS) != RD_KAFKA_RESP_ERR_NO_ERROR) {
        return -1;
    }
    return low;
}

/* ── what comes out of a partition's queue ───────────────────────────────────────────────────── */

static void keep(struct part *part, rd_kafka_message_t *message)
{
    if (part->kept_at == part->kept_count) {
        part->kept_at = part->kept_count = 0;
    }
    if (part->kept_count == part->kept_room) {
        part->kept_room = part->kept_room > 0 ? part->kept_room * 2 : 64;
        part->kept = mem_grow(part->kept, part->kept_room, sizeof(part->kept[0]));
    }
    part->kept[part->kept_count++] = message;
}

/* The last of what is handed out tells where we are. */
static void handed_out(struct part *part, rd_kafka_message_t *const *messages, size_t count)
{
    if (count > 0) {
        part->next = messages[count - 1]->offset + 1;
        part->epoch = rd_kafka_message_leader_epoch(messages[count - 1]);
    }
}

static size_t take_kept(struct part *part, int64_t until, rd_kafka_message_t **messages, size_t max)
{
    size_t count = 0;

    while (count < max && part->kept_at < part->kept_count &&
           part->kept[part->kept_at]->offset < until) {
        messages[count++] = part->kept[part->kept_at++];
    }
    handed_out(part, messages, count);
    return count;
}

static bool is_gone(rd_kafka_resp_err_t code)
{
    return code == RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART ||
           code == RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC ||
           code == RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION ||
           code == RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_ID;
}

static void note_trouble(struct part *part, const char *text)
{
    const char *truncated = rd_kafka_err2str(RD_KAFKA_RESP_ERR__LOG_TRUNCATION);

    part->trouble = strstr(text, truncated) != NULL ? SOURCE_TRUNCATED : SOURCE_OUT_OF_RANGE;
    snprintf(part->text, sizeof(part->text), "%s", text);
}

/* What couldn't be decoded: librdkafka would go on behind it, which would be a loss. It is fetched again, and when that
 * doesn't help it is the end. */
static bool fetch_again(struct source *source, struct part *part, const char *text,
                        rd_kafka_resp_err_t code, struct err *err)
{
    if (++part->tries > DAMAGED_TRIES) {
        return err_set(err, ERR_DECISION, (int)code,
                       "input %s[%" PRId32 "]: what follows offset %" PRId64 " can't be read: %s",
                       part->topic, part->partition, part->next - 1, text);
    }
    log_warning("input %s[%" PRId32 "] from offset %" PRId64 ": %s; fetching it again", part->topic,
                part->partition, part->next, text);
    return move_one(source, part, part->next, part->epoch, err);
}

/* An event in the queue: *over_out when what stands behind it must not be used. */
static bool take_event(struct source *source, struct part *part, const rd_kafka_message_t *event,
                       bool *over_out, struct err *err)
{
    const char *text = rd_kafka_message_errstr(event);
    enum err_kind kind = client_err_kind(event->err);

    if (event->offset >= 0 && event->offset + 1 > part->event) {
        part->event = event->offset + 1;
    }
    if (event->err == RD_KAFKA_RESP_ERR__PARTITION_EOF) {
        if (event->offset > part->seen) {
            part->seen = event->offset;
        }
        part->gone_ms = 0;
        return true;
    }
    if (event->err == RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET) {
        note_trouble(part, text);
        *over_out = true;
        return true;
    }
    if (is_gone(event->err)) {
        part->gone_ms = part->gone_ms > 0 ? part->gone_ms : wait_now_ms();
        return true;
    }
    if (kind == ERR_TEMPORARY && event->err != RD_KAFKA_RESP_ERR_INVALID_MSG) {
        log_debug("input %s[%" PRId32 "]: %s", part->topic, part->partition, text);
        return true;
    }
    if (kind == ERR_DECISION || kind == ERR_SETTINGS) {
        return err_set(err, kind, (int)event->err, "input %s[%" PRId32 "]: %s", part->topic,
                       part->partition, text);
    }
    *over_out = true;
    return fetch_again(source, part, text, event->err, err);
}

/* Sorts `count` fetched messages: those below `until` stay at the array's beginning, the rest is kept. */
static bool sort_out(struct source *source, struct part *part, int64_t until,
                     rd_kafka_message_t **messages, size_t count, size_t *below_out,
                     struct err *err)
{
    size_t below = 0;
    bool over = false;
    bool fine = true;

    for (size_t i = 0; i < count; i++) {
        rd_kafka_message_t *message = messages[i];

        if (over || !fine) {
            rd_kafka_message_destroy(message);
        } else if (message->err != RD_KAFKA_RESP_ERR_NO_ERROR) {
            handed_out(part, messages, below);
            fine = take_event(source, part, message, &over, err);
            rd_kafka_message_destroy(message);
        } else if (message->offset < part->seen) {
            rd_kafka_message_destroy(message); /* had before: a batch is fetched from its start */
        } else {
            part->seen = message->offset + 1;
            if (message->offset < until) {
                messages[below++] = message;
            } else {
                keep(part, message);
            }
        }
    }
    if (!fine) {
        drop(messages, below);
        return false;
    }
    handed_out(part, messages, below);
    *below_out = below;
    return true;
}

/* librdkafka's position, when it can be believed. */
static void look_at_position(const struct source *source, struct part *part)
{
    int64_t position;

    rd_kafka_position(source->client, part->self);
    position = part->self->elems[0].offset;
    if (part->position_old) {
        part->position_old = position >= 0;
    } else if (position > part->seen && position != part->event) {
        part->seen = position;
        part->moved_ms = wait_now_ms();
    }
}

static bool take_fetched(struct source *source, struct part *part, int64_t until,
                         rd_kafka_message_t **messages, size_t max, size_t *below_out,
                         struct err *err)
{
    ssize_t count;

    *below_out = 0;
    if (part->position_old) {
        look_at_position(source, part); /* before anything of the new assignment moves it */
    }
    count = rd_kafka_consume_batch_queue(part->queue, 0, messages, max);
    if (count == 0) {
        drain_fd(source); /* then look once more: what comes from now on is told again */
        count = rd_kafka_consume_batch_queue(part->queue, 0, messages, max);
    }
    if (count <= 0) {
        return true;
    }
    part->moved_ms = wait_now_ms();
    return sort_out(source, part, until, messages, (size_t)count, below_out, err);
}

/* ── when nothing comes ──────────────────────────────────────────────────────────────────────── */

/* Events of the handle itself: brokers down, a log-in refused. */
static bool poll_client(struct source *source, struct err *err)
{
    rd_kafka_message_t *message;

    if (wait_now_ms() - source->polled_ms < POLL_EVERY_MS) {
        return true;
    }
    source->polled_ms = wait_now_ms();
    while ((message = rd_kafka_consumer_poll(source->client, 0)) != NULL) {
        log_debug("consumer of the inputs: %s", rd_kafka_message_errstr(message));
        rd_kafka_message_destroy(message);
    }
    return client_check_login(err);
}

/* Nothing has come for long though the log goes on: is there nothing, or is the reading stuck? */
static bool look_closely(struct source *source, struct part *part, int64_t until, bool *stalled_out,
                         struct err *err)
{
    int64_t low = -1;
    int64_t high = -1;
    enum source_probe_answer answer;

    if (source->probe == NULL) {
        rd_kafka_get_watermark_offsets(source->client, part->topic, part->partition, &low, &high);
        if (high >= until) {
            source->probe = source_probe_new(source->config, source->purpose, part->topic,
                                             part->partition, part->seen, until);
            source->probed = part;
        }
        return true;
    }
    if (source->probed != part) {
        return true; /* one after another */
    }
    answer = source_probe_step(source->probe);
    if (answer == PROBE_UNKNOWN) {
        return true;
    }
    end_probe(source);
    if (answer == PROBE_EMPTY) {
        part->seen = until;
        *stalled_out = true;
        return true;
    }
    log_warning("input %s[%" PRId32 "]: nothing came from offset %" PRId64
                " on though there is something; fetching again",
                part->topic, part->partition, part->seen);
    return move_one(source, part, part->next, part->epoch, err);
}

static bool when_idle(struct source *source, struct part *part, int64_t until, bool *stalled_out,
                      struct err *err)
{
    int64_t now_ms = wait_now_ms();

    if (!poll_client(source, err)) {
        return false;
    }
    look_at_position(source, part);
    if (part->seen >= until || part->trouble != SOURCE_FINE) {
        return true;
    }
    if (part->gone_ms > 0 && now_ms - part->gone_ms >= GONE_MS_MAX) {
        return err_set(err, ERR_DECISION, RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART,
                       "input %s[%" PRId32 "] has been missing for %d s", part->topic,
                       part->partition, GONE_MS_MAX / 1000);
    }
    if (now_ms - part->moved_ms >= SOURCE_STALL_MS) {
        return look_closely(source, part, until, stalled_out, err);
    }
    if (source->probed == part) {
        end_probe(source);
    }
    return true;
}

/* ── taking ──────────────────────────────────────────────────────────────────────────────────── */

static bool is_done(const struct part *part, int64_t until)
{
    bool kept_below = part->kept_at < part->kept_count && part->kept[part->kept_at]->offset < until;

    return part->seen >= until && !kept_below;
}

bool source_take(struct source *source, size_t index, rd_kafka_message_t **messages, size_t max,
                 struct source_taken *taken_out, struct err *err)
{
    struct source_taken taken = {.count = 0};
    struct part *part = source->reading[index];
    int64_t until = source->ranges[index].until;
    size_t fetched = 0;

    assert(index < source->range_count && max > 0);
    taken.count = take_kept(part, until, messages, max);
    if (taken.count < max && !is_done(part, until) && part->trouble == SOURCE_FINE) {
        if (!take_fetched(source, part, until, messages + taken.count, max - taken.count, &fetched,
                          err)) {
            drop(messages, taken.count); /* the caller gets nothing along with an error */
            return false;
        }
        taken.count += fetched;
    }
    if (taken.count == 0 && !is_done(part, until) && part->trouble == SOURCE_FINE &&
        !when_idle(source, part, until, &taken.stalled, err)) {
        return false;
    }
    taken.position = part->next;
    taken.done = is_done(part, until);
    if (taken.done && part->next < until) {
        part->next = until;
        taken.position = taken.stalled ? taken.position : until;
    }
    if (!taken.done && taken.count == 0) {
        taken.trouble = part->trouble;
        snprintf(taken.text, sizeof(taken.text), "%s", part->text);
    }
    *taken_out = taken;
    return true;
}
