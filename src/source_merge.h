/* Two readers of one partition, and of each record the first copy to arrive, once (limits.md §5).
 *
 * Each reader's stream is contiguous: what lies between two of its records isn't there for anybody.
 * Both began at or before the next record needed, so whichever brings one that wasn't handed out
 * yet brings the next one. What the other has brought meanwhile is passed by: dropped when it
 * comes.
 *
 * That holds only if both read the same log. After an unclean leader election one reader can hold
 * records of a log that is gone while the other, further behind, goes on in the new one and never
 * notices: its client compares leader epochs only where it has been itself. So a reader that was
 * overtaken has to meet the last record that the other handed out, with the same leader epoch, or
 * to go on in that very epoch (offsets are written once in an epoch). A record of that offset with
 * another epoch is of another log; where none is left of that offset (a marker, compaction) and the
 * next is of another epoch, its stream is in doubt: it has to begin again behind the last record
 * handed out, with its epoch, and the client asks the leader. An unknown epoch (−1: old formats) is
 * equal to any.
 *
 * So one reader that begins anew can be compared with what was read before, too. Pure. */
#ifndef SOURCE_MERGE_H
#define SOURCE_MERGE_H

#include <stdbool.h>
#include <stdint.h>

/* What a reader was overtaken by and hasn't met since. */
struct source_merge {
    int64_t last; /* the last record that the other reader handed out; −1 = nothing to meet */
    int32_t epoch;
};

enum merge_verdict {
    MERGE_TAKE,  /* the next record */
    MERGE_DROP,  /* had already */
    MERGE_OTHER, /* another log: the record of that offset has another epoch */
    MERGE_DOUBT, /* maybe of another log */
};

/* The reader begins where the other is, its client compares the epoch: nothing to meet. */
void source_merge_reset(struct source_merge *merge);

/* The other reader has handed out `last`. */
void source_merge_overtaken(struct source_merge *merge, int64_t last, int32_t epoch);

/* What becomes of a record that the reader brings; everything below `next` was handed out, or is
 * known not to be there. */
enum merge_verdict source_merge_judge(struct source_merge *merge, int64_t next, int64_t offset,
                                      int32_t epoch);

/* The reader is at the range's end without a record behind the last one handed out: is that the end
 * of the same log? */
bool source_merge_is_met(const struct source_merge *merge);

#endif
