/* The read tasks of the batch under way.
 *
 *     asked, for each look at a range ─► look, now and then ─┬─► failed: a fresh consumer
 *                                                            └─► the batch failed: rest, then again
 *
 * Tasks that fail in the same look share a fresh consumer and an event: a dead leader of 300
 * partitions makes one of each. */
#include "deliver_tasks.h"

#include "job_state.h"
#include "log.h"
#include "mem.h"
#include "wait.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

enum { LOOK_MS_MIN = 50, LOOK_MS_MAX = 1000, NAMES_SIZE = 400, NOTE_SIZE = 800, NAMED_MAX = 3 };

void deliver_tasks_begin(struct job *job)
{
    job->task_room = mem_array(job->read_count, sizeof(*job->task_room));
    job->task_some = mem_array(job->read_count, sizeof(*job->task_some));
    read_tasks_init(&job->tasks, job->task_room, job->read_count, job->config->fetch_timeout_ms,
                    job->config->task_max_failures);
    job->tasks_looked_ms = wait_now_ms();
}

void deliver_tasks_end(struct job *job)
{
    free(job->task_room);
    free(job->task_some);
    job->task_room = NULL;
    job->task_some = NULL;
    job->tasks = (struct read_tasks){0};
}

void deliver_tasks_asked(struct job *job, size_t read, const struct source_taken *taken)
{
    enum read_task_found found = READ_TASK_EXCUSED;

    if (taken->done) {
        found = READ_TASK_FINISHED;
    } else if (taken->count > 0 || taken->moved) {
        found = READ_TASK_CAME;
    } else if (taken->waiting) {
        found = READ_TASK_NOTHING;
    }
    if (job->tasks.tasks[read].state == READ_TASK_RESTING && found != READ_TASK_NOTHING &&
        found != READ_TASK_EXCUSED) {
        log_notice("batch %" PRId64 ": input '%s'[%" PRId32 "] gives records again",
                   job->batch.number, job->batch.definition.inputs[job->reads[read].input].topic,
                   job->reads[read].partition);
    }
    read_tasks_look(&job->tasks, read, found, wait_now_ms());
}

bool deliver_tasks_hold(const struct job *job)
{
    return source_has_retired(job->source) && !source_can_retry(job->source) &&
           read_tasks_in(&job->tasks, READ_TASK_FAILED, NULL) > 0;
}

/* The partitions of those tasks in words: "'x'[1] from offset 5, … and 17 more". */
static void name_them(const struct job *job, const size_t *reads, size_t count, char *text,
                      size_t size)
{
    size_t used = 0;

    text[0] = '\0';
    for (size_t i = 0; i < count && i < NAMED_MAX && used < size; i++) {
        const struct range *range = &job->reads[reads[i]];
        int wrote = snprintf(text + used, size - used, "%s'%s'[%" PRId32 "] from offset %" PRId64,
                             i > 0 ? ", " : "", job->batch.definition.inputs[range->input].topic,
                             range->partition, source_position(job->source, reads[i]));

        used += wrote > 0 ? (size_t)wrote : 0;
    }
    if (count > NAMED_MAX && used < size) {
        snprintf(text + used, size - used, " and %zu more", count - NAMED_MAX);
    }
}

/* ── events ──────────────────────────────────────────────────────────────────────────────────── */

struct note {
    enum ledger_event_kind kind;
    char text[NOTE_SIZE];
};

static bool note_steps(struct job *job, void *arg, struct err *err)
{
    const struct note *note = arg;

    return ledger_event(job->ledger, note->kind, job->batch.number, clock_wall_ms(&job->clock), err,
                        "%s", note->text);
}

/* Waits while the disk is full: trouble with brokers must not become the end because of it. */
__attribute__((format(printf, 4, 5))) static bool note(struct job *job, enum ledger_event_kind kind,
                                                       struct err *err, const char *format, ...)
{
    struct note note = {.kind = kind};
    va_list args;

    va_start(args, format);
    vsnprintf(note.text, sizeof(note.text), format, args);
    va_end(args);
    return job_transaction(job, note_steps, &note, err);
}

/* ── a failed attempt ────────────────────────────────────────────────────────────────────────── */

static int64_t most_failures(const struct job *job, const size_t *reads, size_t count)
{
    int64_t most = 0;

    for (size_t i = 0; i < count; i++) {
        int64_t failures = job->tasks.tasks[reads[i]].failures;

        most = failures > most ? failures : most;
    }
    return most;
}

