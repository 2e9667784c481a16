/* Output records known by their places.
 *
 *     output, from the fence     o₀    o₁    o₂    o₃ …   each offset in turn, none left out
 *                                │ =   │ =   │ =   │ ≠ → somebody else's: stop
 *     input, read again          i₀    i₁    i₃    i₄ …   i₂ was put aside: it isn't among them
 *
 * Both sides stream: an input record is taken when an output record is there to be compared with
 * it, so that a batch of any size takes little memory, and reading goes on behind the last match
 * when the rest is delivered.
 *
 * A difference, a record too many or an offset without a record ends the job: the records behind it
 * can't be told from the batch's. So does input that can't be read again: without it nothing tells
 * what was delivered. A stranger's record that equals our next one byte for byte counts as ours. */
#include "look_positions.h"

#include "compare.h"
#include "job_state.h"
#include "look.h"
#include "mem.h"
#include "positions.h"
#include "wait.h"

#include <assert.h>
#include <inttypes.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

enum { TAKE_MAX = 256 };

/* One output partition and the range that goes there. */
struct side {
    bool has_range;
    size_t range;
    size_t read;                   /* place of the range in `reads` */
    int64_t next;                  /* the offset of the output's next record */
    rd_kafka_message_t **messages; /* input taken and not compared */
    size_t at, count;
};

struct look_positions {
    struct job *job;
    struct side *sides; /* beside job->outputs */
    size_t side_count;
    struct range *reads; /* borrowed by the source */
};

/* ---- making and freeing ---- */

static size_t output_of(const struct job *job, const struct range *range)
{
    const struct definition *definition = &job->batch.definition;
    const struct definition_output *output =
        &definition->outputs[definition->inputs[range->input].output];
    int64_t found =
        outputs_find(&job->outputs, output->topic, range->partition % output->partitions);

    assert(found >= 0);
    return (size_t)found;
}

bool look_positions_new(struct job *job, struct look_positions **positions_out, struct err *err)
{
    struct look_positions *positions = mem_zero(sizeof(*positions));
    const struct batch *batch = &job->batch;

    positions->job = job;
    positions->side_count = job->outputs.count;
    positions->sides = mem_array(job->outputs.count, sizeof(*positions->sides));
    positions->reads = mem_array(batch->range_count, sizeof(*positions->reads));
    for (size_t r = 0; r < batch->range_count; r++) {
        size_t output = output_of(job, &batch->ranges[r]);
        struct side *side = &positions->sides[output];
        int64_t done = delivered_at(&job->delivered, r, output)->offset;

        assert(!side->has_range); /* one source for each output partition (R7) */
        *side = (struct side){.has_range = true, .range = r, .read = r};
        positions->reads[r] = batch->ranges[r];
        if (done >= 0) {
            positions->reads[r].from = done + 1;
            positions->reads[r].leader_epoch = -1;
        }
    }
    if (!source_begin(job->source, &batch->definition, positions->reads, batch->range_count, err)) {
        look_positions_free(positions);
        return false;
    }
    *positions_out = positions;
    return true;
}

void look_positions_free(struct look_positions *positions)
{
    if (positions == NULL) {
        return;
    }
    for (size_t i = 0; i < positions->side_count; i++) {
        struct side *side = &positions->sides[i];

        for (; side->at < side->count; side->at++) {
            rd_kafka_message_destroy(side->messages[side->at]);
        }
        free(side->messages);
    }
    free(positions->sides);
    free(positions->reads);
    free(positions);
}

void look_positions_begin(struct look_positions *positions, size_t output, int64_t from)
{
    positions->sides[output].next = from;
}

/* ---- the input, read again ---- */

/* What comes next can't be read: it may be so for a moment only. */
static bool judge_input(const struct look_positions *positions, const struct side *side,
                        const struct source_taken *taken, struct err *err)
{
    struct job *job = positions->job;
    const struct range *range = &positions->reads[side->read];
    const char *topic = job->batch.definition.inputs[range->input].topic;
    struct ends_item first = {.topic = topic, .partition = range->partition};
    struct ends_item last = first;
    struct patience patience = job_patience(job, -1);
    struct input_found found = {
        .position = taken->position,
        .diverged = taken->trouble == SOURCE_TRUNCATED,
        .policy = ON_DATA_LOSS_STOP,
    };

    if (!ends_get(job->ask, ENDS_FIRST, &first, 1, &patience, err) ||
        !ends_get(job->ask, ENDS_LAST, &last, 1, &patience, err)) {
        return false;
    }
    found.log_start = first.offset;
    found.log_end = last.offset;
    if (protocol_judge_input(&found) == INPUT_FINE) {
        return source_skip(job->source, side->read, found.position, err);
    }
    return err_set(
        err, ERR_DECISION, 0,
        "input '%s'[%" PRId32 "] can't be read again from offset %" PRId64
        " on (its log begins at %" PRId64 " and ends at %" PRId64
        "): with output.provenance=positions only a comparison tells what of batch "
        "%" PRId64 " was delivered; oncesink-recover resolve --output TOPIC[PARTITION] --assume "
        "delivered|missing decides it",
        topic, range->partition, found.position, found.log_start, found.log_end, job->batch.number);
}

static bool is_aside(const struct batch *batch, size_t range, int64_t offset)
{
    for (size_t i = 0; i < batch->set_aside_count; i++) {
        if (batch->set_aside[i].range == range && batch->set_aside[i].offset == offset) {
            return true;
        }
    }
    return false;
}

