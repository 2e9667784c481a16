/* A transactional batch in doubt with no mark in the group.
 *
 * The marks decide in that mode, and the service asks the outputs' headers when there is none. When
 * neither tells, a person does, and the decision is what it would have found: the marks of the last
 * settled batch (missing: the batch is delivered anew), or the batch's own as whole (delivered). */
#include "resolve.h"

#include "mark.h"
#include "mem.h"
#include "scan.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BELOW_FENCE = 1000 }; /* as far as the service looks */

static int64_t until_of(const struct batch *batch, const struct ledger_input *input)
{
    for (size_t r = 0; r < batch->range_count; r++) {
        if (batch->ranges[r].partition == input->partition &&
            strcmp(batch->definition.inputs[batch->ranges[r].input].topic, input->topic) == 0) {
            return batch->ranges[r].until;
        }
    }
    return input->next_offset;
}

/* Every input that is still there. */
static struct mark_item *make_items(struct resolve *it, const struct ledger_inputs *inputs,
                                    bool delivered, size_t *count_out)
{
    struct mark_item *items = mem_array(inputs->count, sizeof(*items));
    size_t count = 0;

    for (size_t i = 0; i < inputs->count; i++) {
        const struct ledger_input *input = &inputs->items[i];

        if (input->partition < broker_partitions(&it->broker, input->topic)) {
            items[count++] = (struct mark_item){
                .topic = input->topic,
                .partition = input->partition,
                .offset = delivered ? until_of(&it->batch, input) : input->next_offset,
            };
        }
    }
    *count_out = count;
    return items;
}

static bool none_there(struct resolve *it, const struct mark_item *items, size_t count,
                       struct err *err)
{
    struct mark_item *found = mem_array(count, sizeof(*found));
    bool ok;

    for (size_t i = 0; i < count; i++) {
        found[i] = (struct mark_item){.topic = items[i].topic, .partition = items[i].partition};
    }
    ok = mark_read(it->broker.ask, it->broker.config->group_id, MARK_AS_IT_IS, found, count,
                   &it->broker.patience, err);
    for (size_t i = 0; ok && i < count && !it->nothing; i++) {
        it->nothing = found[i].offset >= 0;
    }
    free(found);
    return ok;
}

/* Records of this ledger from a little below the fences on: they show that headers last here, so
 * whether the batch is among them is told, and the service finds it by itself. */
static bool outputs_tell(struct resolve *it, bool *told_out, struct err *err)
{
    struct scan scan;
    bool ok;

    scan_init(&scan, &it->broker, &it->batch.definition);
    scan.ledger = it->ledger;
    scan.committed = true;
    memcpy(scan.uuid, it->identity.uuid, UUID_SIZE);
    ok = scan_from_ledger(&scan, it->ledger, err);
    for (size_t i = 0; ok && i < scan.output_count; i++) {
        int64_t from = scan.outputs[i].from;

        scan.outputs[i].from = from > BELOW_FENCE ? from - BELOW_FENCE : 0;
    }
    ok = ok && scan_read(&scan, err);
    *told_out = ok && scan.evidence.records > 0;
    scan_deinit(&scan);
    return ok;
}

static bool write_marks(struct resolve *it, const struct mark_item *items, size_t count,
                        bool delivered, struct err *err)
{
    struct mark_text text = {
        .delivery = DELIVERY_TRANSACTIONAL,
        .batch = delivered ? it->batch.number : it->identity.settled,
        .slice = 1,
        .slices = 1,
    };
    char words[MARK_TEXT_SIZE];

    memcpy(text.uuid, it->identity.uuid, UUID_SIZE);
    memcpy(text.incarnation, it->identity.incarnation, INCARNATION_SIZE);
    mark_text_format(&text, words);
    return broker_write_marks(&it->broker, items, count, words, err) &&
           ledger_event(it->ledger, EVENT_OPERATOR, it->batch.number, broker_wall_ms(), err, "%s",
                        it->words);
}

bool resolve_marks(struct resolve *it, const struct recover_arguments *arguments, struct err *err)
{
    bool delivered = arguments->assume == ASSUME_DELIVERED;
    struct ledger_inputs inputs;
    struct mark_item *items;
    size_t count = 0;
    bool told = false;
    bool ok;

    if (!ledger_inputs_load(it->ledger, &inputs, err)) {
        return false;
    }
    items = make_items(it, &inputs, delivered, &count);
    ok = none_there(it, items, count, err);
    if (ok && !it->nothing) {
        ok = outputs_tell(it, &told, err);
    }
    if (ok && told) {
        it->nothing = true;
        snprintf(it->words, sizeof(it->words),
                 "group '%s' carries no mark, but the outputs tell of batch %" PRId64
                 ": nothing has to be decided; start the service",
                 it->broker.config->group_id, it->batch.number);
    } else if (ok && it->nothing) {
        snprintf(it->words, sizeof(it->words),
                 "group '%s' carries offsets, which tell of batch %" PRId64
                 ": nothing has to be decided; start the service, or, if it refuses them, "
                 "oncesink-recover reconcile",
                 it->broker.config->group_id, it->batch.number);
    } else if (ok) {
        snprintf(it->words, sizeof(it->words),
                 "batch %" PRId64 " is in doubt and group '%s' carries no mark: %s",
                 it->batch.number, it->broker.config->group_id,
                 delivered ? "assumed delivered as a whole, not sent again"
                 : arguments->assume == ASSUME_MISSING ? "assumed missing, sent again as a whole"
                                                       : "needs --assume delivered|missing");
    }
    if (ok && !it->nothing && arguments->yes) {
        ok = arguments->assume == ASSUME_NOTHING ? err_set(err, ERR_USAGE, 0, "%s", it->words)
                                                 : write_marks(it, items, count, delivered, err);
    }
    free(items);
    ledger_inputs_deinit(&inputs);
    return ok;
}
