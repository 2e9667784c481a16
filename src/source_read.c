/* The inputs, read exactly.
 *
 *     source_begin: from == where we are ──► go on with what is kept
 *                   else ──► assign at `from` (again), nothing is kept
 *     source_take:  kept ─► the partition's queue ─► below `until`: handed out │ beyond it: kept
 *
 * Each partition has a queue of its own (source_part.c), which librdkafka fills ahead within its
 * limits; what nobody takes stays there. A range is done when everything below its end has left the
 * queue and was handed out. */
#include "source_read.h"

#include "kafka_client.h"
#include "log.h"
#include "mem.h"
#include "source_part.h"
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
    FAR_OFFSETS = 2000, /* a range with more than this to go */
};

struct source {
    const struct config *config;
    enum client_purpose purpose;
    rd_kafka_t *client;
    int fd;
    int64_t polled_ms;
    struct source_part **parts; /* by topic, partition */
    size_t part_count;
    struct source_part **reading; /* beside the ranges of the batch */
    const struct range *ranges;
    size_t range_count;
    struct source_probe *probe;
    struct source_part *probed; /* whom the probe is for */
    rd_kafka_topic_t **topics;  /* handles that make the client learn of its topics early */
    size_t topic_count;
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

bool source_new_outputs(const struct config *config, bool committed, uint32_t partitions,
                        struct source **source_out, struct err *err)
{
    return make(config, committed ? CLIENT_OUTPUT_COMMITTED : CLIENT_OUTPUT, partitions, source_out,
                err);
}

static void end_probe(struct source *source)
{
    source_probe_free(source->probe);
    source->probe = NULL;
    source->probed = NULL;
}

void source_expect(struct source *source, const char *topic)
{
    source->topics = mem_grow(source->topics, source->topic_count + 1, sizeof(rd_kafka_topic_t *));
    source->topics[source->topic_count] = rd_kafka_topic_new(source->client, topic, NULL);
    if (source->topics[source->topic_count] != NULL) {
        source->topic_count++;
    }
}

void source_free(struct source *source)
{
    if (source == NULL) {
        return;
    }
    end_probe(source);
    for (size_t i = 0; i < source->part_count; i++) {
        source_part_free(source->parts[i]);
    }
    for (size_t i = 0; i < source->topic_count; i++) {
        rd_kafka_topic_destroy(source->topics[i]);
    }
    free(source->topics);
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

/* ── which partitions are read, and from where ───────────────────────────────────────────────── */

/* Finds the partition, or makes it. */
static struct source_part *get_part(struct source *source, const char *topic, int32_t partition)
{
    size_t low = 0;
    size_t high = source->part_count;
    struct source_part *part;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = source_part_compare(source->parts[middle], topic, partition);

        if (order == 0) {
            return source->parts[middle];
        }
        if (order < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    part = source_part_new(source->client, topic, partition, source->fd);
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
static void move_part(struct change *change, struct source_part *part, int64_t offset,
                      int32_t epoch)
{
    rd_kafka_topic_partition_t *enter;

    if (part->assigned) {
        rd_kafka_topic_partition_list_add(change->leave, part->topic, part->partition);
    }
    enter = rd_kafka_topic_partition_list_add(change->enter, part->topic, part->partition);
    enter->offset = offset;
    rd_kafka_topic_partition_set_leader_epoch(enter, epoch);
    source_part_restart(part, offset);
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

/* An assignment alone compares leader epochs only while the topic's leaders aren't known yet; a
 * seek always does. */
static bool check_epochs(struct source *source, const rd_kafka_topic_partition_list_t *entered,
                         struct err *err)
{
    rd_kafka_topic_partition_list_t *known = rd_kafka_topic_partition_list_new(entered->cnt);
    bool fine = true;

    for (int i = 0; i < entered->cnt; i++) {
        const rd_kafka_topic_partition_t *from = &entered->elems[i];
        int32_t epoch = rd_kafka_topic_partition_get_leader_epoch(from);

        if (epoch >= 0) {
            rd_kafka_topic_partition_t *to =
                rd_kafka_topic_partition_list_add(known, from->topic, from->partition);

            to->offset = from->offset;
            rd_kafka_topic_partition_set_leader_epoch(to, epoch);
        }
    }
    if (known->cnt > 0) {
        fine = check(rd_kafka_seek_partitions(source->client, known, 0),
                     "comparing leader epochs of input partitions", err);
    }
    rd_kafka_topic_partition_list_destroy(known);
    return fine;
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
                     "entering input partitions", err) &&
               check_epochs(source, change->enter, err);
    }
    rd_kafka_topic_partition_list_destroy(change->leave);
    rd_kafka_topic_partition_list_destroy(change->enter);
    return fine;
}

/* ── one with a backlog must not wait for those that are at their end ────────────────────────── */

/* A consumer has one fetch under way per broker. Sent while the queue of the partition with a
 * backlog is full, it asks for the others only, and the broker keeps it until they have something,
 * or for fetch.wait.max.ms; only then is the backlog read on. So while a range has far to go, those
 * that have little to give are left, and what was fetched of them beyond their ranges is fetched
 * again when they are read again: little is an eighth of what the far one has to go. */

static int64_t little(const struct source *source)
{
    int64_t far = 0;

    for (size_t i = 0; i < source->range_count; i++) {
        int64_t left = source->ranges[i].until - source->reading[i]->next;

        far = left > far ? left : far;
    }
    return far > FAR_OFFSETS ? far / 8 : -1;
}

static void leave_part(struct change *change, struct source_part *part)
{
    log_debug("input %s[%" PRId32 "] has little to give behind %" PRId64 " and is left",
              part->topic, part->partition, part->next);
    rd_kafka_topic_partition_list_add(change->leave, part->topic, part->partition);
    source_part_leave(part);
}

/* Those that aren't read in this batch. */
static void leave_unwanted(struct source *source, struct change *change)
{
    int64_t near = little(source);

    for (size_t i = 0; near >= 0 && i < source->part_count; i++) {
        struct source_part *part = source->parts[i];

        if (part->assigned && !part->wanted && source_part_near_end(part, near)) {
            leave_part(change, part);
        }
    }
}

/* One whose range is done. */
static bool leave_done(struct source *source, struct source_part *part, struct err *err)
{
    int64_t near = little(source);
    struct change change;

    if (near < 0 || !part->assigned || !source_part_near_end(part, near)) {
        return true;
    }
    change_begin(&change);
    leave_part(&change, part);
    return change_end(source, &change, err);
}

/* ── a batch begins, or goes on elsewhere ────────────────────────────────────────────────────── */

bool source_begin(struct source *source, const struct definition *definition,
                  const struct range *ranges, size_t count, struct err *err)
{
    struct change change;

    end_probe(source);
    source->ranges = ranges;
    source->range_count = count;
    source->reading = mem_grow(source->reading, count, sizeof(source->reading[0]));
    change_begin(&change);
    for (size_t i = 0; i < source->part_count; i++) {
        source->parts[i]->wanted = false;
    }
    for (size_t i = 0; i < count; i++) {
        const struct range *range = &ranges[i];
        struct source_part *part =
            get_part(source, definition->inputs[range->input].topic, range->partition);

        assert(range->from >= 0 && range->until >= range->from);
        if (!part->assigned || part->next != range->from || part->trouble != SOURCE_FINE) {
            move_part(&change, part, range->from, range->leader_epoch);
            part->tries = 0;
        }
        part->epoch = range->leader_epoch;
        part->idle_ms = 0;
        part->wanted = true;
        source->reading[i] = part;
    }
    leave_unwanted(source, &change);
    return change_end(source, &change, err);
}

static bool move_one(struct source *source, struct source_part *part, int64_t offset, int32_t epoch,
                     struct err *err)
{
    struct change change;

    change_begin(&change);
    move_part(&change, part, offset, epoch);
    return change_end(source, &change, err);
}

bool source_skip(struct source *source, size_t index, int64_t offset, struct err *err)
{
    struct source_part *part = source->reading[index];

    assert(index < source->range_count && offset >= part->next);
    if (offset > part->next) {
        part->epoch = -1; /* that of a record which was skipped */
    }
    if (part->trouble != SOURCE_FINE || offset > part->seen) {
        return move_one(source, part, offset, part->epoch, err);
    }
    source_part_skip(part, offset);
    return true;
}

int32_t source_leader_epoch(const struct source *source, size_t index)
{
    assert(index < source->range_count);
    return source->reading[index]->epoch;
}

int64_t source_log_start(struct source *source, size_t index)
{
    const struct source_part *part = source->reading[index];
    int64_t low = -1;
    int64_t high = -1;

    assert(index < source->range_count);
    if (rd_kafka_query_watermark_offsets(source->client, part->topic, part->partition, &low, &high,
                                         LOG_START_MS) != RD_KAFKA_RESP_ERR_NO_ERROR) {
        return -1;
    }
    return low;
}

/* What couldn't be decoded is fetched again, and when that doesn't help it is the end. */
static bool fetch_again(struct source *source, struct source_part *part, struct err *err)
{
    if (++part->tries > DAMAGED_TRIES) {
        return err_set(err, ERR_DECISION, 0,
                       "%s[%" PRId32 "]: what comes from offset %" PRId64 " on can't be read: %s",
                       part->topic, part->partition, part->next, part->text);
    }
    log_warning("%s[%" PRId32 "] from offset %" PRId64 ": %s; fetching it again", part->topic,
                part->partition, part->next, part->text);
    return move_one(source, part, part->next, part->epoch, err);
}

/* ── when nothing comes ──────────────────────────────────────────────────────────────────────── */

static void free_messages(rd_kafka_message_t **messages, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        rd_kafka_message_destroy(messages[i]);
    }
}

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
static bool look_closely(struct source *source, struct source_part *part, int64_t until,
                         bool *stalled_out, struct err *err)
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

static bool when_idle(struct source *source, struct source_part *part, int64_t until,
                      bool *stalled_out, struct err *err)
{
    int64_t now_ms = wait_now_ms();

    if (!poll_client(source, err)) {
        return false;
    }
    source_part_look(part);
    if (part->seen >= until || part->trouble != SOURCE_FINE) {
        return true;
    }
    if (part->gone_ms > 0 && now_ms - part->gone_ms >= GONE_MS_MAX) {
        return err_set(err, ERR_DECISION, RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART,
                       "input %s[%" PRId32 "] has been missing for %d s", part->topic,
                       part->partition, GONE_MS_MAX / 1000);
    }
    if (part->idle_ms == 0) {
        part->idle_ms = now_ms;
    }
    if (now_ms - part->idle_ms < SOURCE_STALL_MS) {
        return true;
    }
    return look_closely(source, part, until, stalled_out, err);
}

/* ── taking ──────────────────────────────────────────────────────────────────────────────────── */

bool source_take(struct source *source, size_t index, rd_kafka_message_t **messages, size_t max,
                 struct source_taken *taken_out, struct err *err)
{
    struct source_taken taken = {.count = 0};
    struct source_part *part = source->reading[index];
    int64_t until = source->ranges[index].until;
    int64_t next = part->next;
    bool again = false;

    assert(index < source->range_count && max > 0);
    if (!source_part_take(part, source->fd, until, messages, max, &taken.count, &again, err)) {
        return false;
    }
    if (part->next > next) {
        part->tries = 0;
        if (source->probed == part) {
            end_probe(source); /* it isn't stuck */
        }
    }
    if (again && !fetch_again(source, part, err)) {
        free_messages(messages, taken.count);
        return false;
    }
    if (taken.count == 0 && !source_part_done(part, until) && part->trouble == SOURCE_FINE &&
        !when_idle(source, part, until, &taken.stalled, err)) {
        return false;
    }
    taken.position = part->next;
    taken.done = source_part_done(part, until);
    if (taken.done && part->next < until) {
        part->next = until;
        part->epoch = source->ranges[index].end_epoch; /* it may not be the last record's */
        taken.position = taken.stalled ? taken.position : until;
    }
    if (taken.done && !leave_done(source, part, err)) {
        free_messages(messages, taken.count);
        return false;
    }
    if (!taken.done && taken.count == 0) {
        taken.trouble = part->trouble;
        snprintf(taken.text, sizeof(taken.text), "%s", part->text);
    }
    *taken_out = taken;
    return true;
}
