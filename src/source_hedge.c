/* Second readers for ranges that are slow.
 *
 *     first reader ──► records? ──► handed out; the second is overtaken
 *                         │ none
 *     second reader ─► records? ──► handed out; the first is overtaken
 *
 * An overtaken part's `next` and `seen` are where the other is: what it brings from below is
 * dropped (source_part.c). So whoever finishes the range, the first reader's part says that it
 * is done, and from where the next batch goes on. */
#include "source_hedge.h"

#include "log.h"
#include "mem.h"
#include "source_lane.h"
#include "speculation.h"
#include "wait.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* So many records of a range would a first reader bring in vain: it goes on behind the range at
 * once. For fewer that isn't worth the answer that is on its way to it. */
enum { FAR_BEHIND = 10000 };

/* A range can take long because it is the largest: then its reader brings records all the time, and
 * a second one would only fetch them twice. It ends when the first has brought so many, and it less
 * than half of that. */
enum { NO_USE = 1000 };

enum { POLL_EVERY_MS = 100 };

struct hedge_task {
    struct speculation_clock clock;
    bool finished;
    bool hedged;
    bool second_done;           /* by the second reader, before the first */
    struct source_part *second; /* NULL = none now; of the lane */
    int64_t from;
    uint64_t first_count, second_count; /* records that each has brought since */
};

struct source_hedge {
    const struct config *config;
    enum client_purpose purpose;
    uint32_t partitions;
    int fd;
    struct source_lane *lane; /* NULL until a range is slow */
    bool used, helped;        /* in this batch: it had a partition; it brought something */
    const struct range *ranges;
    struct hedge_task *tasks; /* beside the ranges */
    struct speculation_task *judged;
    size_t *slow;
    size_t count, finished;
    size_t readers;
    int64_t look_ms, polled_ms;
    int64_t starved_ms; /* when one of the ranges was last asked in vain */
    bool begun; /* a second reader's queue may hold what is outdated: look into it before waiting */
};

struct source_hedge *source_hedge_new(const struct config *config, enum client_purpose purpose,
                                      uint32_t partitions, int fd)
{
    struct source_hedge *hedge = mem_zero(sizeof(*hedge));

    hedge->config = config;
    hedge->purpose = purpose;
    hedge->partitions = partitions;
    hedge->fd = fd;
    return hedge;
}

void source_hedge_free(struct source_hedge *hedge)
{
    if (hedge == NULL) {
        return;
    }
    source_lane_free(hedge->lane);
    free(hedge->tasks);
    free(hedge->judged);
    free(hedge->slow);
    free(hedge);
}

static void apply(struct source_lane *lane)
{
    struct err err;

    if (!source_lane_apply(lane, &err)) {
        log_warning("second consumer of the inputs: %s", err.text);
    }
}

/* ── beginning and ending ────────────────────────────────────────────────────────────────────── */

static void end_second(struct source_hedge *hedge, size_t index, const char *how)
{
    struct hedge_task *task = &hedge->tasks[index];
    struct source_part *second = task->second;

    if (second == NULL) {
        return;
    }
    log_info("input %s[%" PRId32 "] was slow: waited %" PRId64 " ms; from offset %" PRId64
             " on a second consumer brought %" PRIu64 " records and the first %" PRIu64 " (%s)",
             second->topic, second->partition, task->clock.run_ms, task->from, task->second_count,
             task->first_count, how);
    hedge->helped |= task->second_count > 0;
    task->second = NULL;
    hedge->readers--;
    hedge->begun = false;
    source_lane_leave(hedge->lane, second);
    apply(hedge->lane);
}

void source_hedge_stop(struct source_hedge *hedge, size_t index)
{
    if (hedge != NULL) {
        end_second(hedge, index, "stopped");
    }
}

struct source_lane *source_hedge_begin(struct source_hedge *hedge, const struct range *ranges,
                                       size_t count, bool give_back)
{
    int64_t now_ms = wait_now_ms();
    struct source_lane *useless = NULL;

    if (hedge == NULL) {
        return NULL;
    }
    for (size_t i = 0; i < hedge->count; i++) {
        end_second(hedge, i, "the batch ended");
    }
    if (give_back && hedge->used && !hedge->helped) {
        useless = hedge->lane;
        hedge->lane = NULL;
    }
    hedge->used = hedge->helped = false;
    hedge->ranges = ranges;
    hedge->count = count;
    hedge->finished = 0;
    hedge->tasks = mem_grow(hedge->tasks, count, sizeof(hedge->tasks[0]));
    hedge->judged = mem_grow(hedge->judged, count, sizeof(hedge->judged[0]));
    hedge->slow = mem_grow(hedge->slow, count, sizeof(hedge->slow[0]));
    for (size_t i = 0; i < count; i++) {
        hedge->tasks[i] = (struct hedge_task){.finished = false};
        speculation_clock_reset(&hedge->tasks[i].clock, now_ms);
    }
    /* Nobody can be slow sooner. */
    hedge->look_ms = now_ms + hedge->config->speculation.min_runtime_ms + 1;
    return useless;
}

