/* Which partition is read by which consumer.
 *
 *     lanes[0] ──a reading that got nothing──► a fresh lane ──nothing again──► another …
 *        ▲                                        │
 *        └──────── some quiet time later ─────────┘ (source_begin)
 *
 * What a lane prefetched of a partition that leaves it is fetched again. When there would be more
 * than SOURCE_LANES_MAX, the partitions of the oldest beside lanes[0] go into the fresh one, too.
 * A lane without partitions is retired: it reads nothing, but its messages may still be on their
 * way to the outputs, and until they are destroyed it must not end (source_tidy). */
#include "source_state.h"

#include "client_end.h"
#include "log.h"
#include "mem.h"
#include "wait.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum {
    FOLD_MS = 60000,
    ENDING_MAX = 8, /* clients that end on the side */
};

bool source_lanes_open(struct source *source, struct err *err)
{
    if (!source_lane_new(source->config, source->purpose, source->partitions, &source->lanes[0],
                         err)) {
        return false;
    }
    source->lane_count = 1;
    source->fold_ms = FOLD_MS;
    return true;
}

void source_lanes_close(struct source *source)
{
    for (size_t i = 0; i < source->lane_count; i++) {
        source_lane_free(source->lanes[i]);
    }
    for (size_t i = 0; i < source->retired_count; i++) {
        source_lane_free(source->retired[i]);
    }
    free(source->parts);
}

struct source_part *source_lanes_part(struct source *source, const char *topic, int32_t partition)
{
    size_t at;

    if (source_part_find(source->parts, source->part_count, topic, partition, &at)) {
        return source->parts[at];
    }
    source->parts = mem_grow(source->parts, source->part_count + 1, sizeof(source->parts[0]));
    memmove(&source->parts[at + 1], &source->parts[at],
            (source->part_count - at) * sizeof(source->parts[0]));
    source->parts[at] = source_lane_part(source->lanes[0], topic, partition, source->fd);
    source->part_count++;
    return source->parts[at];
}

/* ── moving ──────────────────────────────────────────────────────────────────────────────────── */

static void replace(struct source *source, struct source_part *old, struct source_part *new)
{
    size_t at;
    bool found =
        source_part_find(source->parts, source->part_count, old->topic, old->partition, &at);

    assert(found && source->parts[at] == old);
    (void)found;
    source->parts[at] = new;
    for (size_t i = 0; i < source->range_count; i++) {
        if (source->reading[i] == old) {
            source->reading[i] = new;
        }
    }
}

/* source->parts[at] goes on in another lane, from its next record. */
static void move(struct source *source, size_t at, struct source_lane *lane)
{
    struct source_part *old = source->parts[at];
    struct source_part *new = source_lane_part(lane, old->topic, old->partition, source->fd);
    bool assigned = old->assigned;

    assert(old->lane != lane);
    source_lane_leave(old->lane, old);
    new->next = new->seen = old->next;
    new->epoch = old->epoch;
    new->wanted = old->wanted;
    new->waiting = old->waiting;
    new->tried = old->tried;
    new->turn = old->turn;
    old->waiting = false;
    new->tries = old->tries;
    new->probe = old->probe; /* what it asks is about the log, not about who reads it */
    old->probe = NULL;
    if (assigned) {
        source_lane_expect(lane, new->topic);
        source_lane_enter_compared(lane, new, old->next, old->epoch);
        new->gone_ms = old->gone_ms; /* a fresh consumer doesn't bring a topic back */
    }
    replace(source, old, new);
}

static void move_all(struct source *source, const struct source_lane *from, struct source_lane *to)
{
    for (size_t i = 0; i < source->part_count; i++) {
        if (source->parts[i]->lane == from) {
            move(source, i, to);
        }
    }
}

static bool is_used(const struct source *source, const struct source_lane *lane)
{
    for (size_t i = 0; i < source->part_count; i++) {
        if (source->parts[i]->lane == lane) {
            return true;
        }
    }
    return false;
}

