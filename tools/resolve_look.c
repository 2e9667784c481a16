/* What of a batch in doubt can still be seen.
 *
 * An output that lost a part of its log is stuck: recovery would have to guess (R8). Records of a
 * source stand there in order, and a log loses its beginning first. So where a record of the batch
 * is left, everything of its source up to the last one left was delivered, and nothing above it;
 * where none of a source is left, either all of it is gone or none of it was there: that is what a
 * person decides. */
#include "resolve.h"

#include "mem.h"
#include "readback.h"
#include "relay.h"
#include "route.h"
#include "source_ends.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

bool resolve_is_stuck(const struct resolve_output *output)
{
    return output->verdict == OUTPUT_LOG_START || output->verdict == OUTPUT_RECREATED ||
           output->verdict == OUTPUT_SHORT;
}

bool resolve_may_name(const struct resolve *it, const struct resolve_output *output)
{
    return resolve_is_stuck(output) ||
           (output->fenced && it->batch.definition.provenance == PROVENANCE_POSITIONS);
}

bool resolve_reaches(const struct resolve *it, size_t range, const struct resolve_output *output)
{
    const struct definition *definition = &it->batch.definition;
    const struct definition_input *input = &definition->inputs[it->batch.ranges[range].input];
    const struct definition_output *to = &definition->outputs[input->output];

    if (strcmp(output->topic, to->topic) != 0) {
        return false; /* an error topic: what is set aside is known record by record */
    }
    return definition->partitioner == PARTITIONER_KEY ||
           route_partition(PARTITIONER_SAME, it->batch.ranges[range].partition, NULL, 0,
                           to->partitions) == output->partition;
}

/* ---- the outputs, as the ledger knows them ---- */

static struct resolve_output *output_of(struct resolve *it, const char *topic, int32_t partition)
{
    for (size_t i = 0; i < it->output_count; i++) {
        if (it->outputs[i].partition == partition && strcmp(it->outputs[i].topic, topic) == 0) {
            return &it->outputs[i];
        }
    }
    it->outputs = mem_grow(it->outputs, it->output_count + 1, sizeof(*it->outputs));
    it->outputs[it->output_count] = (struct resolve_output){
        .topic = mem_text(topic), .partition = partition, .fence = -1, .next = -1};
    return &it->outputs[it->output_count++];
}

static bool load_outputs(struct resolve *it, struct err *err)
{
    struct ledger_outputs rows;

    if (!ledger_outputs_load(it->ledger, &rows, err)) {
        return false;
    }
    for (size_t i = 0; i < rows.count; i++) {
        struct resolve_output *output = output_of(it, rows.items[i].topic, rows.items[i].partition);

        output->next = rows.items[i].next_offset;
        memcpy(output->topic_id, rows.items[i].topic_id, TOPIC_ID_SIZE);
    }
    ledger_outputs_deinit(&rows);
    for (size_t i = 0; i < it->batch.fence_count; i++) {
        const struct fence *fence = &it->batch.fences[i];
        struct resolve_output *output = output_of(it, fence->topic, fence->partition);
        int named = definition_find_output(&it->batch.definition, fence->topic);

        output->fenced = true;
        output->fence = fence->offset;
        if (output->topic_id[0] == '\0' && named >= 0) {
            memcpy(output->topic_id, it->batch.definition.outputs[named].topic_id, TOPIC_ID_SIZE);
        }
    }
    return true;
}

static bool judge(struct resolve *it, struct resolve_output *output, struct err *err)
{
    const struct topic_fact *fact = topic_facts_find(it->broker.facts, output->topic);
    bool told = it->by_mark && output->fenced;
    bool at_fence = told ? output->fence > output->next : output->fenced;
    struct output_found found = {
        .in_doubt = output->fenced,
        .exists = fact != NULL && output->partition < fact->partitions,
        .other_id = fact != NULL && fact->topic_id[0] != '\0' && output->topic_id[0] != '\0' &&
                    strcmp(fact->topic_id, output->topic_id) != 0,
        .place = at_fence ? output->fence : output->next,
        .log_start = output->log_start,
        .log_end = output->log_end,
        .told = told,
    };

    output->verdict = protocol_judge_output(&found);
    if (output->verdict == OUTPUT_MISSING && output->fenced) {
        return err_set(err, ERR_DECISION, 0,
                       "output '%s'[%d] isn't there, and batch %" PRId64
                       " can't be finished without it: create the topic again with as many "
                       "partitions as it had (at least %d), then resolve",
                       output->topic, (int)output->partition, it->batch.number,
                       (int)output->partition + 1);
    }
    return true;
}

