/* Late writes: the gaps between our records, and one more look some time after a start (R5, O3).
 *
 * For some minutes after a start or a recovery every gap in our delivered offsets is read: what
 * stands there is a stranger's, or came late and is there twice (look.c judges it). */
#include "job_state.h"
#include "look.h"
#include "recover.h"
#include "wait.h"

enum {
    READBACK_IDLE_MS = 3000, /* a reader of the outputs that wasn't used for so long is ended */
};

/* A reader that nobody needs would go on fetching what we write. look_read makes a new one. */
static void drop_readback(struct job *job)
{
    readback_free(job->readback);
    job->readback = NULL;
}

bool recover_look_at_gaps(struct job *job, struct err *err)
{
    struct look look;
    bool ok;

    look_init(&look, job, LOOK_GAP);
    for (size_t i = 0; i < job->outputs.count; i++) {
        struct output *output = &job->outputs.items[i];

        if (output->gap_from < output->gap_until) {
            look_add(&look, i, output->gap_from, output->gap_until);
            output->gap_from = output->gap_until = 0;
        }
    }
    ok = look.count == 0 || look_read(&look, err);
    look_deinit(&look);
    return ok;
}

/* What came since the first look: the gaps between our own records, and what lies behind the last
 * of them. */
static bool second_look(struct job *job, struct err *err)
{
    struct look look;
    bool ok = true;

    job->second_look_ms = 0;
    if (!recover_look_at_gaps(job, err)) {
        return false;
    }
    look_init(&look, job, LOOK_GAP);
    for (size_t i = 0; ok && i < job->outputs.count; i++) {
        const struct output *output = &job->outputs.items[i];
        int64_t from = output->expected >= 0 ? output->expected : output->look_from;

        if (!output->looked || output->look_from < 0) {
            continue;
        }
        if (!output->positions) {
            look_add(&look, i, from, from);
        } else if (job->state == PROTOCOL_IDLE) {
            /* With records on their way their offsets tell it. */
            ok = look_add_by_place(&look, i, output->next, output->next, err);
        }
    }
    ok = ok && look_extend(&look, err) && look_read(&look, err);
    look_deinit(&look);
    drop_readback(job); /* from now on it is needed only where somebody else writes */
    return ok;
}

void recover_watch_end(struct job *job)
{
    job->second_look_ms = 0;
    job->watch_until_ms = 0;
    for (size_t i = 0; i < job->outputs.count; i++) {
        struct output *output = &job->outputs.items[i];

        output->expected = output->look_from = -1;
        output->gap_from = output->gap_until = 0;
        output->alone = false;
    }
    drop_readback(job);
}

bool recover_meanwhile(struct job *job, struct err *err)
{
    int64_t now = clock_now_ms(&job->clock);

    if (job->state == PROTOCOL_BROKEN || job->state == PROTOCOL_IN_DOUBT) {
        return true; /* the read-back sees it all */
    }
    if (job->second_look_ms > 0 && wait_now_ms() >= job->second_look_ms && !second_look(job, err)) {
        return false;
    }
    if (now - job->readback_ms >= READBACK_IDLE_MS) {
        drop_readback(job);
    }
    if (job->watch_until_ms == 0 || now - job->gap_look_ms < GAP_LOOK_MS) {
        return true;
    }
    job->gap_look_ms = now;
    if (!recover_look_at_gaps(job, err)) {
        return false;
    }
    if (now < job->watch_until_ms) {
        return true;
    }
    job->watch_until_ms = 0;
    for (size_t i = 0; i < job->outputs.count; i++) {
        job->outputs.items[i].expected = -1;
    }
    return true;
}
