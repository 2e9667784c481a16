/* Where the inputs end, for the plan.
 *
 *     known well enough ─────────────────────────────► job->ends
 *     asked ahead, while a batch is acknowledged ──► answered in time ──► job->ends
 *                                                  └ not, or in part ─┐
 *     asked ◄─────────────────────────────────────────────────────────┘
 *
 * An end only grows, so one that was told a moment ago leaves out what came since, no more; one
 * that doesn't is seen by the reader. */
#include "plan_ends.h"

#include "job_state.h"
#include "mem.h"
#include "source_ends.h"
#include "start.h"
#include "wait.h"

#include <inttypes.h>
#include <stdlib.h>

enum { ENDS_WAIT_MS = 3000, ENDS_AGE_MS = 200, STILL_AGE_MS = 5000, AHEAD_WAIT_MS = 50 };

int64_t plan_ends_range(const struct job *job, size_t input)
{
    const struct ledger_input *known = &job->inputs.items[input];

    return job->state == PROTOCOL_IDLE
               ? -1
               : batch_find_range(&job->batch, known->topic, known->partition);
}

int64_t plan_ends_next(const struct job *job, size_t input)
{
    int64_t range = plan_ends_range(job, input);

    return range >= 0 ? job->batch.ranges[range].until : job->inputs.items[input].next_offset;
}

static enum ends_of which(const struct job *job)
{
    return job->config->isolation == ISOLATION_READ_COMMITTED ? ENDS_COMMITTED : ENDS_LAST;
}

/* The partitions to ask for, in the inputs' order. */
static struct ends_item *list_items(const struct job *job, size_t *count_out)
{
    struct ends_item *items = mem_array(job->inputs.count, sizeof(*items));
    size_t count = 0;

    for (size_t i = 0; i < job->inputs.count; i++) {
        if (definition_find_input(&job->definition, job->inputs.items[i].topic) >= 0) {
            items[count++] = (struct ends_item){.topic = job->inputs.items[i].topic,
                                                .partition = job->inputs.items[i].partition};
        }
    }
    *count_out = count;
    return items;
}

/* A lower end than our offset isn't truncation until a newer leader says so (rule I2). */
static bool check_end(struct job *job, size_t input, const struct ends_item *end, struct err *err)
{
    const struct ledger_input *known = &job->inputs.items[input];
    int64_t next = plan_ends_next(job, input);

    if (end->offset >= next) {
        return true;
    }
    job_doubt_topics(job); /* is it still the same topic? */
    if (end->leader_epoch < 0 || known->leader_epoch < 0 ||
        end->leader_epoch <= known->leader_epoch) {
        return true;
    }
    return err_set(
        err, ERR_DECISION, 0,
        "input '%s'[%d] ends at %" PRId64 ", but offset %" PRId64
        " is needed next: truncated by an unclean leader election (leader epoch %d, ours "
        "%d), or made anew; begin with another job.name and ledger to read what it has now",
        known->topic, (int)known->partition, end->offset, next, (int)end->leader_epoch,
        (int)known->leader_epoch);
}

int64_t plan_ends_of(const struct job *job, size_t input, size_t at)
{
    const struct ledger_input *known = &job->inputs.items[input];
    int64_t goal = job_goal(job, known->topic, known->partition);

    return job->ends[at].offset < goal ? job->ends[at].offset : goal;
}

/* Interval 0 with a backlog: the ends that were told a moment ago leave a whole batch still, and
 * asking again for each small batch would cost more than it. */
static bool ends_will_do(const struct job *job, int64_t now_ms)
{
    int64_t left = 0;
    size_t at = 0;

    if (job->tick.interval_ms > 0 || job->config->batch_max_records == 0 || job->end_count == 0 ||
        job->ends_facts_ms != job->facts_ms || now_ms - job->ends_ms >= ENDS_AGE_MS) {
        return false;
    }
    for (size_t i = 0; i < job->inputs.count; i++) {
        if (definition_find_input(&job->definition, job->inputs.items[i].topic) >= 0) {
            int64_t more = plan_ends_of(job, i, at++) - plan_ends_next(job, i);

            left += more > 0 ? more : 0;
        }
    }
    return left >= job->config->batch_max_records;
}

bool plan_ends_reached(const struct job *job)
{
    size_t at = 0;

    if (job->end_count == 0 || job->ends_facts_ms != job->facts_ms) {
        return false;
    }
    for (size_t i = 0; i < job->inputs.count; i++) {
        if (definition_find_input(&job->definition, job->inputs.items[i].topic) >= 0 &&
            job->ends[at++].offset > plan_ends_next(job, i)) {
            return false;
        }
    }
    return true;
}

