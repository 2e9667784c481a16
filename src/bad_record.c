/* A record that its output refuses for what it is.
 *
 * The order matters: the decision is durable, and the error partition's fence with it, before the
 * record goes there and before any later record of its source goes anywhere (rule C1). */
#include "bad_record.h"

#include "failpoint.h"
#include "headers_pack.h"
#include "job_state.h"
#include "log.h"
#include "mem.h"
#include "recover.h"
#include "source_ends.h"
#include "wait.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

struct aside {
    size_t range;
    rd_kafka_message_t *message;
    const char *reason;
    size_t output; /* the error partition's place */
};

/* The error topic's partition: the input's, modulo its count. Waits TOPIC_MISSING_MS for the topic
 * to be there. */
static bool error_place(struct job *job, const char *topic, int32_t input_partition,
                        size_t *output_out, struct err *err)
{
    struct topic_facts *facts = topic_facts_new(job->ask, &topic, 1);
    struct patience patience = job_patience(job, -1);
    int64_t end = wait_now_ms() + TOPIC_MISSING_MS;
    struct ends_item last = {.topic = topic};
    bool ok = true;

    while (ok) {
        const struct topic_fact *fact;

        ok = topic_facts_refresh(facts, &patience, err);
        fact = topic_facts_find(facts, topic);
        if (ok && fact->partitions > 0) {
            last.partition = input_partition % fact->partitions;
            break;
        }
        if (ok && wait_now_ms() > end) {
            ok = err_set(err, ERR_DECISION, 0,
                         "the error topic '%s' isn't there: create it, then start again", topic);
        } else if (ok) {
            job_wait(job, IDLE_SLICE_MS);
            ok = job_meanwhile(job, err);
        }
    }
    topic_facts_free(facts);
    if (!ok || !ends_get(job->ask, ENDS_LAST, &last, 1, &patience, err)) {
        return false;
    }
    *output_out = outputs_add(&job->outputs, topic, last.partition);
    if (!job->outputs.items[*output_out].fenced) {
        job->outputs.items[*output_out].next = last.offset;
        job->outputs.items[*output_out].fence = last.offset;
    }
    return true;
}

static bool aside_steps(struct job *job, void *arg, struct err *err)
{
    struct aside *aside = arg;
    const struct output *output = &job->outputs.items[aside->output];
    const rd_kafka_message_t *message = aside->message;
    rd_kafka_timestamp_type_t type;
    struct fence fence = {
        .topic = output->topic, .partition = output->partition, .offset = output->fence};
    size_t headers_size = 0;
    void *headers = headers_pack(message, &headers_size);
    struct ledger_record record = {
        .topic = rd_kafka_topic_name(message->rkt),
        .partition = message->partition,
        .offset = message->offset,
        .timestamp_ms = rd_kafka_message_timestamp(message, &type),
        .key = message->key,
        .key_size = message->key == NULL ? -1 : (int64_t)message->key_len,
        .value = message->payload,
        .value_size = message->payload == NULL ? -1 : (int64_t)message->len,
        .headers = headers,
        .headers_size = headers == NULL ? -1 : (int64_t)headers_size,
    };
    bool ok = output->fenced || ledger_fence_add(job->ledger, job->batch.number, &fence, err);

    ok = ok && ledger_set_aside(job->ledger, job->batch.number, &record, aside->reason,
                                output->topic, output->partition, clock_wall_ms(&job->clock), err);
    ok = ok &&
         ledger_event(job->ledger, EVENT_BAD_RECORD, job->batch.number, clock_wall_ms(&job->clock),
                      err, "'%s'[%d] offset %" PRId64 " put aside for '%s'[%d]: %s", record.topic,
                      (int)record.partition, record.offset, output->topic, (int)output->partition,
                      aside->reason);
    if (ok && failpoint("set-aside-before-commit")) {
        ok = err_set(err, ERR_FAILED, 0, "failpoint");
    }
    free(headers);
    return ok;
}

static void note(struct job *job, const struct aside *aside)
{
    struct batch *batch = &job->batch;
    struct output *output = &job->outputs.items[aside->output];

    output->fenced = true;
    delivered_widen(&job->delivered, job->outputs.count);
    batch->set_aside =
        mem_grow(batch->set_aside, batch->set_aside_count + 1, sizeof(*batch->set_aside));
    batch->set_aside[batch->set_aside_count++] = (struct set_aside_mark){
        .range = (uint32_t)aside->range,
        .offset = aside->message->offset,
        .error_topic = mem_text(output->topic),
        .error_partition = output->partition,
    };
}

static bool is_aside(const struct job *job, size_t range, int64_t offset)
{
    for (size_t i = 0; i < job->batch.set_aside_count; i++) {
        if (job->batch.set_aside[i].range == range && job->batch.set_aside[i].offset == offset) {
            return true;
        }
    }
    return false;
}

bool bad_record_refused(struct job *job, size_t range, rd_kafka_message_t *message,
                        const char *reason, struct err *err)
{
    const struct range *from = &job->batch.ranges[range];
    const struct definition_input *input = &job->batch.definition.inputs[from->input];
    struct aside aside = {.range = range, .message = message, .reason = reason};

    if (job->batch.definition.on_bad_record == ON_BAD_RECORD_STOP) {
        return err_set(
            err, ERR_DECISION, 0,
            "record '%s'[%d] offset %" PRId64
            " is refused: %s; let the output take it (max.message.bytes, timestamps), or "
            "set on.bad.record=set-aside, which keeps it in the ledger and sends it to "
            "'%s'; then start again",
            input->topic, (int)from->partition, message->offset, reason, input->error_topic);
    }
    if (is_aside(job, range, message->offset)) {
        return err_set(
            err, ERR_DECISION, 0,
            "record '%s'[%d] offset %" PRId64
            " was put aside, but its error topic '%s' refuses it too: %s; let that topic "
            "take it, then start again",
            input->topic, (int)from->partition, message->offset, input->error_topic, reason);
    }
    if (!error_place(job, input->error_topic, from->partition, &aside.output, err) ||
        !job_transaction(job, aside_steps, &aside, err)) {
        return false;
    }
    if (failpoint("set-aside-after-commit")) {
        return err_set(err, ERR_FAILED, 0, "failpoint");
    }
    log_warning("record '%s'[%d] offset %" PRId64 " is refused and put aside for '%s'[%d]: %s",
                input->topic, (int)from->partition, message->offset,
                job->outputs.items[aside.output].topic,
                (int)job->outputs.items[aside.output].partition, reason);
    note(job, &aside);
    job->broken_count = 0; /* that is progress */
    if (job_by_mark(job)) {
        return sink_check(job->sink, err); /* its refusal has ended the transaction with it */
    }
    return recover_replace_drained(job, err);
}
