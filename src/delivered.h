/* How far each source has been delivered to each output partition: the per-source prefix of R4.
 *
 * A table of (range, output partition) → highest (input offset, index) known to be delivered.
 * Records of a source reach an output partition in order, so everything at or below is there and
 * everything above isn't. Pure; main thread.
 *
 * Of a range there is a row from the lowest to the highest output that it has met, mostly a single
 * one: a table of all pairs would take 16 MB for a thousand partitions. */
#ifndef DELIVERED_H
#define DELIVERED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct delivered_entry {
    int64_t offset; /* −1 = nothing yet */
    int32_t index;
    uint32_t records; /* how many were added */
};

struct delivered_row {
    size_t first, count; /* outputs */
    struct delivered_entry *entries;
};

struct delivered {
    size_t ranges, outputs;
    struct delivered_row *rows; /* of the ranges; to be looked through, not changed */
};

void delivered_init(struct delivered *delivered, size_t ranges, size_t outputs);
void delivered_deinit(struct delivered *delivered); /* accepts zero */

/* `to` becomes the same; it was initialised (or zero). */
void delivered_copy(const struct delivered *from, struct delivered *to);

/* More output columns; what is there stays. */
void delivered_widen(struct delivered *delivered, size_t outputs);

/* Raises the entry to (offset, index) and counts the record. false when it was not higher (there
 * already, or out of order): then the entry stays as it is, and nothing is counted. */
bool delivered_add(struct delivered *delivered, size_t range, size_t output, int64_t offset,
                   int32_t index);

/* What is known from elsewhere takes the entry's place. */
void delivered_put(struct delivered *delivered, size_t range, size_t output,
                   struct delivered_entry entry);

bool delivered_has(const struct delivered *delivered, size_t range, size_t output, int64_t offset,
                   int32_t index);

/* The entry, or one that says that nothing is there yet. Valid until the next change. */
const struct delivered_entry *delivered_at(const struct delivered *delivered, size_t range,
                                           size_t output);

/* Lowest input offset of the range that may not be delivered yet, when its records can go to
 * outputs[first … first + count): 1 + the lowest of their entries; `from` when one of them has
 * nothing. */
int64_t delivered_lowest(const struct delivered *delivered, size_t range, size_t first,
                         size_t count, int64_t from);

/* Transactional: what is committed of a range is a prefix of it over all outputs, so everything at
 * or below the highest of their entries is there. 1 + that; `from` when none has anything. */
int64_t delivered_prefix(const struct delivered *delivered, size_t range, int64_t from);

/* Records of the range, of all its outputs. */
int64_t delivered_records(const struct delivered *delivered, size_t range);

/* Records of all ranges. */
int64_t delivered_records_all(const struct delivered *delivered);

#endif