static bool ask_ends(struct resolve *it, struct err *err)
{
    struct ends_item *items = mem_array(it->output_count, sizeof(*items));
    size_t *places = mem_array(it->output_count, sizeof(*places));
    size_t count = 0;
    bool ok;

    for (size_t i = 0; i < it->output_count; i++) {
        if (it->outputs[i].partition < broker_partitions(&it->broker, it->outputs[i].topic)) {
            items[count] = (struct ends_item){.topic = it->outputs[i].topic,
                                              .partition = it->outputs[i].partition};
            places[count++] = i;
        }
    }
    ok = broker_starts(&it->broker, items, count, err);
    for (size_t i = 0; ok && i < count; i++) {
        it->outputs[places[i]].log_start = items[i].offset;
    }
    ok = ok && broker_ends(&it->broker, false, items, count, err);
    for (size_t i = 0; ok && i < count; i++) {
        it->outputs[places[i]].log_end = items[i].offset;
    }
    free(items);
    free(places);
    return ok;
}

/* ---- what is left in those that are stuck ---- */

struct looking {
    struct resolve *it;
    size_t *outputs; /* of each span */
};

static bool range_of(const struct batch *batch, const struct provenance *provenance,
                     size_t *range_out)
{
    int64_t found = batch_find_range(batch, provenance->topic, provenance->partition);

    if (found < 0 || provenance->offset < batch->ranges[found].from ||
        provenance->offset >= batch->ranges[found].until) {
        return false;
    }
    *range_out = (size_t)found;
    return true;
}

static bool on_found(void *arg, size_t span, const rd_kafka_message_t *message, struct err *err)
{
    struct looking *looking = arg;
    struct resolve *it = looking->it;
    size_t output = looking->outputs[span];
    const struct protocol_self self = {.uuid = it->identity.uuid,
                                       .settled = it->identity.settled,
                                       .in_doubt = it->in_doubt ? it->batch.number : 0};
    struct protocol_self us = self;
    struct provenance provenance;
    bool known = false;
    size_t range;
    enum found found;

    memcpy(us.job, it->broker.job, sizeof(us.job));
    if (!relay_provenance(message, &provenance)) {
        return true;
    }
    if (!ledger_knows_incarnation(it->ledger, provenance.incarnation, &known, err)) {
        return false;
    }
    found = protocol_judge_record(&us, &provenance, known);
    if (found == FOUND_AHEAD || found == FOUND_COPY ||
        (found == FOUND_IN_DOUBT && !range_of(&it->batch, &provenance, &range))) {
        return err_set(err, ERR_DECISION, 0,
                       "'%s'[%d] offset %" PRId64 " is of batch %" PRId64
                       " by a start or a plan that this ledger doesn't know: another process has "
                       "worked on the job; oncesink-recover reconcile first",
                       it->outputs[output].topic, (int)it->outputs[output].partition,
                       message->offset, provenance.batch);
    }
    if (found == FOUND_IN_DOUBT) {
        delivered_add(&it->delivered, range, output, provenance.offset, provenance.index);
    }
    return true;
}

static bool read_stuck(struct resolve *it, struct err *err)
{
    struct readback_span *spans = mem_array(it->output_count, sizeof(*spans));
    size_t *outputs = mem_array(it->output_count, sizeof(*outputs));
    struct looking looking = {.it = it, .outputs = outputs};
    struct readback *readback = NULL;
    size_t count = 0;
    bool ok = true;

    for (size_t i = 0; i < it->output_count; i++) {
        const struct resolve_output *output = &it->outputs[i];

        if (output->fenced && resolve_is_stuck(output) && output->log_start < output->log_end) {
            spans[count] = (struct readback_span){.topic = output->topic,
                                                  .partition = output->partition,
                                                  .from = output->log_start,
                                                  .until = output->log_end};
            outputs[count++] = i;
        }
    }
    if (count > 0) {
        ok = readback_new(it->broker.config, false, &readback, err) &&
             readback_read(readback, spans, count, on_found, &looking, &it->broker.patience, err);
    }
    readback_free(readback);
    free(spans);
    free(outputs);
    return ok;
}

static void count_sources(struct resolve *it)
{
    for (size_t o = 0; o < it->output_count; o++) {
        struct resolve_output *output = &it->outputs[o];

        for (size_t r = 0; r < it->batch.range_count && output->fenced; r++) {
            if (resolve_reaches(it, r, output)) {
                bool told = delivered_at(&it->delivered, r, o)->offset >= 0;

                output->told += told ? 1 : 0;
                output->untold += told ? 0 : 1;
            }
        }
    }
}

bool resolve_look(struct resolve *it, struct err *err)
{
    int64_t wait_ms = broker_settle_ms(&it->broker);
    struct timespec nap = {.tv_sec = wait_ms / 1000, .tv_nsec = wait_ms % 1000 * 1000000};
    bool ok;

    nanosleep(&nap, NULL); /* what the dead process had on the wire has arrived (R3) */
    ok = load_outputs(it, err) && ask_ends(it, err);
    for (size_t i = 0; ok && i < it->output_count; i++) {
        ok = judge(it, &it->outputs[i], err);
    }
    delivered_init(&it->delivered, it->batch.range_count, it->output_count);
    ok = ok && (it->by_mark || read_stuck(it, err));
    if (ok && !it->by_mark) {
        count_sources(it);
    }
    return ok;
}
