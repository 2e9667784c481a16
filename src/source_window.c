/* How many partitions are read at the same time: as many as there is memory for.
 *
 *     ranges:  read │ read │ … │ waiting │ waiting │ …
 *                 ▲ done: left    └─► entered
 *
 * A partition that is read may hold what its queue is bounded by and one answer more, however large
 * the records in that, or what they are inflated to: what was found in the queues tells
 * (`held_most`; before anything was, that is what Kafka allows a record by default). When that is
 * more than the partitions' shares, fewer are read at a time, and the others wait for their turn; a
 * range that is done makes room. One that gets nothing (its leader is away) makes room too, once,
 * for one that hasn't been tried in this batch, and each time its reading begins again. */
#include "client_conf.h"
#include "log.h"
#include "source_state.h"
#include "wait.h"

#include <assert.h>

enum {
    ROTATE_MS = 1000,
    LIKELY_BYTES = 1 << 20,
    FORGET = 16, /* after some batches an outlier is forgotten, */
    PERIOD = 2,  /* sooner when much has come since: so many times what all may hold */
};

void source_window_init(struct source *source)
{
    struct client_fetch size = client_fetch_sizes(source->config, source->partitions);

    source->fetch_all = size.all;
    source->held_least = size.queue + size.part;
    source->held_most = source->held_least > LIKELY_BYTES ? source->held_least : LIKELY_BYTES;
}

static size_t room(const struct source *source)
{
    int64_t most = source->fetch_all / source->held_most;

    return most > 1 ? (size_t)most : 1;
}

static size_t assigned(const struct source *source)
{
    size_t count = source_hedge_readers(source->hedge);

    for (size_t i = 0; i < source->lane_count; i++) {
        count += source->lanes[i]->assigned;
    }
    return count;
}

size_t source_window_spare(const struct source *source)
{
    size_t used = assigned(source);

    return room(source) > used ? room(source) - used : 0;
}

static void enter(struct source *source, struct source_part *part)
{
    part->waiting = false;
    part->tried = true;
    source->waiting_count--;
    source_lane_enter_compared(part->lane, part, part->next, part->epoch);
}

/* Who has waited longest comes first. */
static void enter_waiting(struct source *source)
{
    while (source->waiting_count > 0 && assigned(source) < room(source)) {
        struct source_part *first = NULL;

        for (size_t i = 0; i < source->range_count; i++) {
            struct source_part *part = source->reading[i];

            if (part->waiting && (first == NULL || part->turn < first->turn)) {
                first = part;
            }
        }
        assert(first != NULL);
        enter(source, first);
    }
}

static void make_wait(struct source *source, size_t index)
{
    struct source_part *part = source->reading[index];

    source_hedge_stop(source->hedge, index);
    source_idle_end_probe(source, part);
    source_lane_leave(part->lane, part);
    source_part_wait(part, part->next);
    part->turn = ++source->last_turn;
    source->waiting_count++;
}

/* Leaves as many as there are too many: first those that aren't needed now or any more, then the
 * last of the others, but `spared`. */
static void make_room(struct source *source, const struct source_part *spared)
{
    for (size_t i = 0; i < source->part_count && assigned(source) > room(source); i++) {
        struct source_part *part = source->parts[i];

        if (part != spared && part->assigned && !part->wanted) {
            source_lane_leave(part->lane, part);
        }
    }
    for (size_t i = 0; i < source->range_count && assigned(source) > room(source); i++) {
        struct source_part *part = source->reading[i];

        if (part != spared && part->assigned && source_part_done(part, source->ranges[i].until)) {
            source_lane_leave(part->lane, part);
        }
    }
    for (size_t i = source->range_count; i > 0 && assigned(source) > room(source); i--) {
        struct source_part *part = source->reading[i - 1];

        if (part != spared && part->assigned) {
            log_debug("input %s[%d] waits for its turn: there is room for %zu", part->topic,
                      (int)part->partition, room(source));
            make_wait(source, i - 1);
        }
    }
}

