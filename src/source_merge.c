/* Two readers of one partition. See the header. */
#include "source_merge.h"

#include <assert.h>

void source_merge_reset(struct source_merge *merge)
{
    *merge = (struct source_merge){.last = -1, .epoch = -1};
}

void source_merge_overtaken(struct source_merge *merge, int64_t last, int32_t epoch)
{
    assert(last > merge->last);
    *merge = (struct source_merge){.last = last, .epoch = epoch};
}

enum merge_verdict source_merge_judge(struct source_merge *merge, int64_t next, int64_t offset,
                                      int32_t epoch)
{
    assert(merge->last < next);
    if (merge->last >= 0 && offset >= merge->last) {
        if (merge->epoch >= 0 && epoch >= 0 && merge->epoch != epoch) {
            return offset == merge->last ? MERGE_OTHER : MERGE_DOUBT;
        }
        source_merge_reset(merge);
    }
    return offset < next ? MERGE_DROP : MERGE_TAKE;
}

bool source_merge_is_met(const struct source_merge *merge)
{
    return merge->last < 0;
}