/* Takes the next input records, at most `max`; none when the range is at its end. */
static bool refill(const struct look_positions *positions, struct side *side, int64_t max,
                   struct err *err)
{
    struct job *job = positions->job;
    struct patience patience = job_patience(job, -1);
    struct source_taken taken = {0};
    struct wait wait;

    if (side->messages == NULL) {
        side->messages = mem_array(TAKE_MAX, sizeof(*side->messages));
    }
    side->at = side->count = 0;
    wait_init(&wait, &patience);
    while (side->count == 0 && !taken.done) {
        struct pollfd fd = {.fd = source_fd(job->source), .events = POLLIN};

        /* No other range is asked meanwhile: it must not wait for one that would have to be. */
        if (!source_want(job->source, side->read, err) ||
            !source_take(job->source, side->read, side->messages,
                         max < TAKE_MAX ? (size_t)max : TAKE_MAX, &taken, err)) {
            return err_wrap(err, "reading the input again");
        }
        side->count = taken.count;
        if ((taken.trouble != SOURCE_FINE && !judge_input(positions, side, &taken, err)) ||
            !wait_check(&wait, err)) {
            return err_wrap(err, "reading the input again");
        }
        if (side->count == 0 && !taken.done) {
            poll(&fd, 1, WAIT_SLICE_MS);
        }
    }
    return true;
}

/* The range's next record that wasn't put aside; NULL = the range is at its end. left: so many
 * output records are there to be compared; no more is taken. */
static bool next_input(const struct look_positions *positions, struct side *side, int64_t left,
                       rd_kafka_message_t **message_out, struct err *err)
{
    for (;;) {
        rd_kafka_message_t *message;

        if (side->at == side->count && !refill(positions, side, left, err)) {
            return false;
        }
        if (side->count == 0) {
            *message_out = NULL;
            return true;
        }
        message = side->messages[side->at++];
        if (!is_aside(&positions->job->batch, side->range, message->offset)) {
            *message_out = message;
            return true;
        }
        rd_kafka_message_destroy(message);
    }
}

/* ---- the output ---- */

/* Nothing, or nothing more, of the batch may be there. */
static bool refuse_surplus(const struct look *look, const struct readback_span *span,
                           int64_t offset, struct err *err)
{
    char found[2 * TOPIC_NAME_MAX + 256] =
        "a record stands there that no batch of this ledger wrote (or the ledger is "
        "an older copy: oncesink-recover reconcile brings it up to date)";

    if (look->job->state != PROTOCOL_IDLE) {
        snprintf(found, sizeof(found),
                 "batch %" PRId64
                 " has no more records for that partition. Is the ledger an older copy? Then "
                 "oncesink-recover reconcile; else resolve --output %s[%" PRId32
                 "] --assume delivered|missing decides what is the job's",
                 look->job->batch.number, span->topic, span->partition);
    }
    return positions_refuse(span->topic, span->partition, offset, offset + 1, found, err);
}

static bool refuse_other(const struct look *look, const struct readback_span *span, int64_t offset,
                         const rd_kafka_message_t *input, enum compare_result difference,
                         struct err *err)
{
    char found[2 * TOPIC_NAME_MAX + 256];

    snprintf(found, sizeof(found),
             "the next record of batch %" PRId64 " is '%s'[%" PRId32 "] offset %" PRId64
             ", and its %s differs; oncesink-recover resolve --output %s[%" PRId32
             "] --assume delivered|missing decides it",
             look->job->batch.number, rd_kafka_topic_name(input->rkt), input->partition,
             input->offset, compare_word(difference), span->topic, span->partition);
    return positions_refuse(span->topic, span->partition, offset, offset + 1, found, err);
}

static bool refuse_hole(const struct readback_span *span, int64_t from, int64_t until,
                        struct err *err)
{
    return positions_refuse(span->topic, span->partition, from, until,
                            "they hold no record that can be read, as the ends of transactions "
                            "take offsets, and as compaction leaves them",
                            err);
}

bool look_positions_found(struct look *look, size_t span_index, const rd_kafka_message_t *message,
                          struct err *err)
{
    const struct readback_span *span = &look->spans[span_index];
    size_t output = look->outputs[span_index];
    rd_kafka_message_t *input = NULL;
    struct compare_record there;
    struct compare_record ours;
    enum compare_result difference;
    struct side *side;

    look->last_ours_ms = look->ends_ms; /* R3: any movement of the end counts */
    if (look->positions == NULL || !look->positions->sides[output].has_range) {
        return refuse_surplus(look, span, message->offset, err);
    }
    side = &look->positions->sides[output];
    if (message->offset != side->next) {
        return refuse_hole(span, side->next, message->offset, err);
    }
    if (!next_input(look->positions, side, span->until - message->offset, &input, err)) {
        return false;
    }
    if (input == NULL) {
        return refuse_surplus(look, span, message->offset, err);
    }
    compare_parts(message, &there);
    compare_parts(input, &ours);
    difference = compare_records(&there, &ours);
    if (difference == COMPARE_SAME) {
        delivered_add(look->delivered, side->range, output, input->offset, 0);
        look->found++;
        side->next++;
    } else {
        refuse_other(look, span, message->offset, input, difference, err);
    }
    rd_kafka_message_destroy(input);
    return difference == COMPARE_SAME;
}

bool look_positions_whole(const struct look *look, struct err *err)
{
    for (size_t i = 0; i < look->count; i++) {
        const struct readback_span *span = &look->spans[i];
        int64_t next = look->begins[i];

        if (next >= 0 && look->positions != NULL) {
            next = look->positions->sides[look->outputs[i]].next;
        }
        if (next >= 0 && next < span->until) {
            return refuse_hole(span, next, span->until, err);
        }
    }
    return true;
}
