/* The table of what has been delivered: a row a range, each as wide as what it has met. Only the
 * highest position is kept: R4 goes on behind it and never looks at what lies below. */
#include "delivered.h"

#include "mem.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

static const struct delivered_entry NOTHING = {.offset = -1};

static const struct delivered_row *row_of(const struct delivered *delivered, size_t range)
{
    assert(range < delivered->ranges);
    return &delivered->rows[range];
}

const struct delivered_entry *delivered_at(const struct delivered *delivered, size_t range,
                                           size_t output)
{
    const struct delivered_row *row = row_of(delivered, range);

    assert(output < delivered->outputs);
    return output >= row->first && output - row->first < row->count
               ? &row->entries[output - row->first]
               : &NOTHING;
}

/* Reaches the output from now on; doubled, since a partitioner by key meets one after another. */
static void row_reach(struct delivered_row *row, size_t output, size_t outputs)
{
    size_t first = row->count == 0 ? output : row->first;
    size_t end = row->count == 0 ? output + 1 : row->first + row->count;
    struct delivered_entry *entries;

    if (output < first) {
        first = first - output > row->count ? output : first > row->count ? first - row->count : 0;
    }
    if (output >= end) {
        end = output - end >= row->count ? output + 1 : end + row->count;
        end = end < outputs ? end : outputs;
    }
    entries = mem_array(end - first, sizeof(*entries));
    for (size_t i = 0; i < end - first; i++) {
        entries[i] = NOTHING;
    }
    if (row->count > 0) {
        memcpy(&entries[row->first - first], row->entries, row->count * sizeof(*entries));
    }
    free(row->entries);
    *row = (struct delivered_row){.first = first, .count = end - first, .entries = entries};
}

static struct delivered_entry *entry_of(struct delivered *delivered, size_t range, size_t output)
{
    struct delivered_row *row = &delivered->rows[range];

    assert(range < delivered->ranges);
    assert(output < delivered->outputs);
    if (output < row->first || output - row->first >= row->count) {
        row_reach(row, output, delivered->outputs);
    }
    return &row->entries[output - row->first];
}

static bool is_above(const struct delivered_entry *entry, int64_t offset, int32_t index)
{
    return offset > entry->offset || (offset == entry->offset && index > entry->index);
}

void delivered_init(struct delivered *delivered, size_t ranges, size_t outputs)
{
    *delivered = (struct delivered){
        .ranges = ranges,
        .outputs = outputs,
        .rows = mem_array(ranges, sizeof(*delivered->rows)),
    };
}

void delivered_deinit(struct delivered *delivered)
{
    for (size_t range = 0; range < delivered->ranges; range++) {
        free(delivered->rows[range].entries);
    }
    free(delivered->rows);
    *delivered = (struct delivered){0};
}

void delivered_copy(const struct delivered *from, struct delivered *to)
{
    struct delivered copy;

    delivered_init(&copy, from->ranges, from->outputs);
    for (size_t range = 0; range < from->ranges; range++) {
        const struct delivered_row *row = &from->rows[range];

        if (row->count > 0) {
            copy.rows[range] = *row;
            copy.rows[range].entries = mem_array(row->count, sizeof(*row->entries));
            memcpy(copy.rows[range].entries, row->entries, row->count * sizeof(*row->entries));
        }
    }
    delivered_deinit(to);
    *to = copy;
}

void delivered_widen(struct delivered *delivered, size_t outputs)
{
    assert(outputs >= delivered->outputs);
    delivered->outputs = outputs;
}

bool delivered_add(struct delivered *delivered, size_t range, size_t output, int64_t offset,
                   int32_t index)
{
    struct delivered_entry *entry = entry_of(delivered, range, output);

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

void delivered_put(struct delivered *delivered, size_t range, size_t output,
                   struct delivered_entry entry)
{
    *entry_of(delivered, range, output) = entry;
}

bool delivered_has(const struct delivered *delivered, size_t range, size_t output, int64_t offset,
                   int32_t index)
{
    assert(offset >= 0);
    assert(index >= 0);
    return !is_above(delivered_at(delivered, range, output), offset, index);
}

int64_t delivered_lowest(const struct delivered *delivered, size_t range, size_t first,
                         size_t count, int64_t from)
{
    int64_t lowest = INT64_MAX;

    assert(count > 0);
    for (size_t output = first; output < first + count; output++) {
        int64_t offset = delivered_at(delivered, range, output)->offset;

        if (offset < 0) {
            return from;
        }
        lowest = offset < lowest ? offset : lowest;
    }
    return lowest < from ? from : lowest + 1;
}

int64_t delivered_prefix(const struct delivered *delivered, size_t range, int64_t from)
{
    const struct delivered_row *row = row_of(delivered, range);
    int64_t prefix = from;

    for (size_t i = 0; i < row->count; i++) {
        if (row->entries[i].offset >= prefix) {
            prefix = row->entries[i].offset + 1;
        }
    }
    return prefix;
}

int64_t delivered_records(const struct delivered *delivered, size_t range)
{
    const struct delivered_row *row = row_of(delivered, range);
    int64_t records = 0;

    for (size_t i = 0; i < row->count; i++) {
        records += row->entries[i].records;
    }
    return records;
}

int64_t delivered_records_all(const struct delivered *delivered)
{
    int64_t records = 0;

    for (size_t range = 0; range < delivered->ranges; range++) {
        records += delivered_records(delivered, range);
    }
    return records;
}
