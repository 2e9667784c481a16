/* The inputs, read exactly.
 *
 *     source_begin: from == where we are ──► go on with what is kept
 *                   else ──► assign at `from` (again), nothing is kept, when there is room for it
 *     source_take:  kept ─► the partition's queue ─► below `until`: handed out │ beyond it: kept
 *
 * Each partition has a queue of its own (source_part.c), which librdkafka fills ahead within its
 * limits; what nobody takes stays there. A range is done when everything below its end has left the
 * queue and was handed out. */
#include "source_read.h"

#include "log.h"
#include "mem.h"
#include "source_state.h"
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
    DAMAGED_TRIES = 5,
    LEFT_MS = 100, /* librdkafka has stopped fetching what was left */
    LOG_START_MS = 2000,
    FAR_OFFSETS = 2000,  /* a range with more than this to go */
    FAR_BYTES = 4 << 20, /* or with so much, by what records are like */
};

/* ── making and freeing ──────────────────────────────────────────────────────────────────────── */

static bool make(const struct config *config, enum client_purpose purpose, uint32_t partitions,
                 struct source **source_out, struct err *err)
{
    struct source *source = mem_zero(sizeof(*source));

    source->config = config;
    source->purpose = purpose;
    source->partitions = partitions;
    source->stall_ms = SOURCE_STALL_MS;
    source->pace = SOURCE_BETWEEN;
    if (purpose == CLIENT_INPUT && config->fetch_timeout_ms < 2 * SOURCE_STALL_MS) {
        source->stall_ms = config->fetch_timeout_ms / 2; /* before the reading is given up */
    }
    source_window_init(source);
    source->fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (source->fd < 0) {
        err_set(err, ERR_FAILED, errno, "eventfd: %s", strerror(errno));
        free(source);
        return false;
    }
    if (!source_lanes_open(source, err)) {
        close(source->fd);
        free(source);
        return false;
    }
    if (purpose == CLIENT_INPUT && config->speculation.enabled) {
        source->hedge = source_hedge_new(config, purpose, partitions, source->fd);
    }
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

void source_expect(struct source *source, const char *topic)
{
    source_lane_expect(source->lanes[0], topic);
}

static void end_probes(struct source *source)
{
    for (size_t i = 0; i < source->part_count && source->probe_count > 0; i++) {
        source_idle_end_probe(source, source->parts[i]);
    }
}

void source_free(struct source *source)
{
    if (source == NULL) {
        return;
    }
    end_probes(source);
    source_hedge_free(source->hedge);
    source_lanes_close(source);
    close(source->fd);
    free(source->reading);
    free(source);
}

int source_fd(const struct source *source)
{
    return source->fd;
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
    return far > FAR_OFFSETS || far * source->record_bytes > FAR_BYTES ? far / 8 : -1;
}

static void leave_part(struct source_part *part)
{
    log_debug("input %s[%" PRId32 "] has little to give behind %" PRId64 " and is left",
              part->topic, part->partition, part->next);
    source_lane_leave(part->lane, part);
}

/* Those that aren't read in this batch. */
static void leave_unwanted(struct source *source)
{
    int64_t near = little(source);

    for (size_t i = 0; near >= 0 && i < source->part_count; i++) {
        struct source_part *part = source->parts[i];

        if (part->assigned && !part->wanted && source_part_near_end(part, near)) {
            leave_part(part);
        }
    }
}

/* One whose range is done. */
static bool leave_done(struct source *source, struct source_part *part, struct err *err)
{
    int64_t near = little(source);

    if (source->waiting_count > 0) {
        return source_window_done(source, part, err);
    }
    if (near < 0 || !part->assigned || !source_part_near_end(part, near)) {
        return true;
    }
    leave_part(part);
    return source_lane_apply(part->lane, err);
}

/* ── a batch begins, or goes on elsewhere ────────────────────────────────────────────────────── */

bool source_begin(struct source *source, const struct definition *definition,
                  const struct range *ranges, size_t count, struct err *err)
{
    end_probes(source);
    if (!source_lanes_fold(source, err)) {
        return false;
    }
    source_lanes_pace(source, SOURCE_READING);
    source->ranges = ranges;
    source->range_count = count;
    source->reading = mem_grow(source->reading, count, sizeof(source->reading[0]));
    source_lanes_retire(source, source_hedge_begin(source->hedge, ranges, count,
                                                   source->retired_count < SOURCE_RETIRED_MAX));
    for (size_t i = 0; i < source->part_count; i++) {
        source->parts[i]->wanted = source->parts[i]->waiting = false;
    }
    for (size_t i = 0; i < count; i++) {
        const struct range *range = &ranges[i];
        struct source_part *part =
            source_lanes_part(source, definition->inputs[range->input].topic, range->partition);

        assert(range->from >= 0 && range->until >= range->from);
        if (!part->assigned || part->next != range->from || part->trouble != SOURCE_FINE) {
            source_lane_leave(part->lane, part);
            source_part_wait(part, range->from);
            part->tries = part->diverged = 0;
        }
        part->epoch = range->leader_epoch;
        part->idle_ms = 0;
        part->wanted = true;
        source->reading[i] = part;
    }
    leave_unwanted(source);
    source_window_begin(source);
    return source_lanes_apply(source, err);
}

void source_batch_read(struct source *source)
{
    if (source->config->batch_interval_ms > 0) { /* else the next one reads at once */
        source_lanes_pace(source, SOURCE_BETWEEN);
    }
}

static bool is_assigned(const struct source *source, const struct source_place *place)
{
    size_t at;

    return source_part_find(source->parts, source->part_count, place->topic, place->partition,
                            &at) &&
           source->parts[at]->assigned;
}

bool source_rest(struct source *source, const struct source_place *places, size_t count,
                 struct err *err)
{
    size_t left = 0;

