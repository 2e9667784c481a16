/* A lane: one consumer, and the partitions that are read through it.
 *
 * A part stays with its lane when it is left, because librdkafka's position of a partition that is
 * assigned once more is the old one for a while (source_part.c): whoever forgets that it was read
 * here before would believe it. */
#include "source_lane.h"

#include "client_end.h"
#include "log.h"
#include "mem.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* ── making and ending ───────────────────────────────────────────────────────────────────────── */

bool source_lane_new(const struct config *config, enum client_purpose purpose, uint32_t partitions,
                     struct source_lane **lane_out, struct err *err)
{
    struct client_options options = {.purpose = purpose, .partitions = partitions};
    struct source_lane *lane = mem_zero(sizeof(*lane));

    if (!client_new(config, &options, &lane->client, err)) {
        free(lane);
        return false;
    }
    rd_kafka_poll_set_consumer(lane->client);
    lane->leave = rd_kafka_topic_partition_list_new(0);
    lane->enter = rd_kafka_topic_partition_list_new(0);
    *lane_out = lane;
    return true;
}

/* Everything but the client, which doesn't end before all that was taken from it is gone. */
static rd_kafka_t *strip(struct source_lane *lane)
{
    rd_kafka_t *client = lane->client;

    for (size_t i = 0; i < lane->part_count; i++) {
        source_part_free(lane->parts[i]);
    }
    for (size_t i = 0; i < lane->topic_count; i++) {
        rd_kafka_topic_destroy(lane->topics[i]);
    }
    rd_kafka_topic_partition_list_destroy(lane->leave);
    rd_kafka_topic_partition_list_destroy(lane->enter);
    free(lane->parts);
    free(lane->topics);
    free(lane);
    return client;
}

void source_lane_free(struct source_lane *lane)
{
    if (lane != NULL) {
        client_free(strip(lane), "ending a consumer");
    }
}

void source_lane_end(struct source_lane *lane)
{
    client_end(strip(lane));
}

void source_lane_expect(struct source_lane *lane, const char *topic)
{
    rd_kafka_topic_t *handle;

    for (size_t i = 0; i < lane->topic_count; i++) {
        if (strcmp(rd_kafka_topic_name(lane->topics[i]), topic) == 0) {
            return;
        }
    }
    handle = rd_kafka_topic_new(lane->client, topic, NULL);
    if (handle != NULL) {
        lane->topics = mem_grow(lane->topics, lane->topic_count + 1, sizeof(lane->topics[0]));
        lane->topics[lane->topic_count++] = handle;
    }
}

/* ── its partitions ──────────────────────────────────────────────────────────────────────────── */

struct source_part *source_lane_part(struct source_lane *lane, const char *topic, int32_t partition,
                                     int fd)
{
    struct source_part *part;
    size_t at;

    if (source_part_find(lane->parts, lane->part_count, topic, partition, &at)) {
        return lane->parts[at];
    }
    part = source_part_new(lane, topic, partition, fd);
    lane->parts = mem_grow(lane->parts, lane->part_count + 1, sizeof(lane->parts[0]));
    memmove(&lane->parts[at + 1], &lane->parts[at],
            (lane->part_count - at) * sizeof(lane->parts[0]));
    lane->parts[at] = part;
    lane->part_count++;
    return part;
}

void source_lane_enter(struct source_lane *lane, struct source_part *part, int64_t offset,
                       int32_t epoch)
{
    rd_kafka_topic_partition_t *enter;

    source_lane_leave(lane, part);
    enter = rd_kafka_topic_partition_list_add(lane->enter, part->topic, part->partition);
    enter->offset = offset;
    rd_kafka_topic_partition_set_leader_epoch(enter, epoch);
    source_part_restart(part, offset);
    lane->assigned++;
}

void source_lane_enter_compared(struct source_lane *lane, struct source_part *part, int64_t offset,
                                int32_t epoch)
{
    if (offset == 0 || epoch < 0) {
        source_lane_enter(lane, part, offset, epoch);
        return;
    }
    source_lane_enter(lane, part, offset - 1, -1);
    source_part_overtaken(part, offset, offset - 1, epoch);
}

void source_lane_leave(struct source_lane *lane, struct source_part *part)
{
    if (!part->assigned) {
        return;
    }
    /* Entered since the last apply: then the client knows nothing of it. */
    if (!rd_kafka_topic_partition_list_del(lane->enter, part->topic, part->partition)) {
        rd_kafka_topic_partition_list_add(lane->leave, part->topic, part->partition);
    }
    source_part_leave(part);
    lane->assigned--;
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
static bool check_epochs(struct source_lane *lane, struct err *err)
{
    rd_kafka_topic_partition_list_t *known = rd_kafka_topic_partition_list_new(lane->enter->cnt);
    bool fine = true;

    for (int i = 0; i < lane->enter->cnt; i++) {
        const rd_kafka_topic_partition_t *from = &lane->enter->elems[i];
        int32_t epoch = rd_kafka_topic_partition_get_leader_epoch(from);

        if (epoch >= 0) {
            rd_kafka_topic_partition_t *to =
                rd_kafka_topic_partition_list_add(known, from->topic, from->partition);

            to->offset = from->offset;
            rd_kafka_topic_partition_set_leader_epoch(to, epoch);
        }
    }
    if (known->cnt > 0) {
        fine = check(rd_kafka_seek_partitions(lane->client, known, 0),
                     "comparing leader epochs of input partitions", err);
    }
    rd_kafka_topic_partition_list_destroy(known);
    return fine;
}

static void empty_list(rd_kafka_topic_partition_list_t *list)
{
    while (list->cnt > 0) {
        rd_kafka_topic_partition_list_del_by_idx(list, list->cnt - 1);
    }
}

static void renew_queues(struct source_lane *lane)
{
    for (int i = 0; i < lane->enter->cnt; i++) {
        const rd_kafka_topic_partition_t *enter = &lane->enter->elems[i];
        size_t at;
        bool found =
            source_part_find(lane->parts, lane->part_count, enter->topic, enter->partition, &at);

        assert(found);
        (void)found;
        source_part_renew_queue(lane->parts[at]);
    }
}

bool source_lane_apply(struct source_lane *lane, struct err *err)
{
    bool fine = true;

    if (lane->leave->cnt > 0) {
        fine = check(rd_kafka_incremental_unassign(lane->client, lane->leave),
                     "leaving input partitions", err);
    }
    if (fine && lane->enter->cnt > 0) {
        renew_queues(lane);
        fine = check(rd_kafka_incremental_assign(lane->client, lane->enter),
                     "entering input partitions", err) &&
               check_epochs(lane, err);
    }
    empty_list(lane->leave);
    empty_list(lane->enter);
    return fine;
}

void source_lane_poll(struct source_lane *lane)
{
    rd_kafka_message_t *message;

    while ((message = rd_kafka_consumer_poll(lane->client, 0)) != NULL) {
        /* A record here isn't in its partition's queue: going on would lose it. */
        assert(message->err != RD_KAFKA_RESP_ERR_NO_ERROR);
        log_debug("consumer of the inputs: %s", rd_kafka_message_errstr(message));
        rd_kafka_message_destroy(message);
    }
}
