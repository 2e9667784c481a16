/* The output partitions of a job and what is known of each: the next fence, how far it was looked
 * through, and whether a gap in our offsets has to be looked at (R5, R6). A table; no I/O. Main
 * thread. */
#ifndef OUTPUTS_H
#define OUTPUTS_H

#include "batch.h"

struct output {
    char *topic;
    int32_t partition;
    char topic_id[TOPIC_ID_SIZE]; /* "" = unknown */
    int64_t next; /* last delivered + 1, or a later log end: the next fence; −1 = unknown */
    int64_t refreshed_wall_ms; /* when `next` was last known to be so */
    bool stored;               /* the ledger has this row */
    /* records here are known by their places (output.provenance): `next` is exact, and whatever
     * stands elsewhere than it should is somebody else's */
    bool positions;
    bool fenced;       /* the batch under way has a durable fence here */
    int64_t fence;     /* that fence */
    int64_t records;   /* delivered in the batch under way */
    bool looked;       /* its tail was looked through by this process (O3, O4) */
    int64_t look_from; /* O3: where the second look begins; −1 = nowhere */
    bool alone;        /* R5: the next record travels alone */
    int64_t expected; /* the offset our next record has when nobody else writes; −1 = not watched */
    int64_t gap_from,
        gap_until; /* what lies between our records and wasn't looked at; equal = nothing */
};

struct outputs {
    struct output
        *items; /* a topic's partitions stand together, in order; error partitions come last */
    size_t count;
    size_t *order; /* indexes of the items, by topic, partition */
};

void outputs_deinit(struct outputs *outputs); /* accepts zero */

/* Index, or −1. */
int64_t outputs_find(const struct outputs *outputs, const char *topic, int32_t partition);

/* Index of the partition's entry, which is made (next −1, expected −1) when it isn't there. Moves
 * the items. */
size_t outputs_add(struct outputs *outputs, const char *topic, int32_t partition);

/* The table for a definition: its outputs' partitions in order, then whatever else was there. What
 * was known stays; but a partition whose records are known by their places from now on counts as
 * not looked through. */
void outputs_arrange(struct outputs *outputs, const struct definition *definition);

/* A new batch begins: no fence, no records. */
void outputs_begin(struct outputs *outputs);

/* R6: where `next` stands was last known longer than age_ms ago by the wall clock; or at a time
 * that is still to come, when the wall clock was set back since. */
bool outputs_is_old(const struct output *output, int64_t wall_ms, int64_t age_ms);

/* One of our records is at `offset`: moves `next`, counts it, and widens the gap when something
 * stands between. */
void outputs_delivered(struct output *output, int64_t offset);

#endif
