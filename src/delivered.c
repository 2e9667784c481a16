/* The table of what has been delivered: one entry a pair (range, output partition), in one block,
 * range by range. Only the highest position is kept: R4 goes on behind it and never looks at what
 * lies below. */
#include "delivered.h"

#include "mem.h"

#include <assert.h>
#include <stdlib.h>

static struct delivered_entry *entry_at(const struct delivered *delivered, size_t range,
                                        size_t output)
{
    assert(range < delivered->ranges);
    assert(output < delivered->outputs);
    return &delivered->entries[range * delivered->outputs + output];
}

static bool is_above(const struct delivered_entry *entry, int64_t offset, int32_t index)
{
    return offset > entry->offset || (offset == entry->offset && index > entry->index);
}

void delivered_init(struct delivered *delivered, size_t ranges, size_t outputs)
{
    *delivered = (struct delivered){.ranges = ranges, .outputs = outputs};
    assert(outputs == 0 || ranges <= SIZE_MAX / outputs);
    delivered->entries = mem_array(ranges * outputs, sizeof(*delivered->entries));
    for (size_t i = 0; i < ranges * outputs; i++) {
        delivered->entries[i].offset = -1;
    }
}

void delivered_deinit(struct delivered *delivered)
{
    free(delivered->entries);
    *delivered = (struct delivered){0};
}

void delivered_copy(const struct delivered *from, struct delivered *to)
{
    delivered_deinit(to);
    delivered_init(to, from->ranges, from->outputs);
    for (size_t i = 0; i < from->ranges * from->outputs; i++) {
        to->entries[i] = from->entries[i];
    }
}

void delivered_widen(struct delivered *delivered, size_t outputs)
{
    struct delivered wider;

    assert(outputs >= delivered->outputs);
    if (outputs == delivered->outputs) {
        return;
    }
    delivered_init(&wider, delivered->ranges, outputs);
    for (size_t range = 0; range < delivered->ranges; range++) {
        for (size_t output = 0; output < delivered->outputs; output++) {
            *entry_at(&wider, range, output) = *entry_at(delivered, range, output);
        }
    }
    delivered_deinit(delivered);
    *delivered = wider;
}

bool delivered_add(struct delivered *delivered, size_t range, size_t output, int64_t offset,
                   int32_t index)
{
    struct delivered_entry *entry = entry_at(delivered, range, output);

    assert(offset >= 0);
    assert(index >= 0);
    if (!is_above(entry, offset, index)) {
        return false;
    }
    entry->offset = offset;
    entry->index = index;
    entry->records++;
    return true;
}

bool delivered_has(const struct delivered *delivered, size_t range, size_t output, int64_t offset,
                   int32_t index)
{
    assert(offset >= 0);
    assert(index >= 0);
    return !is_above(entry_at(delivered, range, output), offset, index);
}

int64_t delivered_lowest(const struct delivered *delivered, size_t range, size_t first,
                         size_t count, int64_t from)
{
    int64_t lowest = INT64_MAX;

    assert(count > 0);
    for (size_t output = first; output < first + count; output++) {
        int64_t offset = entry_at(delivered, range, output)->offset;

        if (offset < lowest) {
            lowest = offset;
        }
    }
    return lowest < from ? from : lowest + 1;
}

int64_t delivered_prefix(const struct delivered *delivered, size_t range, int64_t from)
{
    int64_t prefix = from;

    for (size_t output = 0; output < delivered->outputs; output++) {
        int64_t offset = entry_at(delivered, range, output)->offset;

        if (offset >= prefix) {
            prefix = offset + 1;
        }
    }
    return prefix;
}