/* Nothing was there when the brokers were last asked, and the reader has met nothing since. A
 * reading that hangs would not tell, so that isn't believed for long. */
static bool is_still(const struct job *job, int64_t now_ms)
{
    return job->state == PROTOCOL_IDLE && now_ms - job->ends_ms < STILL_AGE_MS &&
           plan_ends_reached(job) && source_is_still(job->source, job->end_count);
}

/* `items` are the answer to a question of asked_ms. Takes them. */
static bool take_ends(struct job *job, struct ends_item *items, size_t count, int64_t asked_ms,
                      struct err *err)
{
    free(job->ends);
    job->ends = items;
    job->end_count = count;
    job->ends_ms = asked_ms;
    job->ends_facts_ms = job->facts_ms;
    for (size_t i = 0, at = 0; i < job->inputs.count; i++) {
        if (definition_find_input(&job->definition, job->inputs.items[i].topic) >= 0) {
            job->inputs.items[i].end_offset = job->ends[at].offset;
            if (!check_end(job, i, &job->ends[at++], err)) {
                return false;
            }
        }
    }
    return true;
}

static bool ask_now(struct job *job, int64_t now_ms, int wait_ms, struct err *err)
{
    struct patience patience = job_patience(job, wait_ms >= 0 ? wait_ms : ENDS_WAIT_MS);
    size_t count;
    struct ends_item *items = list_items(job, &count);

    job->end_count = 0;
    if (!ends_get(job->ask, which(job), items, count, &patience, err)) {
        free(items);
        return false;
    }
    return take_ends(job, items, count, now_ms, err);
}

/* ── asked ahead ─────────────────────────────────────────────────────────────────────────────── */

void plan_ends_ask(struct job *job)
{
    struct ends_ahead *ahead = &job->ahead;
    int64_t now_ms = clock_now_ms(&job->clock);

    if (job->tick.interval_ms > 0 || ahead->question != NULL || ends_will_do(job, now_ms)) {
        return;
    }
    start_ask_ids(job);
    ahead->items = list_items(job, &ahead->count);
    ahead->question = ends_ask(job->ask, which(job), ahead->items, ahead->count);
    ahead->asked_ms = now_ms;
    ahead->facts_ms = job->facts_ms;
}

void plan_ends_forget(struct job *job)
{
    ends_free(job->ahead.question);
    free(job->ahead.items);
    job->ahead = (struct ends_ahead){0};
}

/* The answer to what was asked ahead, for all partitions; else what is the matter is found out by
 * asking again. */
static bool is_answered(struct ends_ahead *ahead, int wait_ms)
{
    int64_t until_ms = wait_now_ms() + wait_ms;
    bool done = false;
    struct err trouble;

    while (!done) {
        int64_t left_ms = until_ms - wait_now_ms();

        if (!ends_wait(ahead->question, left_ms > 0 ? (int)left_ms : 0, &done, &trouble) ||
            (!done && left_ms <= 0)) {
            return false;
        }
    }
    for (size_t i = 0; i < ahead->count; i++) {
        if (ahead->items[i].error != RD_KAFKA_RESP_ERR_NO_ERROR) {
            return false;
        }
    }
    return true;
}

/* *taken_out: job->ends is what was asked ahead. */
static bool take_ahead(struct job *job, int64_t now_ms, bool *taken_out, struct err *err)
{
    struct ends_ahead *ahead = &job->ahead;
    bool ok = true;

    *taken_out = ahead->question != NULL && ahead->facts_ms == job->facts_ms &&
                 now_ms - ahead->asked_ms < ENDS_AGE_MS && is_answered(ahead, AHEAD_WAIT_MS);
    if (*taken_out) {
        ok = take_ends(job, ahead->items, ahead->count, ahead->asked_ms, err);
        ahead->items = NULL;
    }
    plan_ends_forget(job);
    return ok;
}

bool plan_ends_learn(struct job *job, int64_t now_ms, int wait_ms, struct err *err)
{
    bool taken = false;

    if (is_still(job, now_ms)) {
        return true;
    }
    start_ask_ids(job);
    return take_ahead(job, now_ms, &taken, err) &&
           (taken || ends_will_do(job, now_ms) || ask_now(job, now_ms, wait_ms, err));
}
