/* A batch's records, from the source through the pipeline to the sink.
 *
 *     source_take → hand → relay_record → sink_add ⇒ … acknowledgement → delivered, outputs
 *
 * The hand holds what was taken from one range; ranges take turns. Nothing waits for a single
 * record but these: the first record of an output partition after a recovery (R5), and the suspects
 * of a request that was refused for content (rule C1). They travel alone: added, flushed and
 * acknowledged before anything else is taken.
 *
 * A batch that was planned by the settlement before it may be handed over while the disk still
 * writes that (R0):
 *
 *     committed ahead ─► held by the sink, which takes records ─► on the disk ─► they go out, the
 *                                 └ it can't be written: the process ends     mark may begin (O2)
 *
 * What can go wrong: the sink breaks (ERR_PRODUCER: the caller recovers), a record is refused
 * (bad_record.c), a range can't be read on (retention or truncation: judged here), the ledger can't
 * be written, a stop is forced. */
#include "deliver.h"

#include "deliver_record.h"
#include "deliver_slice.h"
#include "deliver_tasks.h"
#include "failpoint.h"
#include "job_state.h"
#include "kafka_client.h"
#include "log.h"
#include "mem.h"
#include "recover.h"
#include "recover_mark.h"
#include "source_ends.h"

#include <assert.h>
#include <inttypes.h>
#include "plan_ends.h"
#include <stdlib.h>
#include <string.h>

enum { FLUSH_MS = 20, FULL_WAIT_MS = 20 };

static void origin(void *arg, const void *cookie, struct sink_origin *origin_out)
{
    struct job *job = arg;

    relay_origin(job->relay, cookie, origin_out);
}

static void release(void *arg, void *cookie)
{
    struct job *job = arg;

    if (cookie == job->kept) {
        job->kept = NULL; /* its sender goes on with it */
    } else {
        rd_kafka_message_destroy(cookie);
    }
}

bool deliver_make_sink(struct job *job, bool transactional, struct err *err)
{
    const struct definition *definition =
        job->state == PROTOCOL_IDLE ? &job->definition : &job->batch.definition;
    struct sink_options options = {
        .config = job->config,
        .outputs = &job->outputs,
        .batch_bytes_max = 0,
        .transactional = transactional,
    };

    assert(job->sink == NULL);
    for (size_t i = 0; i < definition->output_count; i++) {
        const struct topic_fact *fact = topic_facts_find(job->facts, definition->outputs[i].topic);

        if (fact != NULL && fact->max_message_bytes > 0 &&
            (options.batch_bytes_max == 0 ||
             (size_t)fact->max_message_bytes < options.batch_bytes_max)) {
            options.batch_bytes_max = (size_t)fact->max_message_bytes;
        }
    }
    return sink_new(&options, &job->sink, err);
}

/* Below what is returned the range is delivered. A record that was put aside goes elsewhere than
 * those behind it, and may be missing where they are there. */
static int64_t lowest_missing(const struct job *job, size_t range)
{
    const struct batch *batch = &job->batch;
    size_t first;
    size_t reach;
    int64_t lowest;

    relay_reach(job->relay, range, &first, &reach);
    if (job_by_mark(job)) {
        return delivered_prefix(&job->delivered, range, batch->ranges[range].from);
    }
    lowest = delivered_lowest(&job->delivered, range, first, reach, batch->ranges[range].from);
    for (size_t i = 0; i < batch->set_aside_count; i++) {
        const struct set_aside_mark *mark = &batch->set_aside[i];
        int64_t place = outputs_find(&job->outputs, mark->error_topic, mark->error_partition);

        if (mark->range == range && mark->offset < lowest &&
            !delivered_has(&job->delivered, range, (size_t)place, mark->offset, 0)) {
            lowest = mark->offset;
        }
    }
    return lowest;
}

/* Which ranges are still to be read, and from where: below the lowest offset that may be missing
 * everything is there. */
static void plan_reading(struct job *job)
{
    const struct batch *batch = &job->batch;
    size_t count = 0;

    job->reads = mem_array(batch->range_count, sizeof(*job->reads));
    job->read_range = mem_array(batch->range_count, sizeof(*job->read_range));
    job->read_done = mem_array(batch->range_count, sizeof(*job->read_done));
    job->epochs = mem_array(batch->range_count, sizeof(*job->epochs));
    job->positions = mem_array(batch->range_count, sizeof(*job->positions));
    for (size_t i = 0; i < batch->range_count; i++) {
        struct range read = batch->ranges[i];
        int64_t lowest = lowest_missing(job, i);

        if (lowest > read.from) {
            read.from = lowest < read.until ? lowest : read.until;
            read.leader_epoch = -1; /* that of another record */
        }
        job->epochs[i] = read.leader_epoch;
        job->positions[i] = read.from;
        if (read.from < read.until) {
            job->reads[count] = read;
            job->read_range[count++] = i;
        }
    }
    job->read_count = count;
}

