/* The output partitions of a job. */
#include "outputs.h"

#include "mem.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

void outputs_deinit(struct outputs *outputs)
{
    for (size_t i = 0; i < outputs->count; i++) {
        free(outputs->items[i].topic);
    }
    free(outputs->items);
    free(outputs->order);
    *outputs = (struct outputs){0};
}

/* Where in `order` the partition stands, or is to stand. */
static size_t place_of(const struct outputs *outputs, const char *topic, int32_t partition,
                       bool *found_out)
{
    size_t from = 0;
    size_t until = outputs->count;

    while (from < until) {
        size_t middle = from + (until - from) / 2;
        const struct output *output = &outputs->items[outputs->order[middle]];
        int by_topic = strcmp(output->topic, topic);

        if (by_topic == 0 && output->partition == partition) {
            *found_out = true;
            return middle;
        }
        if (by_topic < 0 || (by_topic == 0 && output->partition < partition)) {
            from = middle + 1;
        } else {
            until = middle;
        }
    }
    *found_out = false;
    return from;
}

int64_t outputs_find(const struct outputs *outputs, const char *topic, int32_t partition)
{
    bool found;
    size_t place = place_of(outputs, topic, partition, &found);

    assert(!found || place < outputs->count);
    return found ? (int64_t)outputs->order[place] : -1;
}

/* One that isn't there yet. */
static size_t append(struct outputs *outputs, const struct output *output)
{
    bool found;
    size_t place = place_of(outputs, output->topic, output->partition, &found);

    assert(!found);
    outputs->items = mem_grow(outputs->items, outputs->count + 1, sizeof(*outputs->items));
    outputs->order = mem_grow(outputs->order, outputs->count + 1, sizeof(*outputs->order));
    memmove(&outputs->order[place + 1], &outputs->order[place],
            (outputs->count - place) * sizeof(*outputs->order));
    outputs->order[place] = outputs->count;
    outputs->items[outputs->count] = *output;
    return outputs->count++;
}

size_t outputs_add(struct outputs *outputs, const char *topic, int32_t partition)
{
    int64_t found = outputs_find(outputs, topic, partition);

    if (found >= 0) {
        return (size_t)found;
    }
    return append(outputs, &(struct output){
                               .topic = mem_text(topic),
                               .partition = partition,
                               .next = -1,
                               .expected = -1,
                               .look_from = -1,
                           });
}

/* Error partitions always have headers. */
static void set_positions(struct output *output, bool positions)
{
    if (positions && !output->positions) {
        output->looked = false;
    }
    output->positions = positions;
}

/* Moves the entry of that partition from one table to the other, or makes it there; its index. */
static size_t hand_over(struct outputs *from, struct outputs *to, const char *topic,
                        int32_t partition)
{
    int64_t found = outputs_find(from, topic, partition);
    struct output output;

    if (found < 0 || outputs_find(to, topic, partition) >= 0) {
        return outputs_add(to, topic, partition);
    }
    output = from->items[found];
    output.topic = mem_text(topic); /* the old table still frees its own */
    return append(to, &output);
}

void outputs_arrange(struct outputs *outputs, const struct definition *definition)
{
    struct outputs arranged = {0};

    for (size_t i = 0; i < definition->output_count; i++) {
        for (int32_t p = 0; p < definition->outputs[i].partitions; p++) {
            size_t index = hand_over(outputs, &arranged, definition->outputs[i].topic, p);

            assert(arranged.items != NULL);
            set_positions(&arranged.items[index], definition->provenance == PROVENANCE_POSITIONS);
        }
    }
    for (size_t i = 0; i < outputs->count; i++) {
        if (outputs_find(&arranged, outputs->items[i].topic, outputs->items[i].partition) < 0) {
            set_positions(&outputs->items[i], false);
            hand_over(outputs, &arranged, outputs->items[i].topic, outputs->items[i].partition);
        }
    }
    outputs_deinit(outputs);
    *outputs = arranged;
}

void outputs_begin(struct outputs *outputs)
{
    for (size_t i = 0; i < outputs->count; i++) {
        outputs->items[i].fenced = false;
        outputs->items[i].fence = -1;
        outputs->items[i].records = 0;
    }
}

bool outputs_is_old(const struct output *output, int64_t wall_ms, int64_t age_ms)
{
    return wall_ms < output->refreshed_wall_ms || wall_ms - output->refreshed_wall_ms > age_ms;
}

void outputs_delivered(struct output *output, int64_t offset)
{
    assert(offset >= 0);
    if (output->expected >= 0) {
        if (offset > output->expected) {
            if (output->gap_from == output->gap_until) {
                output->gap_from = output->expected;
            }
            output->gap_until = offset;
        }
        output->expected = offset + 1;
    }
    output->next = offset + 1;
    output->records++;
}
