/* What the next batch is: ranges and fences from what is known of inputs and outputs. Pure; any
 * thread. */
#ifndef BATCH_PLAN_H
#define BATCH_PLAN_H

#include "batch.h"
#include "outputs.h"
#include "rate_split.h"

struct plan_input {
    uint32_t input; /* index into the definition's inputs */
    int32_t partition;
    int64_t next; /* offset */
    int64_t end;  /* last stable offset, or high watermark */
    int32_t leader_epoch;
    int32_t end_epoch;
    int64_t cap; /* records/s, 0 = none */
};

/* Fills batch->ranges (non-empty ones, in the inputs' order), batch->limited_by, batch->rate (what
 * is in force, whether it cuts or not), and batch->fences: one for each output partition that a
 * record of the ranges can reach, at `next` of its output, which must be known. batch->definition
 * is set already. `split` says what limits it; its minimum for every partition is `minimum`. An
 * empty batch has no ranges. */
void batch_plan(const struct rate_split *split, int64_t minimum, const struct plan_input *inputs,
                size_t count, const struct outputs *outputs, struct batch *batch);

#endif
