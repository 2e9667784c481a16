/* One partition that is being read.
 *
 *     queue ──► below `until`: handed out │ from `until` on: kept for the next batch
 *
 * `seen` is the offset below which everything has left the queue. It moves by records, by the end
 * of the partition (an event that carries the offset), and by librdkafka's position, which alone
 * moves over transaction markers.
 *
 * Two things to know of librdkafka 2.8's position: taking an event with an offset (the partition's
 * end, an error) sets it to that offset + 1 as if a record had been taken; and after a new
 * assignment it is the old one until the old fetcher has stopped. Either would end a range early: a
 * record lost. So a position is believed only when no event explains it, and after it was seen
 * reset. */
#include "source_part.h"

#include "kafka_client.h"
#include "log.h"
#include "mem.h"
#include "source_lane.h"
#include "wait.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MESSAGE_COST = 400 }; /* what a message takes beside its bytes, which are the answer's */

/* ── making and freeing ──────────────────────────────────────────────────────────────────────── */

static void open_queue(struct source_part *part)
{
    static const uint64_t ONE = 1; /* what an eventfd wants to be written */

    part->queue = rd_kafka_queue_get_partition(part->client, part->topic, part->partition);
    rd_kafka_queue_forward(part->queue, NULL);
    /* Before it is assigned: the event comes only when an empty queue fills. */
    rd_kafka_queue_io_event_enable(part->queue, part->fd, &ONE, sizeof(ONE));
}

static void close_queue(struct source_part *part)
{
    rd_kafka_queue_io_event_enable(part->queue, -1, NULL, 0);
    rd_kafka_queue_destroy(part->queue);
}

struct source_part *source_part_new(struct source_lane *lane, const char *topic, int32_t partition,
                                    int fd)
{
    struct source_part *part = mem_zero(sizeof(*part));

    part->topic = mem_text(topic);
    part->partition = partition;
    part->lane = lane;
    part->client = lane->client;
    part->fd = fd;
    source_merge_reset(&part->merge);
    open_queue(part);
    part->self = rd_kafka_topic_partition_list_new(1);
    rd_kafka_topic_partition_list_add(part->self, topic, partition);
    return part;
}

static void drop(rd_kafka_message_t **messages, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        rd_kafka_message_destroy(messages[i]);
    }
}

static void drop_kept(struct source_part *part)
{
    drop(part->kept + part->kept_at, part->kept_count - part->kept_at);
    part->kept_at = part->kept_count = 0;
}

void source_part_free(struct source_part *part)
{
    drop_kept(part);
    close_queue(part);
    rd_kafka_topic_partition_list_destroy(part->self);
    free(part->kept);
    free(part->topic);
    free(part);
}

void source_part_renew_queue(struct source_part *part)
{
    if (part->left) {
        close_queue(part);
        open_queue(part);
        part->left = false;
    }
}

static int compare(const struct source_part *part, const char *topic, int32_t partition)
{
    int by_topic = strcmp(part->topic, topic);

    if (by_topic != 0) {
        return by_topic;
    }
    return part->partition < partition ? -1 : part->partition > partition;
}

