/* What the next batch is. */
#include "batch_plan.h"

#include "mem.h"

#include <assert.h>
#include <stdlib.h>

static void plan_ranges(const struct rate_split *split, int64_t minimum,
                        const struct plan_input *inputs, size_t count, struct batch *batch)
{
    struct rate_share *shares = mem_array(count, sizeof(*shares));

    for (size_t i = 0; i < count; i++) {
        shares[i] = (struct rate_share){
            .current = inputs[i].next,
            .latest = inputs[i].end,
            .cap = inputs[i].cap,
            .minimum = minimum,
        };
    }
    rate_split(split, shares, count, &batch->limited_by);
    batch->rate = (double)rate_split_rate(split);
    batch->ranges = mem_array(count, sizeof(*batch->ranges));
    for (size_t i = 0; i < count; i++) {
        if (shares[i].until > inputs[i].next) {
            batch->ranges[batch->range_count++] = (struct range){
                .input = inputs[i].input,
                .partition = inputs[i].partition,
                .from = inputs[i].next,
                .until = shares[i].until,
                .end = inputs[i].end > shares[i].until ? inputs[i].end : shares[i].until,
                .leader_epoch = inputs[i].leader_epoch,
                .end_epoch = inputs[i].end_epoch,
            };
        }
    }
    free(shares);
}

static void plan_fence(const struct outputs *outputs, size_t index, bool *fenced,
                       struct batch *batch)
{
    const struct output *output = &outputs->items[index];

    assert(output->next >= 0);
    if (!fenced[index]) {
        fenced[index] = true;
        batch->fences[batch->fence_count++] = (struct fence){
            .topic = mem_text(output->topic),
            .partition = output->partition,
            .offset = output->next,
        };
    }
}

void batch_plan(const struct rate_split *split, int64_t minimum, const struct plan_input *inputs,
                size_t count, const struct outputs *outputs, struct batch *batch)
{
    bool *fenced = mem_array(outputs->count, sizeof(*fenced));

    plan_ranges(split, minimum, inputs, count, batch);
    batch->fences = mem_array(outputs->count, sizeof(*batch->fences));
    for (size_t i = 0; i < batch->range_count; i++) {
        const struct range *range = &batch->ranges[i];
        const struct definition_output *output =
            &batch->definition.outputs[batch->definition.inputs[range->input].output];
        int64_t first = outputs_find(outputs, output->topic, 0);

        assert(first >= 0);
        if (batch->definition.partitioner == PARTITIONER_SAME) {
            plan_fence(outputs, (size_t)(first + range->partition % output->partitions), fenced,
                       batch);
            continue;
        }
        for (int32_t p = 0; p < output->partitions; p++) {
            plan_fence(outputs, (size_t)(first + p), fenced, batch);
        }
    }
    free(fenced);
}