    for (size_t i = 0; i < count; i++) {
        left += is_assigned(source, &places[i]) ? 0 : 1;
    }
    if (left > source_window_spare(source)) { /* who is entered next must not wait long */
        source_lanes_pace(source, SOURCE_BETWEEN);
        return true;
    }
    for (size_t i = 0; i < count; i++) {
        const struct source_place *place = &places[i];
        struct source_part *part = source_lanes_part(source, place->topic, place->partition);

        if (!part->assigned) {
            source_lane_enter_compared(part->lane, part, place->offset, place->leader_epoch);
        }
    }
    if (!source_lanes_apply(source, err)) {
        return false;
    }
    source_lanes_pace(source, SOURCE_RESTING);
    return true;
}

bool source_rests(const struct source *source)
{
    return source->pace == SOURCE_RESTING;
}

static bool enter_again(struct source_part *part, int64_t offset, struct err *err)
{
    source_lane_enter(part->lane, part, offset, part->epoch);
    return source_lane_apply(part->lane, err);
}

bool source_skip(struct source *source, size_t index, int64_t offset, struct err *err)
{
    struct source_part *part = source->reading[index];

    assert(index < source->range_count && offset >= part->next);
    source_hedge_stop(source->hedge, index);
    if (offset > part->next) {
        part->epoch = -1; /* that of a record which was skipped */
    }
    if (part->waiting) {
        source_part_wait(part, offset);
        return true;
    }
    if (part->trouble != SOURCE_FINE || offset > part->seen) {
        return enter_again(part, offset, err);
    }
    source_part_skip(part, offset);
    return true;
}

int64_t source_position(const struct source *source, size_t index)
{
    assert(index < source->range_count);
    return source->reading[index]->next;
}

bool source_is_still(const struct source *source, size_t count)
{
    bool still = source_rests(source) && source->part_count == count;

    for (size_t i = 0; still && i < count; i++) {
        still = source->parts[i]->assigned && source_part_near_end(source->parts[i], 0);
    }
    return still;
}

int source_wait_ms(const struct source *source, int most)
{
    return source_hedge_wait_ms(source->hedge, most);
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
    if (rd_kafka_query_watermark_offsets(part->client, part->topic, part->partition, &low, &high,
                                         LOG_START_MS) != RD_KAFKA_RESP_ERR_NO_ERROR) {
        return -1;
    }
    return low;
}

/* What couldn't be decoded is fetched again, and when that doesn't help it is the end. */
static bool fetch_again(struct source_part *part, struct err *err)
{
    if (++part->tries > DAMAGED_TRIES) {
        return err_set(err, ERR_DECISION, 0,
                       "%s[%" PRId32 "]: what comes from offset %" PRId64 " on can't be read: %s",
                       part->topic, part->partition, part->next, part->text);
    }
    log_warning("%s[%" PRId32 "] from offset %" PRId64 ": %s; fetching it again", part->topic,
                part->partition, part->next, part->text);
    return enter_again(part, part->next, err);
}

/* It is said that the log has diverged, or it can't be told. First compares by what stands there;
 * when that doesn't tell, asks the leader. It answers for this place only when the partition is
 * entered some time after it was left. */
static bool compare(struct source_part *part, struct err *err)
{
    if (part->trouble == SOURCE_TRUNCATED && part->diverged < DIVERGED_SURE - 1) {
        part->diverged++;
        log_debug("input %s[%" PRId32 "]: %s; comparing", part->topic, part->partition, part->text);
        source_lane_enter_compared(part->lane, part, part->next, part->epoch);
        return source_lane_apply(part->lane, err);
    }
    if (part->doubt && part->assigned) {
        log_debug("input %s[%" PRId32 "]: no record before offset %" PRId64
                  " to compare leader epochs with; asking the leader",
                  part->topic, part->partition, part->next);
        part->left_ms = wait_now_ms();
        source_lane_leave(part->lane, part);
        return source_lane_apply(part->lane, err);
    }
    if (!part->assigned && (!part->doubt || wait_now_ms() - part->left_ms >= LEFT_MS)) {
        return enter_again(part, part->next, err);
    }
    return true;
}

/* ── taking ──────────────────────────────────────────────────────────────────────────────────── */

static void free_messages(rd_kafka_message_t **messages, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        rd_kafka_message_destroy(messages[i]);
    }
}