/* Of those that are read, but the part, the one that was wanted longest ago is left. */
static bool leave_one(struct source *source, const struct source_part *spared)
{
    size_t at = source->range_count;

    for (size_t i = 0; i < source->range_count; i++) {
        const struct source_part *part = source->reading[i];

        if (part->assigned && part != spared &&
            (at == source->range_count || part->turn < source->reading[at]->turn)) {
            at = i;
        }
    }
    if (at == source->range_count) {
        return false;
    }
    if (source_part_done(source->reading[at], source->ranges[at].until)) {
        source_lane_leave(source->reading[at]->lane, source->reading[at]);
    } else {
        make_wait(source, at);
    }
    return true;
}

bool source_want(struct source *source, size_t index, struct err *err)
{
    struct source_part *part = source->reading[index];

    assert(index < source->range_count);
    part->turn = ++source->last_turn;
    if (!part->waiting) {
        return true;
    }
    while (assigned(source) >= room(source) && leave_one(source, part)) {
    }
    enter(source, part);
    return source_lanes_apply(source, err);
}

void source_window_begin(struct source *source)
{
    source->held_most -= (source->held_most - source->held_least) / FORGET;
    source->waiting_count = 0;
    for (size_t i = 0; i < source->range_count; i++) {
        struct source_part *part = source->reading[i];

        part->tried = part->assigned;
        part->turn = ++source->last_turn;
        source->waiting_count += part->waiting ? 1 : 0;
    }
    for (size_t i = 0; i < source->part_count && source->waiting_count > 0 &&
                       assigned(source) + source->waiting_count > room(source);
         i++) {
        struct source_part *part = source->parts[i];

        if (!part->wanted) {
            source_lane_leave(part->lane, part);
        }
    }
    make_room(source, NULL);
    enter_waiting(source);
}

/* Goes down half-way to the most that was seen of late. */
static void forget(struct source *source)
{
    int64_t lately =
        source->seen_most > source->held_least ? source->seen_most : source->held_least;

    source->held_most -= (source->held_most - lately) / 2;
    source->seen_most = source->seen_bytes = 0;
}

bool source_window_took(struct source *source, struct source_part *part, struct err *err)
{
    source->seen_bytes += part->took;
    source->seen_most = part->took > source->seen_most ? part->took : source->seen_most;
    if (part->took > source->held_most) {
        source->held_most = part->took;
        make_room(source, part);
        return source_lanes_apply(source, err);
    }
    if (source->seen_bytes > PERIOD * source->fetch_all) {
        forget(source);
        if (source->waiting_count > 0) {
            enter_waiting(source);
            return source_lanes_apply(source, err);
        }
    }
    return true;
}

bool source_window_done(struct source *source, struct source_part *part, struct err *err)
{
    if (source->waiting_count == 0) {
        return true;
    }
    if (part->waiting) {
        part->waiting = false; /* an empty range */
        source->waiting_count--;
    }
    source_lane_leave(part->lane, part);
    enter_waiting(source);
    return source_lanes_apply(source, err);
}

bool source_window_idle(struct source *source, size_t index, struct err *err)
{
    const struct source_part *part = source->reading[index];

    if (source->waiting_count == 0 || wait_now_ms() - part->idle_ms < ROTATE_MS) {
        return true;
    }
    for (size_t i = 0; i < source->range_count; i++) {
        struct source_part *next = source->reading[i];

        if (next->waiting && !next->tried) {
            log_debug("input %s[%d] gets nothing and makes room", part->topic,
                      (int)part->partition);
            make_wait(source, index);
            enter(source, next);
            return source_lanes_apply(source, err);
        }
    }
    return true;
}

void source_window_retried(struct source *source, size_t index)
{
    if (source->waiting_count > 0 && source->reading[index]->assigned) {
        make_wait(source, index);
        enter_waiting(source);
    }
}