/* Events of the lane's client. */
static void poll_lane(struct source_hedge *hedge, int64_t now_ms)
{
    if (hedge->lane != NULL && now_ms - hedge->polled_ms >= POLL_EVERY_MS) {
        hedge->polled_ms = now_ms;
        source_lane_poll(hedge->lane);
    }
}

/* ── who is slow ─────────────────────────────────────────────────────────────────────────────── */

static bool make_lane(struct source_hedge *hedge)
{
    struct err err;

    if (hedge->lane == NULL &&
        !source_lane_new(hedge->config, hedge->purpose, hedge->partitions, &hedge->lane, &err)) {
        log_warning("no second consumer of the inputs: %s", err.text);
        hedge->lane = NULL;
        return false;
    }
    hedge->used = true;
    return true;
}

static void begin_second(struct source_hedge *hedge, size_t index, const struct source_part *first)
{
    struct hedge_task *task = &hedge->tasks[index];

    source_lane_expect(hedge->lane, first->topic);
    task->second = source_lane_part(hedge->lane, first->topic, first->partition, hedge->fd);
    task->hedged = true;
    hedge->readers++;
    task->from = first->next;
    source_lane_enter_compared(hedge->lane, task->second, first->next, first->epoch);
    log_debug("input %s[%" PRId32 "] is slow: a second consumer reads on from offset %" PRId64,
              first->topic, first->partition, first->next);
}

/* Makes room for one more second reader: what a range that is done has prefetched is fetched again
 * with the next batch. */
static bool make_room(const struct source_hedge *hedge, struct source_part *const *readers,
                      struct err *err)
{
    for (size_t i = 0; i < hedge->count; i++) {
        if (hedge->tasks[i].finished && readers[i]->assigned) {
            source_lane_leave(readers[i]->lane, readers[i]);
            return source_lane_apply(readers[i]->lane, err);
        }
    }
    return err_set(err, ERR_TEMPORARY, 0, "there is no memory for another reader");
}

static void look(struct source_hedge *hedge, struct source_part *const *readers, size_t spare)
{
    const struct speculation_settings *settings = &hedge->config->speculation;
    int64_t now_ms = wait_now_ms();
    size_t slow;
    struct err err;

    if (hedge->finished == 0 || now_ms < hedge->look_ms) {
        return;
    }
    hedge->look_ms = now_ms + settings->interval_ms;
    for (size_t i = 0; i < hedge->count; i++) {
        const struct hedge_task *task = &hedge->tasks[i];

        hedge->judged[i] = (struct speculation_task){
            .finished = task->finished, .hedged = task->hedged, .run_ms = task->clock.run_ms};
    }
    slow = speculation_slow(settings, hedge->judged, hedge->count, hedge->slow);
    if (slow == 0 || !make_lane(hedge)) {
        return;
    }
    for (size_t i = 0; i < slow; i++) {
        const struct source_part *first = readers[hedge->slow[i]];

        if (first->trouble != SOURCE_FINE) {
            continue;
        }
        if (spare == 0 && !make_room(hedge, readers, &err)) {
            log_debug("no second consumer for input %s[%" PRId32 "]: %s", first->topic,
                      first->partition, err.text);
            break;
        }
        spare -= spare > 0 ? 1 : 0;
        begin_second(hedge, hedge->slow[i], first);
    }
    apply(hedge->lane);
    hedge->begun = true;
}

size_t source_hedge_readers(const struct source_hedge *hedge)
{
    return hedge != NULL ? hedge->readers : 0;
}

