/* A recovered batch is read once more before it is settled (R5).
 *
 * From each fence to the log's end: what is there twice becomes an event; what was acknowledged
 * must be seen. Where the log's start has passed a fence meanwhile (old timestamps), the rest is
 * read and nothing is compared. Where records are known by their places, nothing may lie behind the
 * last of them. */
#include "failpoint.h"
#include "job_state.h"
#include "look.h"
#include "mem.h"
#include "recover.h"
#include "source_ends.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>

/* From each fence, or from the log's start when that has moved above it, to the end. */
static bool check_spans(struct look *look, struct err *err)
{
    struct job *job = look->job;
    struct ends_item *first = mem_array(job->batch.fence_count, sizeof(*first));
    struct patience patience = job_patience(job, -1);
    bool ok;

    for (size_t i = 0; i < job->batch.fence_count; i++) {
        first[i] = (struct ends_item){.topic = job->batch.fences[i].topic,
                                      .partition = job->batch.fences[i].partition};
    }
    ok = ends_get(job->ask, ENDS_FIRST, first, job->batch.fence_count, &patience, err);
    for (size_t i = 0; ok && i < job->batch.fence_count; i++) {
        const struct fence *fence = &job->batch.fences[i];
        int64_t output = outputs_find(&job->outputs, fence->topic, fence->partition);
        int64_t from = fence->offset > first[i].offset ? fence->offset : first[i].offset;

        assert(output >= 0);
        if (job->outputs.items[output].positions) {
            /* What lies below was compared, or acknowledged at its place: nothing may follow. */
            int64_t next = job->outputs.items[output].next;

            ok = look_add_by_place(look, (size_t)output, next, next, err);
        } else {
            look_add(look, (size_t)output, from, from);
        }
    }
    free(first);
    return ok && look_extend(look, err);
}

/* What the last acknowledgement says must be seen again, unless the log's start has passed the
 * fence meanwhile. */
static bool compare_check(struct job *job, const struct look *look, struct err *err)
{
    const struct delivered *seen = look->delivered;

    for (size_t s = 0; s < look->count; s++) {
        size_t output = look->outputs[s];

        for (size_t r = 0; r < seen->ranges && job->batch.fences[s].offset == look->spans[s].from;
             r++) {
            int64_t there = delivered_at(seen, r, output)->offset;
            int64_t ours = delivered_at(&job->delivered, r, output)->offset;
            const struct range *range = &job->batch.ranges[r];

            if (there < ours) {
                return err_set(err, ERR_DECISION, 0,
                               "batch %" PRId64 " has delivered '%s'[%d] up to offset %" PRId64
                               " to '%s'[%d], but there it ends with %" PRId64
                               ": something removes records from the output, or their headers",
                               job->batch.number, job->batch.definition.inputs[range->input].topic,
                               (int)range->partition, ours, look->spans[s].topic,
                               (int)look->spans[s].partition, there);
            }
        }
    }
    return true;
}

bool recover_check(struct job *job, struct err *err)
{
    struct delivered seen;
    struct look look;
    bool ok;

    delivered_init(&seen, job->batch.range_count, job->outputs.count);
    recover_seed(job, &seen);
    look_init(&look, job, LOOK_CHECK);
    look.delivered = &seen;
    ok = check_spans(&look, err);
    if (ok) {
        int64_t *from = mem_array(look.count, sizeof(*from));

        for (size_t i = 0; i < look.count; i++) {
            from[i] = look.spans[i].from;
        }
        ok = look_read(&look, err);
        for (size_t i = 0; i < look.count; i++) {
            look.spans[i].from = from[i];
        }
        free(from);
    }
    ok = ok && compare_check(job, &look, err);
    if (ok) {
        job_move(job, PROTOCOL_CHECK);
    }
    if (ok && failpoint("recover-check")) {
        ok = err_set(err, ERR_FAILED, 0, "failpoint");
    }
    delivered_deinit(&seen);
    look_deinit(&look);
    return ok;
}