static void set_pace(const struct source *source, const struct source_lane *lane)
{
    static const int WAIT_MS[] = {
        [SOURCE_READING] = 10, [SOURCE_BETWEEN] = 100, [SOURCE_RESTING] = 900};
    int64_t most = source->config->fetch_timeout_ms / 2; /* a reading isn't given up for that */

    client_fetch_wait(lane->client,
                      WAIT_MS[source->pace] < most ? WAIT_MS[source->pace] : (int)most);
}

void source_lanes_pace(struct source *source, enum source_pace pace)
{
    if (source->pace != pace) {
        source->pace = pace;
        for (size_t i = 0; i < source->lane_count; i++) {
            set_pace(source, source->lanes[i]);
        }
    }
}

bool source_lanes_apply(struct source *source, struct err *err)
{
    for (size_t i = 0; i < source->lane_count; i++) {
        if (!source_lane_apply(source->lanes[i], err)) {
            return false;
        }
    }
    return true;
}

/* Takes those that nothing is read through out of the lanes. */
static bool retire_unused(struct source *source, struct err *err)
{
    size_t kept = 0;
    bool fine = true;

    for (size_t i = 0; i < source->lane_count; i++) {
        struct source_lane *lane = source->lanes[i];

        if (is_used(source, lane)) {
            source->lanes[kept++] = lane;
            continue;
        }
        fine = fine && source_lane_apply(lane, err);
        source->retired[source->retired_count++] = lane;
    }
    source->lane_count = kept;
    return fine;
}

bool source_lanes_fold(struct source *source, struct err *err)
{
    size_t most = 0;

    if (source->lane_count == 1 || source->retired_count >= SOURCE_RETIRED_MAX ||
        wait_now_ms() - source->failed_ms < source->fold_ms) {
        return true;
    }
    for (size_t i = 1; i < source->lane_count; i++) {
        most = source->lanes[i]->assigned > source->lanes[most]->assigned ? i : most;
    }
    for (size_t i = 0; i < source->lane_count; i++) {
        if (i != most) {
            move_all(source, source->lanes[i], source->lanes[most]);
        }
    }
    return retire_unused(source, err);
}

/* ── a fresh consumer ────────────────────────────────────────────────────────────────────────── */

bool source_can_retry(const struct source *source)
{
    return source->retired_count < SOURCE_RETIRED_MAX && client_ending() < ENDING_MAX;
}

bool source_retry(struct source *source, const size_t *indexes, size_t count, struct err *err)
{
    struct source_lane *fresh;
    struct err trouble;

    assert(count > 0 && source_can_retry(source));
    source->failed_ms = wait_now_ms();
    if (!source_lane_new(source->config, source->purpose, source->partitions, &fresh, &trouble)) {
        log_warning("no fresh consumer: %s; going on with the one there is", trouble.text);
        return true;
    }
    source->lanes[source->lane_count++] = fresh;
    set_pace(source, fresh);
    for (size_t i = 0; i < count; i++) {
        const struct source_part *part = source->reading[indexes[i]];
        size_t at;
        bool found =
            source_part_find(source->parts, source->part_count, part->topic, part->partition, &at);

        assert(indexes[i] < source->range_count && found);
        (void)found;
        move(source, at, fresh);
    }
    for (size_t i = 0; i < count; i++) {
        source_window_retried(source, indexes[i]);
    }
    if (!retire_unused(source, err)) {
        return false;
    }
    if (source->lane_count > SOURCE_LANES_MAX) {
        move_all(source, source->lanes[1], fresh);
        if (!retire_unused(source, err)) {
            return false;
        }
    }
    return source_lanes_apply(source, err);
}

void source_lanes_retire(struct source *source, struct source_lane *lane)
{
    if (lane != NULL) {
        assert(source->retired_count < SOURCE_RETIRED_MAX + SOURCE_LANES_MAX);
        source->retired[source->retired_count++] = lane;
    }
}

bool source_has_retired(const struct source *source)
{
    return source->retired_count > 0;
}

void source_tidy(struct source *source)
{
    for (size_t i = 0; i < source->retired_count; i++) {
        source_lane_end(source->retired[i]);
    }
    source->retired_count = 0;
    (void)client_ending(); /* lets go of those that have ended */
}