int source_hedge_wait_ms(const struct source_hedge *hedge, int most)
{
    int64_t now_ms = wait_now_ms();
    int64_t left_ms;

    if (hedge == NULL) {
        return most;
    }
    if (hedge->begun) {
        return 0;
    }
    /* When nothing is asked for, as the output is full, nobody is slow. */
    if (hedge->finished == 0 || hedge->finished == hedge->count ||
        now_ms - hedge->starved_ms >= POLL_EVERY_MS) {
        return most;
    }
    left_ms = hedge->look_ms - now_ms;
    return left_ms >= most ? most : left_ms > 0 ? (int)left_ms : 0;
}

/* ── taking ──────────────────────────────────────────────────────────────────────────────────── */

static void overtake(struct source_part *part, const struct source_part *by,
                     rd_kafka_message_t *const *messages, size_t count)
{
    source_part_overtaken(part, by->next, messages[count - 1]->offset, by->epoch);
}

/* What the second reader has that goes on where the first one stands. */
static size_t take_second(struct source_hedge *hedge, size_t index, struct source_part *first,
                          rd_kafka_message_t **messages, size_t max)
{
    struct hedge_task *task = &hedge->tasks[index];
    struct source_part *second = task->second;
    int64_t until = hedge->ranges[index].until;
    size_t count = 0;
    bool again = false;
    struct err err = {.kind = ERR_NONE};

    hedge->begun = false;
    if (!source_part_take(second, hedge->fd, until, messages, max, &count, &again, &err)) {
        end_second(hedge, index, err.text);
        return 0;
    }
    if (second->took > first->took) {
        first->took = second->took; /* it tells how much memory a reader needs */
        first->took_count = second->took_count;
    }
    if (count > 0) {
        task->second_count += count;
        overtake(first, second, messages, count);
    } else {
        source_part_look(second);
    }
    if (again || second->doubt || second->trouble != SOURCE_FINE) {
        end_second(hedge, index, second->doubt ? "leader epochs can't be compared" : second->text);
    } else if (source_part_done(second, until)) {
        first->seen = until;
        task->second_done = true;
    }
    return count;
}

bool source_hedge_take(struct source_hedge *hedge, size_t index, struct source_part *first, int fd,
                       int64_t until, rd_kafka_message_t **messages, size_t max, size_t *count_out,
                       bool *again_out, struct err *err)
{
    struct hedge_task *task = hedge != NULL ? &hedge->tasks[index] : NULL;

    if (!source_part_take(first, fd, until, messages, max, count_out, again_out, err)) {
        return false;
    }
    if (task == NULL || task->second == NULL || *again_out || first->trouble == SOURCE_TRUNCATED) {
        return true;
    }
    if (*count_out > 0) {
        task->first_count += *count_out;
        overtake(task->second, first, messages, *count_out);
        if (task->first_count >= NO_USE && task->second_count < task->first_count / 2) {
            end_second(hedge, index, "the first isn't slow now");
            hedge->helped = true; /* it hadn't had a chance */
        }
    } else if (!first->doubt && !source_part_done(first, until)) {
        *count_out = take_second(hedge, index, first, messages, max);
    }
    return true;
}

/* ── noting ──────────────────────────────────────────────────────────────────────────────────── */

static bool finish(struct source_hedge *hedge, size_t index, struct source_part *first,
                   struct err *err)
{
    struct hedge_task *task = &hedge->tasks[index];

    task->finished = true;
    hedge->finished++;
    end_second(hedge, index, task->second_done ? "it was faster" : "the first was faster");
    if (!task->second_done) {
        return true;
    }
    if (!first->assigned || task->second_count < FAR_BEHIND) {
        return true; /* what it brings of this range is dropped, and what is behind it is not */
    }
    source_lane_enter_compared(first->lane, first, first->next, first->epoch);
    return source_lane_apply(first->lane, err);
}

bool source_hedge_note(struct source_hedge *hedge, size_t index, struct source_part *const *readers,
                       bool had_some, bool done, size_t spare, struct err *err)
{
    int64_t now_ms = wait_now_ms();
    struct hedge_task *task;

    if (hedge == NULL) {
        return true;
    }
    task = &hedge->tasks[index];
    poll_lane(hedge, now_ms);
    if (task->finished) {
        return true; /* asked once more */
    }
    /* One that waits for its turn is not waited for. */
    speculation_clock_asked(&task->clock, had_some || done || readers[index]->waiting, now_ms);
    if (done) {
        return finish(hedge, index, readers[index], err);
    }
    if (!had_some && !readers[index]->waiting) {
        hedge->starved_ms = now_ms;
        look(hedge, readers, spare);
    }
    return true;
}