static bool connect_sink(struct job *job, struct err *err)
{
    struct sink_owner owner = {.origin = origin, .release = release, .arg = job};

    if (job->sink == NULL && !deliver_make_sink(job, false, err)) {
        return false;
    }
    sink_batch(job->sink, &job->delivered, &owner);
    return true;
}

bool deliver_replace_sink(struct job *job, struct err *err)
{
    sink_free(job->sink);
    job->sink = NULL;
    return connect_sink(job, err);
}

bool deliver_begin(struct job *job, struct err *err)
{
    if (job_by_mark(job) && !recover_mark_ready(job, err)) {
        return false; /* another producer has another incarnation: before the headers are made */
    }
    job->relay =
        relay_new(&job->batch, &job->outputs, job->job_hash, job->identity.uuid, job->incarnation);
    plan_reading(job);
    deliver_tasks_begin(job);
    if (job->hand.messages == NULL) {
        job->hand.messages =
            mem_array((size_t)job->config->fetch_max_records, sizeof(rd_kafka_message_t *));
    }
    job->checkpoint_ms = clock_now_ms(&job->clock);
    job->sent = 0;
    if (!connect_sink(job, err)) {
        return false;
    }
    if (job->unsynced) {
        sink_hold(job->sink);
    }
    return source_begin(job->source, &job->batch.definition, job->reads, job->read_count, err);
}

void deliver_end(struct job *job)
{
    if (job->hand.made && job->hand.record.headers != NULL) {
        rd_kafka_headers_destroy(job->hand.record.headers);
    }
    for (; job->hand.at < job->hand.count; job->hand.at++) {
        rd_kafka_message_destroy(job->hand.messages[job->hand.at]);
    }
    job->hand = (struct hand){.messages = job->hand.messages};
    relay_free(job->relay);
    job->relay = NULL;
    deliver_tasks_end(job);
    free(job->reads);
    free(job->read_range);
    free(job->read_done);
    free(job->epochs);
    free(job->positions);
    job->reads = NULL;
    job->read_range = NULL;
    job->read_done = NULL;
    job->epochs = NULL;
    job->positions = NULL;
    job->read_count = 0;
}

/* ---- reading ---- */

static bool note_lost(struct job *job, const char *topic, int32_t partition, int64_t from,
                      int64_t until, struct err *err)
{
    log_warning("input '%s'[%d]: offsets %" PRId64 " to %" PRId64
                " are lost to retention; going on behind them (on.data.loss=continue)",
                topic, (int)partition, from, until - 1);
    return ledger_event(job->ledger, EVENT_GAP, job->batch.number, clock_wall_ms(&job->clock), err,
                        "input '%s'[%d]: offsets %" PRId64 " to %" PRId64 " lost to retention",
                        topic, (int)partition, from, until - 1);
}

/* I3: what is committed already would only be counted; retention may have it. */
static bool pass_committed(struct job *job, size_t read, int64_t position, int64_t log_start,
                           struct err *err)
{
    const struct range *range = &job->reads[read];
    const char *topic = job->batch.definition.inputs[range->input].topic;
    int64_t done = job->done[job->read_range[read]];
    int64_t goal = done < log_start ? done : log_start;

    log_notice("input '%s'[%d]: offsets %" PRId64 " to %" PRId64
               " were delivered and are gone now: "
               "they can't be counted any more",
               topic, (int)range->partition, position, goal - 1);
    return ledger_event(job->ledger, EVENT_RECOVERY, job->batch.number, clock_wall_ms(&job->clock),
                        err,
                        "input '%s'[%d]: offsets %" PRId64 " to %" PRId64
                        " were delivered, and gone before they could be counted",
                        topic, (int)range->partition, position, goal - 1) &&
           source_skip(job->source, read, goal, err);
}

/* A range can't be read on: asks where its log begins and ends, and does what is concluded from
 * that. */
static bool judge_trouble(struct job *job, size_t read, const struct source_taken *taken,
                          struct err *err)
{
    const struct range *range = &job->reads[read];
    const char *topic = job->batch.definition.inputs[range->input].topic;
    struct ends_item first = {.topic = topic, .partition = range->partition};
    struct ends_item last = first;
    struct patience patience = job_patience(job, -1);
    struct input_found found = {
        .position = taken->position,
        .diverged = taken->trouble == SOURCE_TRUNCATED,
        .policy = job->batch.definition.on_data_loss,
    };
    int64_t goal;