/* Those that have failed begin again with a fresh consumer. */
static bool begin_again(struct job *job, struct err *err)
{
    size_t *failed = job->task_some;
    size_t count = read_tasks_in(&job->tasks, READ_TASK_FAILED, failed);
    int64_t failures = most_failures(job, failed, count);
    int64_t waited_ms;
    char names[NAMES_SIZE];

    if (count == 0 || !source_can_retry(job->source)) {
        return true; /* later: see deliver_tasks_hold */
    }
    name_them(job, failed, count, names, sizeof(names));
    waited_ms = read_tasks_attempt_ms(&job->tasks, job->tasks.tasks[failed[0]].rests);
    if (failures == 0) {
        log_notice("batch %" PRId64 " begins again: input %s", job->batch.number, names);
    } else {
        log_warning("batch %" PRId64 ": input %s: nothing came within %" PRId64
                    " ms (failure %" PRId64 " of %" PRId64
                    " allowed); reading on with a fresh consumer",
                    job->batch.number, names, waited_ms, failures, job->tasks.failures_max);
        if (!note(job, EVENT_ATTEMPT, err,
                  "input %s: nothing came within %" PRId64 " ms, failure %" PRId64 " of %" PRId64
                  "; reading on with a fresh consumer",
                  names, waited_ms, failures, job->tasks.failures_max)) {
            return false;
        }
    }
    if (!source_retry(job->source, failed, count, err)) {
        return false;
    }
    for (size_t i = 0; i < count; i++) {
        read_tasks_again(&job->tasks, failed[i]);
    }
    return true;
}

/* ── the batch ───────────────────────────────────────────────────────────────────────────────── */

static bool batch_failed(struct job *job, struct err *err)
{
    size_t *resting = job->task_some;
    size_t count = read_tasks_in(&job->tasks, READ_TASK_RESTING, resting);
    int64_t rest_ms = job->tasks.rest_until_ms - wait_now_ms();
    int64_t waited_ms = read_tasks_attempt_ms(&job->tasks, job->tasks.tasks[resting[0]].rests - 1);
    char names[NAMES_SIZE];

    rest_ms = rest_ms > 0 ? rest_ms : 0;
    name_them(job, resting, count, names, sizeof(names));
    log_error("batch %" PRId64 " failed: input %s: nothing came within %" PRId64 " ms in %" PRId64
              " attempts (task.max.failures); the batch is kept and begins again "
              "in %" PRId64 " ms",
              job->batch.number, names, waited_ms, job->tasks.failures_max, rest_ms);
    return note(job, EVENT_FAILURE, err,
                "batch %" PRId64 " failed: input %s: nothing came within %" PRId64 " ms in %" PRId64
                " attempts; kept, begins again in %" PRId64 " ms",
                job->batch.number, names, waited_ms, job->tasks.failures_max, rest_ms);
}

/* Nothing that was taken is around any more. */
static bool holds_nothing(const struct job *job)
{
    return job->hand.at == job->hand.count && job->kept == NULL &&
           (job->sink == NULL || sink_in_flight(job->sink) == 0);
}

/* Not too often: those whose time is over soon after another's fail with it. */
static int64_t look_every_ms(const struct job *job)
{
    int64_t some_ms = job->tasks.timeout_ms / 10;

    return some_ms < LOOK_MS_MIN ? LOOK_MS_MIN : some_ms > LOOK_MS_MAX ? LOOK_MS_MAX : some_ms;
}

bool deliver_tasks_look(struct job *job, struct err *err)
{
    int64_t now_ms = wait_now_ms();
    enum read_tasks_verdict verdict;

    if (source_has_retired(job->source) && holds_nothing(job)) {
        source_tidy(job->source);
        relay_forget_topics(job->relay);
    }
    if (now_ms - job->tasks_looked_ms < look_every_ms(job)) {
        return true;
    }
    job->tasks_looked_ms = now_ms;
    verdict = read_tasks_judge(&job->tasks, now_ms);
    switch (verdict) {
    case READ_TASKS_GO_ON:
        return true;
    case READ_TASKS_EXPIRED:
        return batch_failed(job, err) && begin_again(job, err);
    case READ_TASKS_FAILED:
    case READ_TASKS_RESTED:
        return begin_again(job, err);
    }
    return true;
}
