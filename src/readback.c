/* The outputs, read back: source_read.c over outputs, all spans at once, until each has reached its
 * end. */
#include "readback.h"

#include "log.h"
#include "mem.h"
#include "source_read.h"
#include "wait.h"

#include <inttypes.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

enum {
    TAKE_MAX = 1000,
    TELL_EVERY_MS = 5000,
};

struct readback {
    struct source *source;
    struct definition
        definition;       /* its inputs are the outputs that are read; only their topics are set */
    struct range *ranges; /* of the spans that aren't empty */
    size_t *span_of;      /* beside ranges */
    bool *done;           /* beside ranges */
    size_t count;
    size_t left; /* ranges that aren't done */
    int64_t records;
    int64_t told_ms;
    rd_kafka_message_t *messages[TAKE_MAX];
};

bool readback_new(const struct config *config, bool committed, struct readback **readback_out,
                  struct err *err)
{
    struct readback *readback = mem_zero(sizeof(*readback));

    if (!source_new_outputs(config, committed, 0, &readback->source, err)) {
        free(readback);
        return false;
    }
    *readback_out = readback;
    return true;
}

void readback_expect(struct readback *readback, const char *topic)
{
    source_expect(readback->source, topic);
}

void readback_free(struct readback *readback)
{
    if (readback == NULL) {
        return;
    }
    source_free(readback->source);
    for (size_t i = 0; i < readback->definition.input_count; i++) {
        free(readback->definition.inputs[i].topic);
    }
    free(readback->definition.inputs);
    free(readback->ranges);
    free(readback->span_of);
    free(readback->done);
    free(readback);
}

static uint32_t topic_index(struct readback *readback, const char *topic)
{
    struct definition *definition = &readback->definition;
    size_t count = definition->input_count;

    for (size_t i = 0; i < count; i++) {
        if (strcmp(definition->inputs[i].topic, topic) == 0) {
            return (uint32_t)i;
        }
    }
    definition->inputs = mem_grow(definition->inputs, count + 1, sizeof(definition->inputs[0]));
    definition->inputs[count] = (struct definition_input){.topic = mem_text(topic)};
    definition->input_count++;
    return (uint32_t)count;
}

static void make_ranges(struct readback *readback, const struct readback_span *spans, size_t count)
{
    readback->ranges = mem_grow(readback->ranges, count, sizeof(readback->ranges[0]));
    readback->span_of = mem_grow(readback->span_of, count, sizeof(readback->span_of[0]));
    readback->done = mem_grow(readback->done, count, sizeof(readback->done[0]));
    readback->count = 0;
    for (size_t i = 0; i < count; i++) {
        if (spans[i].from >= spans[i].until) {
            continue;
        }
        readback->ranges[readback->count] = (struct range){
            .input = topic_index(readback, spans[i].topic),
            .partition = spans[i].partition,
            .from = spans[i].from,
            .until = spans[i].until,
            .leader_epoch = -1,
            .end_epoch = -1,
        };
        readback->done[readback->count] = false;
        readback->span_of[readback->count++] = i;
    }
    readback->left = readback->count;
}

static bool refuse(struct readback *readback, size_t index, const struct readback_span *span,
                   const char *why, struct err *err)
{
    return err_set(err, ERR_DECISION, 0,
                   "output %s[%" PRId32 "] can't be read back from offset %" PRId64
                   " (its log begins at %" PRId64 ", −1 = unknown): %s",
                   span->topic, span->partition, span->from,
                   source_log_start(readback->source, index), why);
}

/* One look at one range; *moved_out when something came of it. */
static bool read_some(struct readback *readback, size_t index, struct readback_span *spans,
                      readback_found found, void *arg, bool *moved_out, struct err *err)
{
    size_t at = readback->span_of[index];
    struct readback_span *span = &spans[at];
    struct source_taken taken;
    bool fine = true;

    if (!source_take(readback->source, index, readback->messages, TAKE_MAX, &taken, err)) {
        return err_wrap(err, "reading back");
    }
    for (size_t i = 0; i < taken.count; i++) {
        const rd_kafka_message_t *message = readback->messages[i];

        if (fine && found(arg, at, message, err)) {
            span->from = message->offset + 1;
            readback->records++;
        } else {
            fine = false;
        }
        rd_kafka_message_destroy(readback->messages[i]);
    }
    if (fine && taken.trouble != SOURCE_FINE) {
        return refuse(readback, index, span, taken.text, err);
    }
    if (fine && taken.done) {
        span->from = span->until;
        readback->done[index] = true;
        readback->left--;
    }
    *moved_out |= taken.count > 0 || taken.done;
    return fine;
}

static void tell_progress(struct readback *readback, const struct readback_span *spans)
{
    int64_t now_ms = wait_now_ms();
    int64_t left = 0;

    if (now_ms - readback->told_ms < TELL_EVERY_MS) {
        return;
    }
    readback->told_ms = now_ms;
    for (size_t i = 0; i < readback->count; i++) {
        const struct readback_span *span = &spans[readback->span_of[i]];

        left += span->until - span->from;
    }
    log_info("reading back outputs: %" PRId64 " records read, %" PRId64
             " offsets left in %zu partitions",
             readback->records, left, readback->left);
}

bool readback_read(struct readback *readback, struct readback_span *spans, size_t count,
                   readback_found found, void *arg, const struct patience *patience,
                   struct err *err)
{
    struct wait wait;

    make_ranges(readback, spans, count);
    if (readback->count == 0) {
        return true;
    }
    if (!source_begin(readback->source, &readback->definition, readback->ranges, readback->count,
                      err)) {
        return false;
    }
    wait_init(&wait, patience);
    readback->told_ms = wait_now_ms();
    readback->records = 0;
    while (readback->left > 0) {
        bool moved = false;

        for (size_t i = 0; i < readback->count; i++) {
            if (!readback->done[i] && !read_some(readback, i, spans, found, arg, &moved, err)) {
                return false;
            }
        }
        if (!wait_check(&wait, err)) {
            return err_wrap(err, "reading back %zu output partitions", readback->left);
        }
        tell_progress(readback, spans);
        if (!moved) {
            struct pollfd fd = {.fd = source_fd(readback->source), .events = POLLIN};

            poll(&fd, 1, WAIT_SLICE_MS);
        }
    }
    return true;
}
