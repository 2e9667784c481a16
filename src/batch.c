/* What a batch is made of: freed, copied, compared, found. Nothing here decides anything. */
#include "batch.h"

#include "mem.h"

#include <stdlib.h>
#include <string.h>

void definition_deinit(struct definition *definition)
{
    for (size_t i = 0; i < definition->input_count; i++) {
        free(definition->inputs[i].topic);
        free(definition->inputs[i].error_topic);
    }
    for (size_t i = 0; i < definition->output_count; i++) {
        free(definition->outputs[i].topic);
    }
    free(definition->inputs);
    free(definition->outputs);
    *definition = (struct definition){0};
}

void definition_copy(const struct definition *definition, struct definition *copy_out)
{
    *copy_out = *definition;
    copy_out->inputs = mem_array(definition->input_count, sizeof(*copy_out->inputs));
    copy_out->outputs = mem_array(definition->output_count, sizeof(*copy_out->outputs));
    for (size_t i = 0; i < definition->input_count; i++) {
        copy_out->inputs[i] = definition->inputs[i];
        copy_out->inputs[i].topic = mem_text(definition->inputs[i].topic);
        copy_out->inputs[i].error_topic = mem_text(definition->inputs[i].error_topic);
    }
    for (size_t i = 0; i < definition->output_count; i++) {
        copy_out->outputs[i] = definition->outputs[i];
        copy_out->outputs[i].topic = mem_text(definition->outputs[i].topic);
    }
}

static bool same_id(const char *a, const char *b)
{
    return a[0] == '\0' || b[0] == '\0' || strcmp(a, b) == 0;
}

static bool same_input(const struct definition_input *a, const struct definition_input *b)
{
    return a->output == b->output && same_id(a->topic_id, b->topic_id) &&
           strcmp(a->topic, b->topic) == 0 && strcmp(a->error_topic, b->error_topic) == 0;
}

static bool same_output(const struct definition_output *a, const struct definition_output *b)
{
    return a->partitions == b->partitions && same_id(a->topic_id, b->topic_id) &&
           strcmp(a->topic, b->topic) == 0;
}

bool definition_same(const struct definition *a, const struct definition *b)
{
    if (a->delivery != b->delivery || a->provenance != b->provenance ||
        a->partitioner != b->partitioner || a->isolation != b->isolation ||
        a->on_data_loss != b->on_data_loss || a->on_bad_record != b->on_bad_record ||
        a->input_count != b->input_count || a->output_count != b->output_count) {
        return false;
    }
    for (size_t i = 0; i < a->input_count; i++) {
        if (!same_input(&a->inputs[i], &b->inputs[i])) {
            return false;
        }
    }
    for (size_t i = 0; i < a->output_count; i++) {
        if (!same_output(&a->outputs[i], &b->outputs[i])) {
            return false;
        }
    }
    return true;
}

static int by_input_topic(const void *topic, const void *input)
{
    return strcmp(topic, ((const struct definition_input *)input)->topic);
}

static int by_output_topic(const void *topic, const void *output)
{
    return strcmp(topic, ((const struct definition_output *)output)->topic);
}

int definition_find_input(const struct definition *definition, const char *topic)
{
    const struct definition_input *found = NULL;

    if (definition->input_count > 0) {
        found = bsearch(topic, definition->inputs, definition->input_count, sizeof(*found),
                        by_input_topic);
    }
    return found == NULL ? -1 : (int)(found - definition->inputs);
}

int definition_find_output(const struct definition *definition, const char *topic)
{
    const struct definition_output *found = NULL;

    if (definition->output_count > 0) {
        found = bsearch(topic, definition->outputs, definition->output_count, sizeof(*found),
                        by_output_topic);
    }
    return found == NULL ? -1 : (int)(found - definition->outputs);
}

void batch_deinit(struct batch *batch)
{
    definition_deinit(&batch->definition);
    for (size_t i = 0; i < batch->fence_count; i++) {
        free((char *)batch->fences[i].topic);
    }
    for (size_t i = 0; i < batch->progress_count; i++) {
        free(batch->progress[i].topic);
    }
    for (size_t i = 0; i < batch->set_aside_count; i++) {
        free(batch->set_aside[i].error_topic);
    }
    free(batch->ranges);
    free(batch->fences);
    free(batch->progress);
    free(batch->set_aside);
    *batch = (struct batch){0};
}

const char *const LIMITED_WORDS[LIMITED_COUNT] = {
    [LIMITED_NONE] = "none",           [LIMITED_CAP] = "cap",         [LIMITED_INITIAL] = "initial",
    [LIMITED_ESTIMATOR] = "estimator", [LIMITED_MINIMUM] = "minimum", [LIMITED_RECORDS] = "records",
    [LIMITED_MEMORY] = "memory",
};

int64_t batch_find_range(const struct batch *batch, const char *topic, int32_t partition)
{
    size_t from = 0;
    size_t until = batch->range_count;

    while (from < until) {
        size_t middle = from + (until - from) / 2;
        const struct range *range = &batch->ranges[middle];
        int order = strcmp(batch->definition.inputs[range->input].topic, topic);

        if (order == 0) {
            order = range->partition < partition ? -1 : range->partition > partition;
        }
        if (order == 0) {
            return (int64_t)middle;
        }
        if (order < 0) {
            from = middle + 1;
        } else {
            until = middle;
        }
    }
    return -1;
}

int64_t batch_planned(const struct batch *batch)
{
    int64_t planned = 0;

    for (size_t i = 0; i < batch->range_count; i++) {
        planned += batch->ranges[i].until - batch->ranges[i].from;
    }
    return planned;
}
