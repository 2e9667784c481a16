/* Read tasks: one partition's range in one batch each, what they wait for, and how often they have
 * failed (limits.md §5: fetch.timeout.ms, task.max.failures). Pure: no clock, no client.
 *
 *               waited for fetch.timeout.ms        for the task.max.failures-th time:
 *                                                  the batch fails
 *        ┌─────────┐ ───────────────► ┌────────┐ ─────────────────────► ┌─────────┐
 *   ────►│ RUNNING │  fresh consumer  │ FAILED │      back-off over     │ RESTING │
 *        └──┬──────┘ ◄─────────────── └────────┘ ◄───────────────────── └────┬────┘
 *           │   ▲ ▲                        │     the batch begins again      │
 *  finished │   │ └─ something came after all                                │
 *           ▼   └───────────────────────────────── something came after all ─┘
 *         DONE
 *
 * That the batch fails and begins again means: those that rest get a fresh consumer after a
 * back-off, all count their attempts anew, those that run go on. The plan stays, and what was
 * delivered stays delivered: only reading begins again. A task that rests is asked all the same, so
 * that a broker's coming back ends its rest at once.
 *
 * An attempt has twice the time whenever the batch has begun again without anything having come, up
 * to READ_TASK_DOUBLINGS_MAX times: each fresh consumer begins at the next record needed, and one
 * behind more aborted data than a broker sends within the time-out would never come to it.
 *
 * Only time in which it was the broker's turn is counted: between two looks that both found
 * nothing, and at most READ_TASK_LOOK_MS of that, since a long time between two looks is ours (the
 * output was full, a slice was committed, the process stood still). */
#ifndef READ_TASK_H
#define READ_TASK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    READ_TASK_LOOK_MS = 1000,
    READ_TASK_REST_MS = 1000, /* the first back-off; each further one is twice as long */
    READ_TASK_REST_MS_MAX = 60000,
    READ_TASK_DOUBLINGS_MAX = 6,
};

enum read_task_state { READ_TASK_RUNNING, READ_TASK_FAILED, READ_TASK_RESTING, READ_TASK_DONE };

/* What a look at a task found. */
enum read_task_found {
    READ_TASK_CAME,    /* records, or the position moved over what can't be read */
    READ_TASK_NOTHING, /* and it is the broker's turn */
    READ_TASK_EXCUSED, /* nothing, for a reason that somebody else judges */
    READ_TASK_FINISHED,
};

struct read_task {
    enum read_task_state state;
    int64_t failures;  /* attempts that failed since the batch began, or began again */
    int64_t rests;     /* since something last came */
    int64_t waited_ms; /* for the broker, since something last came or the attempt began */
    int64_t asked_ms;  /* the last look, if it found nothing; 0 = it found something */
};

struct read_tasks {
    int64_t timeout_ms;
    int64_t failures_max;
    struct read_task *tasks;
    size_t count;
    int64_t rest_until_ms; /* when the batch begins again; 0 = it hasn't failed */
};

/* `tasks` is the caller's, room for `count`: all are running. */
void read_tasks_init(struct read_tasks *tasks, struct read_task *room, size_t count,
                     int64_t timeout_ms, int64_t failures_max);

/* A look at tasks[index] found this. Times are of one monotonic clock. */
void read_tasks_look(struct read_tasks *tasks, size_t index, enum read_task_found found,
                     int64_t now_ms);

/* Those that have waited too long by now fail. */
enum read_tasks_verdict {
    READ_TASKS_GO_ON,
    READ_TASKS_FAILED,  /* some are FAILED */
    READ_TASKS_EXPIRED, /* the batch fails: some have begun to rest; others may be FAILED */
    READ_TASKS_RESTED,  /* it begins again: those that rested are FAILED, all count anew */
};
enum read_tasks_verdict read_tasks_judge(struct read_tasks *tasks, int64_t now_ms);

/* How long an attempt may wait when the batch has begun again so often without anything coming. */
int64_t read_tasks_attempt_ms(const struct read_tasks *tasks, int64_t rests);

/* A task that failed so often in a row without anything between rests for so long. */
int64_t read_tasks_rest_ms(int64_t rests);

/* tasks[index], which had failed, has a fresh consumer. */
void read_tasks_again(struct read_tasks *tasks, size_t index);

/* How many are in that state; with `indexes_out` (room for all): which. */
size_t read_tasks_in(const struct read_tasks *tasks, enum read_task_state state,
                     size_t *indexes_out);

#endif