bool source_part_find(struct source_part *const *parts, size_t count, const char *topic,
                      int32_t partition, size_t *at_out)
{
    size_t low = 0;
    size_t high = count;
    int order = 1;

    while (low < high && order != 0) {
        size_t middle = low + (high - low) / 2;

        order = compare(parts[middle], topic, partition);
        if (order < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    *at_out = high;
    return order == 0;
}

void source_part_restart(struct source_part *part, int64_t offset)
{
    drop_kept(part);
    part->position_old |= part->assigned; /* from now on, until it was seen reset */
    part->assigned = true;
    part->event = -1;
    part->next = part->seen = offset;
    part->doubt = false;
    source_merge_reset(&part->merge);
    part->gone_ms = part->idle_ms = 0;
    part->trouble = SOURCE_FINE;
    part->waiting = false;
}

void source_part_leave(struct source_part *part)
{
    drop_kept(part);
    part->position_old |= part->assigned;
    part->left |= part->assigned;
    part->assigned = false;
}

void source_part_wait(struct source_part *part, int64_t offset)
{
    assert(!part->assigned);
    drop_kept(part);
    part->event = -1;
    part->next = part->seen = offset;
    part->gone_ms = part->idle_ms = 0;
    part->trouble = SOURCE_FINE;
    part->doubt = false;
    source_merge_reset(&part->merge);
    part->waiting = true;
}

bool source_part_near_end(const struct source_part *part, int64_t near)
{
    int64_t low;
    int64_t high;

    return rd_kafka_get_watermark_offsets(part->client, part->topic, part->partition, &low,
                                          &high) == RD_KAFKA_RESP_ERR_NO_ERROR &&
           high >= part->next && high - part->next <= near;
}

void source_part_skip(struct source_part *part, int64_t offset)
{
    assert(offset >= part->next && offset <= part->seen);
    while (part->kept_at < part->kept_count && part->kept[part->kept_at]->offset < offset) {
        rd_kafka_message_destroy(part->kept[part->kept_at++]);
    }
    part->next = offset;
}

void source_part_overtaken(struct source_part *part, int64_t next, int64_t last, int32_t epoch)
{
    assert(last < next && next > part->next);
    if (next > part->seen) {
        source_merge_overtaken(&part->merge, last, epoch);
        part->seen = next;
    }
    source_part_skip(part, next);
    part->epoch = epoch;
    part->idle_ms = 0; /* it isn't this one that is waited for */
}

bool source_part_done(const struct source_part *part, int64_t until)
{
    bool kept_below = part->kept_at < part->kept_count && part->kept[part->kept_at]->offset < until;

    return part->seen >= until && !kept_below;
}

/* ── taking ──────────────────────────────────────────────────────────────────────────────────── */

static void keep(struct source_part *part, rd_kafka_message_t *message)
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
static void handed_out(struct source_part *part, rd_kafka_message_t *const *messages, size_t count)
{
    if (count > 0) {
        part->next = messages[count - 1]->offset + 1;
        part->epoch = rd_kafka_message_leader_epoch(messages[count - 1]);
    }
}

static size_t take_kept(struct source_part *part, int64_t until, rd_kafka_message_t **messages,
                        size_t max)
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

static void note_trouble(struct source_part *part, const char *text)
{
    const char *truncated = rd_kafka_err2str(RD_KAFKA_RESP_ERR__LOG_TRUNCATION);

    part->trouble = strstr(text, truncated) != NULL ? SOURCE_TRUNCATED : SOURCE_OUT_OF_RANGE;
    snprintf(part->text, sizeof(part->text), "%s", text);
}

/* Nothing readable stands below `offset`: by the end of the partition, or by the position. */
static void follow(struct source_part *part, int64_t offset)
{
    if (offset > part->seen && !source_merge_is_met(&part->merge)) {
        part->doubt = true;
    } else if (offset > part->seen) {
        part->seen = offset;
    }
}

/* An event in the queue: *over_out when what stands behind it must not be used, *again_out when it
 * must be fetched again because it couldn't be decoded: librdkafka would go on behind it. */
static bool take_event(struct source_part *part, const rd_kafka_message_t *event, bool *over_out,
                       bool *again_out, struct err *err)
{
    const char *text = rd_kafka_message_errstr(event);
    enum err_kind kind = client_err_kind(event->err);

    if (event->offset >= 0 && event->offset + 1 > part->event) {
        part->event = event->offset + 1;
    }
    if (event->err == RD_KAFKA_RESP_ERR__PARTITION_EOF) {
        follow(part, event->offset);
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
    if (kind == ERR_DECISION || kind == ERR_SETTINGS) {
        return err_set(err, kind, (int)event->err, "reading %s[%" PRId32 "]: %s%s", part->topic,
                       part->partition, text, client_err_way_out(event->err));
    }
    if (kind == ERR_TEMPORARY || event->err >= RD_KAFKA_RESP_ERR_UNKNOWN) {
        /* A broker's answer: librdkafka fetches from the same offset again, after a while. */
        log_debug("input %s[%" PRId32 "]: %s", part->topic, part->partition, text);
        return true;
    }
    snprintf(part->text, sizeof(part->text), "%s", text);
    *over_out = *again_out = true;
    return true;
}

/* Below `seen`: had before, as in a batch fetched anew, or by another reader. */
static bool is_new(struct source_part *part, const rd_kafka_message_t *message)
{
    if (source_merge_is_met(&part->merge)) {
        return message->offset >= part->seen;
    }
    switch (source_merge_judge(&part->merge, part->seen, message->offset,
                               rd_kafka_message_leader_epoch(message))) {
    case MERGE_TAKE:
        return true;
    case MERGE_DROP:
        return false;
    case MERGE_OTHER:
        part->trouble = SOURCE_TRUNCATED;
        part->diverged = DIVERGED_SURE;
        snprintf(part->text, sizeof(part->text),
                 "the record at %" PRId64 " has leader epoch %" PRId32
                 ", that read before had %" PRId32,
                 message->offset, rd_kafka_message_leader_epoch(message), part->merge.epoch);
        return false;
    case MERGE_DOUBT:
        part->doubt = true;
        return false;
    }
    return false;
}

/* Sorts `count` fetched messages: those below `until` stay at the array's beginning, the rest is
 * kept. */
static bool sort_out(struct source_part *part, int64_t until, rd_kafka_message_t **messages,
                     size_t count, size_t *below_out, bool *again_out, struct err *err)
{
    size_t below = 0;
    bool over = false;
    bool fine = true;

    for (size_t i = 0; i < count; i++) {
        rd_kafka_message_t *message = messages[i];
        bool event = message->err != RD_KAFKA_RESP_ERR_NO_ERROR;

        if (event && !over && fine) {
            handed_out(part, messages, below);
            fine = take_event(part, message, &over, again_out, err);
        }
        if (event || over || !fine || part->doubt || part->trouble != SOURCE_FINE ||
            !is_new(part, message)) {
            rd_kafka_message_destroy(message);
            continue;
        }
        part->seen = message->offset + 1;
        part->gone_ms = 0;
        if (message->offset < until) {
            messages[below++] = message;
        } else {
            keep(part, message);
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

static void drain(int fd)
{
    uint64_t count;

    while (read(fd, &count, sizeof(count)) > 0) {
    }
}

static bool take_fetched(struct source_part *part, int fd, int64_t until,
                         rd_kafka_message_t **messages, size_t max, size_t *below_out,
                         bool *again_out, struct err *err)
{
    ssize_t count;
    int64_t seen;

    *below_out = 0;
    if (part->position_old) {
        source_part_look(part); /* before anything of the new assignment moves it */
    }
    do {
        seen = part->seen;
        count = rd_kafka_consume_batch_queue(part->queue, 0, messages, max);
        if (count == 0) {
            drain(fd); /* then look once more: what comes from now on is told again */
            count = rd_kafka_consume_batch_queue(part->queue, 0, messages, max);
        }
        if (count <= 0) {
            return true;
        }
        part->idle_ms = 0;
        part->took_count += (size_t)count;
        for (ssize_t i = 0; i < count; i++) {
            part->took += MESSAGE_COST + (int64_t)(messages[i]->len + messages[i]->key_len);
        }
        if (!sort_out(part, until, messages, (size_t)count, below_out, again_out, err)) {
            return false;
        }
        /* Nothing but what another reader has brought already: what is behind it? Nobody tells that
         * the queue isn't empty. */
    } while (*below_out == 0 && part->seen == seen && !*again_out && !part->doubt &&
             part->trouble == SOURCE_FINE);
    return true;
}

bool source_part_take(struct source_part *part, int fd, int64_t until,
                      rd_kafka_message_t **messages, size_t max, size_t *count_out, bool *again_out,
                      struct err *err)
{
    size_t count = take_kept(part, until, messages, max);
    size_t fetched = 0;

    *again_out = false;
    part->took = 0;
    part->took_count = 0;
    if (count < max && !source_part_done(part, until) && part->trouble == SOURCE_FINE &&
        !part->doubt && !part->waiting) {
        if (!take_fetched(part, fd, until, messages + count, max - count, &fetched, again_out,
                          err)) {
            drop(messages, count); /* the caller gets nothing along with an error */
            return false;
        }
    }
    *count_out = count + fetched;
    return true;
}

void source_part_look(struct source_part *part)
{
    int64_t position;

    rd_kafka_position(part->client, part->self);
    position = part->self->elems[0].offset;
    if (part->position_old) {
        part->position_old = position >= 0;
    } else if (position > part->seen && position != part->event) {
        follow(part, position);
        part->idle_ms = 0;
    }
}
