/* Putting into the ledger what is concluded of marks and outputs, in the order that the ledger's
 * own rules want: numbers, positions, then the batch in doubt; all in one transaction, with an
 * event. */
#include "mend.h"

#include "ledger_repair.h"
#include "mark.h"
#include "mem.h"

#include <stdlib.h>
#include <string.h>

static bool put_inputs(struct mend *mend, struct ledger *ledger, struct err *err)
{
    bool ok = true;

    for (size_t i = 0; ok && i < mend->place_count; i++) {
        const struct evidence_place *place = &mend->places[i];
        const struct topic_fact *fact = topic_facts_find(mend->broker.facts, place->topic);
        struct ledger_input input = {
            .topic = (char *)(uintptr_t)place->topic,
            .partition = place->partition,
            .next_offset = place->next,
            .leader_epoch = -1,
        };

        if (place->next < 0 || place->next == place->ledger) {
            continue;
        }
        memcpy(input.topic_id, fact->topic_id, TOPIC_ID_SIZE);
        ok = ledger_input_put(ledger, &input, err);
    }
    return ok;
}

static int64_t fence_of(const struct mend *mend, size_t output)
{
    const struct scan_output *place = &mend->scan.outputs[output];
    const struct evidence_output *found = &mend->scan.evidence.outputs[output];
    bool in_doubt = mend->result.settled < mend->result.batch &&
                    mend->scan.evidence.batch == mend->result.batch;
    int64_t last =
        in_doubt || found->last < found->last_earlier ? found->last_earlier : found->last;

    if (last >= 0) {
        return last + 1;
    }
    return place->from > place->log_start ? place->from : place->log_start;
}

static bool put_outputs(struct mend *mend, struct ledger *ledger, struct err *err)
{
    bool ok = true;

    for (size_t i = 0; ok && i < mend->scan.output_count; i++) {
        const struct scan_output *place = &mend->scan.outputs[i];
        const struct topic_fact *fact = topic_facts_find(mend->broker.facts, place->topic);
        struct ledger_output output = {
            .topic = place->topic,
            .partition = place->partition,
            .next_offset = fence_of(mend, i),
            .refreshed_wall_ms = broker_wall_ms(),
        };

        memcpy(output.topic_id, fact->topic_id, TOPIC_ID_SIZE);
        ok = ledger_output_put(ledger, &output, err);
    }
    return ok;
}

/* T as a batch in doubt. */
static bool plan(struct mend *mend, struct ledger *ledger, struct err *err)
{
    struct batch batch = {
        .number = mend->result.batch,
        .state = BATCH_PLANNED,
        .tick_ms = broker_wall_ms(),
        .started_ms = broker_wall_ms(),
        .planned_wall_ms = broker_wall_ms(),
    };
    bool ok;

    mend->definition.delivery = DELIVERY_IDEMPOTENT;
    if (!ledger_define(ledger, &mend->definition, err)) {
        return false;
    }
    definition_copy(&mend->definition, &batch.definition);
    batch.definition.id = mend->definition.id;
    batch.ranges = mem_array(mend->place_count, sizeof(*batch.ranges));
    batch.fences = mem_array(mend->scan.output_count, sizeof(*batch.fences));
    for (size_t t = 0; t < batch.definition.input_count; t++) {
        for (size_t i = 0; i < mend->place_count; i++) {
            const struct evidence_place *place = &mend->places[i];

            if (place->until > place->next &&
                strcmp(place->topic, batch.definition.inputs[t].topic) == 0) {
                batch.ranges[batch.range_count++] = (struct range){.input = (uint32_t)t,
                                                                   .partition = place->partition,
                                                                   .from = place->next,
                                                                   .until = place->until,
                                                                   .end = place->until,
                                                                   .leader_epoch = -1,
                                                                   .end_epoch = -1};
            }
        }
    }
    for (size_t i = 0; i < mend->scan.output_count; i++) {
        const struct scan_output *place = &mend->scan.outputs[i];

        if (!place->error || mend->scan.evidence.outputs[i].records > 0) {
            batch.fences[batch.fence_count++] = (struct fence){.topic = mem_text(place->topic),
                                                               .partition = place->partition,
                                                               .offset = fence_of(mend, i)};
        }
    }
    ok = ledger_plan(ledger, &batch, err);
    batch_deinit(&batch);
    return ok;
}