static void note_size(struct source *source, const struct source_part *part)
{
    if (part->took_count > 0) {
        int64_t bytes = part->took / (int64_t)part->took_count;

        source->record_bytes += (bytes - source->record_bytes) / 4;
    }
}

bool source_take(struct source *source, size_t index, rd_kafka_message_t **messages, size_t max,
                 struct source_taken *taken_out, struct err *err)
{
    struct source_taken taken = {.count = 0};
    struct source_part *part = source->reading[index];
    int64_t until = source->ranges[index].until;
    int64_t next = part->next;
    bool again = false;

    assert(index < source->range_count && max > 0);
    if (!source_hedge_take(source->hedge, index, part, source->fd, until, messages, max,
                           &taken.count, &again, err)) {
        return false;
    }
    note_size(source, part);
    if (part->next > next) {
        part->tries = part->diverged = part->found = 0;
        source_idle_end_probe(source, part); /* it isn't stuck */
    }
    if (!source_window_took(source, part, err) || (again && !fetch_again(part, err)) ||
        (!source_part_done(part, until) && !part->waiting && !compare(part, err))) {
        free_messages(messages, taken.count);
        return false;
    }
    if (taken.count == 0 && !source_part_done(part, until) && part->trouble == SOURCE_FINE &&
        !part->waiting && !source_idle_look(source, index, &taken, err)) {
        return false;
    }
    taken.position = part->next;
    taken.done = source_part_done(part, until);
    if (taken.done && part->next < until) {
        part->next = until;
        part->epoch = source->ranges[index].end_epoch; /* it may not be the last record's */
        taken.position = taken.stalled ? taken.position : until;
    }
    if (!source_hedge_note(source->hedge, index, source->reading, taken.count > 0, taken.done,
                           source_window_spare(source), err) ||
        (taken.done && !leave_done(source, part, err))) {
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