    if (!ends_get(job->ask, ENDS_FIRST, &first, 1, &patience, err) ||
        !ends_get(job->ask, ENDS_LAST, &last, 1, &patience, err)) {
        return false;
    }
    found.log_start = first.offset;
    found.log_end = last.offset;
    if (job->done != NULL && found.position < job->done[job->read_range[read]] &&
        found.position < found.log_start) {
        return pass_committed(job, read, found.position, found.log_start, err);
    }
    switch (protocol_judge_input(&found)) {
    case INPUT_FINE: /* it was so a moment ago: read on from the same place */
        return source_skip(job->source, read, found.position, err);
    case INPUT_SKIP:
        goal = found.log_start < range->until ? found.log_start : range->until;
        return note_lost(job, topic, range->partition, found.position, goal, err) &&
               source_skip(job->source, read, found.log_start, err);
    case INPUT_LOST:
        return err_set(err, ERR_DECISION, 0,
                       "input '%s'[%d]: offset %" PRId64
                       " is needed next, but the log begins at %" PRId64
                       ": lost to retention; on.data.loss=continue goes on and records the gap",
                       topic, (int)range->partition, found.position, found.log_start);
    case INPUT_TRUNCATED:
        return err_set(err, ERR_DECISION, 0,
                       "input '%s'[%d]: offset %" PRId64
                       " is needed next, but the log %s (it ends at %" PRId64
                       "): truncated by an unclean leader election, or made anew; begin with "
                       "another job.name and ledger to read what it has now",
                       topic, (int)range->partition, found.position,
                       found.diverged ? "has diverged" : "is shorter", found.log_end);
    }
    return false;
}

/* Takes the next records into the empty hand. */
static bool take(struct job *job, size_t read, bool *moved_out, struct err *err)
{
    struct hand *hand = &job->hand;
    struct source_taken taken;

    if (!source_take(job->source, read, hand->messages, (size_t)job->config->fetch_max_records,
                     &taken, err)) {
        return false;
    }
    deliver_tasks_asked(job, read, &taken);
    hand->range = job->read_range[read];
    hand->at = 0;
    hand->count = taken.count;
    hand->made = false;
    if (taken.count > 0 || taken.done) {
        job->epochs[hand->range] = source_leader_epoch(job->source, read);
        *moved_out = true;
    }
    if (taken.trouble != SOURCE_FINE) {
        *moved_out = true;
        return judge_trouble(job, read, &taken, err);
    }
    if (taken.done) {
        const struct range *range = &job->reads[read];

        job->read_done[read] = true;
        *moved_out = true;
        if (taken.stalled) {
            const char *topic = job->batch.definition.inputs[range->input].topic;

            return ledger_event(
                job->ledger, EVENT_GAP, job->batch.number, clock_wall_ms(&job->clock), err,
                "input '%s'[%d]: nothing readable between %" PRId64 " and %" PRId64 " (compacted)",
                topic, (int)range->partition, taken.position, range->until);
        }
    }
    return true;
}

/* Sends from the hand, a slice at most: between slices the loop looks around. */
static bool empty_hand(struct job *job, bool *moved_out, struct err *err)
{
    const unsigned slice = failpoint_slice(HAND_SLICE);
    struct hand *hand = &job->hand;

    for (unsigned sent = 0; hand->at < hand->count && sent < slice; sent++) {
        bool moved = false;

        if (job->suspect_count > 0 && job_by_mark(job) && deliver_slice_full(job)) {
            return true; /* each that travels alone takes a round trip */
        }
        if (job->sent == 1 && failpoint("deliver-first")) {
            return err_set(err, ERR_FAILED, 0, "failpoint");
        }
        if (!deliver_record(job, &moved, err)) {
            return false;
        }
        *moved_out |= moved;
        if (!moved) {
            if (!job_synced(job, true, err)) {
                return false;
            }
            sink_poll(job->sink, FULL_WAIT_MS); /* full: room comes with acknowledgements */
            return true;
        }
    }
    if (job->sent > 0 && failpoint("deliver-middle")) {
        return err_set(err, ERR_FAILED, 0, "failpoint");
    }
    return true;
}

/* ---- the whole batch ---- */

/* How far each range has been delivered to each output that it has met. */
static struct progress *progress_of(const struct job *job, size_t *count_out)
{
    const struct delivered *delivered = &job->delivered;
    struct progress *progress;
    size_t room = 0;
    size_t count = 0;

