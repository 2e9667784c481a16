/* A small definition, and batches that follow each other. */
#ifndef SUPPORT_BATCH_H
#define SUPPORT_BATCH_H

#include "batch.h"

/* Topics a and b → out, c → other, with the given numbers of partitions. */
void sample_definition(struct definition *definition_out, int32_t out_partitions,
                       int32_t other_partitions);

/* A batch of `partitions` ranges of topic a, each [from, from + records), fences at 10 × number. */
void sample_batch(struct batch *batch_out, int64_t number, int32_t partitions, int64_t from,
                  int64_t records);

#endif