/* The ledger has it, or it stands twice in the error topic. */
static bool is_aside_already(const struct mend *mend, size_t at)
{
    const struct provenance *aside = &mend->scan.asides[at].provenance;

    for (size_t i = 0; i < at; i++) {
        const struct provenance *other = &mend->scan.asides[i].provenance;

        if (other->batch == aside->batch && other->offset == aside->offset &&
            other->partition == aside->partition && strcmp(other->topic, aside->topic) == 0) {
            return true;
        }
    }
    for (size_t i = 0; mend->batch_in_doubt && i < mend->batch.set_aside_count; i++) {
        const struct set_aside_mark *mark = &mend->batch.set_aside[i];
        const struct range *range = &mend->batch.ranges[mark->range];

        if (mend->batch.number == aside->batch && mark->offset == aside->offset &&
            range->partition == aside->partition &&
            strcmp(mend->batch.definition.inputs[range->input].topic, aside->topic) == 0) {
            return true;
        }
    }
    return false;
}

/* What T put aside is noted as the lost ledger had it, so that it isn't tried again. */
static bool put_asides(struct mend *mend, struct ledger *ledger, struct err *err)
{
    bool ok = true;

    for (size_t i = 0; ok && i < mend->scan.aside_count; i++) {
        struct scan_aside *aside = &mend->scan.asides[i];
        const struct scan_output *place = &mend->scan.outputs[aside->output];

        if (aside->provenance.batch != mend->result.batch || is_aside_already(mend, i)) {
            continue;
        }
        aside->record.topic = aside->provenance.topic;
        ok = ledger_set_aside(ledger, mend->result.batch, &aside->record,
                              "found in the error topic when the ledger was mended", place->topic,
                              place->partition, broker_wall_ms(), err);
    }
    return ok;
}

static bool put_result(struct mend *mend, struct ledger *ledger, struct err *err)
{
    bool in_doubt = mend->result.settled < mend->result.batch;

    return ledger_renumber(ledger, mend->result.settled, err) && put_inputs(mend, ledger, err) &&
           put_outputs(mend, ledger, err) &&
           (!in_doubt || (plan(mend, ledger, err) && put_asides(mend, ledger, err)));
}

bool mend_apply(struct mend *mend, struct ledger *ledger, const char *words, struct err *err)
{
    const struct evidence *evidence = &mend->scan.evidence;
    bool ok = ledger_begin(ledger, err);

    for (size_t i = 0; ok && i < evidence->start_count; i++) {
        ok = ledger_learn_incarnation(ledger, evidence->starts[i], broker_wall_ms(), err);
    }
    if (ok && mend->result.batch > 0) {
        ok = put_result(mend, ledger, err);
    }
    ok = ok && ledger_event(ledger, EVENT_OPERATOR, 0, broker_wall_ms(), err, "%s", words) &&
         ledger_commit(ledger, err);
    if (!ok) {
        ledger_rollback(ledger);
    }
    return ok;
}

bool mend_write_marks(struct mend *mend, const struct mark_text *text, struct err *err)
{
    struct mark_item *items = mem_array(mend->place_count, sizeof(*items));
    char words[MARK_TEXT_SIZE];
    size_t count = 0;
    bool ok;

    mark_text_format(text, words);
    for (size_t i = 0; i < mend->place_count; i++) {
        if (mend->places[i].next >= 0) {
            items[count++] = (struct mark_item){.topic = mend->places[i].topic,
                                                .partition = mend->places[i].partition,
                                                .offset = mend->places[i].next};
        }
    }
    ok = broker_write_marks(&mend->broker, items, count, words, err);
    free(items);
    return ok;
}