    for (size_t r = 0; r < delivered->ranges; r++) {
        room += delivered->rows[r].count;
    }
    progress = mem_array(room, sizeof(*progress));
    for (size_t r = 0; r < delivered->ranges; r++) {
        const struct delivered_row *row = &delivered->rows[r];

        for (size_t i = 0; i < row->count; i++) {
            const struct output *output = &job->outputs.items[row->first + i];

            if (row->entries[i].offset >= 0) {
                progress[count++] = (struct progress){
                    .range = (uint32_t)r,
                    .topic = output->topic,
                    .partition = output->partition,
                    .offset = row->entries[i].offset,
                    .records = row->entries[i].records,
                };
            }
        }
    }
    *count_out = count;
    return progress;
}

static bool checkpoint_steps(struct job *job, void *arg, struct err *err)
{
    struct batch *batch = &job->batch;
    struct fence *fences = mem_array(job->outputs.count, sizeof(*fences));
    struct progress *progress = NULL;
    size_t fence_count = 0;
    size_t progress_count = 0;
    bool ok;

    (void)arg;
    for (size_t i = 0; i < job->outputs.count; i++) {
        const struct output *output = &job->outputs.items[i];

        if (output->fenced) {
            fences[fence_count++] = (struct fence){
                .topic = output->topic,
                .partition = output->partition,
                .offset = output->next > output->fence ? output->next : output->fence,
            };
        }
    }
    progress = progress_of(job, &progress_count);
    ok = ledger_checkpoint(job->ledger, batch, fences, fence_count, progress, progress_count, err);
    if (ok && failpoint("checkpoint-before-commit")) {
        ok = err_set(err, ERR_FAILED, 0, "failpoint");
    }
    free(fences);
    free(progress);
    return ok;
}

bool deliver_checkpoint(struct job *job, struct err *err)
{
    job->checkpoint_ms = clock_now_ms(&job->clock);
    if (!job_transaction(job, checkpoint_steps, NULL, err)) {
        return false;
    }
    return !failpoint("checkpoint-after-commit") || err_set(err, ERR_FAILED, 0, "failpoint");
}

static bool pass(struct job *job, bool *moved_out, bool *read_out, struct err *err)
{
    size_t done = 0;
    bool held = deliver_tasks_hold(job);

    for (size_t read = 0; read < job->read_count; read++) {
        if (job->hand.at == job->hand.count) {
            if (job->read_done[read]) {
                done++;
                continue;
            }
            if (held) {
                continue;
            }
            if (!take(job, read, moved_out, err)) {
                return false;
            }
        }
        if (!empty_hand(job, moved_out, err) || !job_synced(job, false, err)) {
            return false;
        }
        if (job->hand.at < job->hand.count || (job_by_mark(job) && deliver_slice_full(job))) {
            break;
        }
    }
    sink_poll(job->sink, 0);
    *read_out = done == job->read_count && job->hand.at == job->hand.count;
    if (*read_out) {
        source_batch_read(job->source);
    }
    return sink_check(job->sink, err) && deliver_tasks_look(job, err);
}

/* Idempotent: what is acknowledged is there. Until every record is. */
static bool run_idempotent(struct job *job, struct err *err)
{
    for (;;) {
        bool moved = false;
        bool read = false;

        if (!pass(job, &moved, &read, err) || !job_synced(job, read || !moved, err) ||
            !job_meanwhile(job, err)) {
            return false;
        }
        if (clock_now_ms(&job->clock) - job->checkpoint_ms >= CHECKPOINT_MS &&
            !deliver_checkpoint(job, err)) {
            return false; /* R8: a long batch */
        }
        if (read) {
            if (sink_in_flight(job->sink) == 0) {
                break;
            }
            plan_ends_ask(job);
            sink_flush(job->sink, FLUSH_MS);
        } else if (!moved) {
            job_wait(job, source_wait_ms(job->source, IDLE_SLICE_MS));
        }
    }
    return !failpoint("deliver-last-acked") || err_set(err, ERR_FAILED, 0, "failpoint");
}

/* Transactional: what is committed is there, slice by slice. */
static bool run_transactional(struct job *job, struct err *err)
{
    bool read = false;

    while (!read) {
        bool moved = false;
        bool full;

        if (!deliver_slice_open(job, err) || !pass(job, &moved, &read, err)) {
            return false;
        }
        full = deliver_slice_full(job); /* asked once: time passes */
        if (!job_synced(job, read || !moved || full, err) || !job_meanwhile(job, err)) {
            return false;
        }
        if (read) {
            plan_ends_ask(job);
        }
        if (read || full) {
            if (!deliver_slice_end(job, read, err)) {
                return false;
            }
        } else if (!moved) {
            job_wait(job, source_wait_ms(job->source, IDLE_SLICE_MS));
        }
    }
    return true;
}

bool deliver_run(struct job *job, struct err *err)
{
    if (!(job_by_mark(job) ? run_transactional(job, err) : run_idempotent(job, err))) {
        return false;
    }
    job->acknowledged_ms = clock_now_ms(&job->clock);
    return true;
}
