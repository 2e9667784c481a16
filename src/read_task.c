/* Read tasks: what a partition's reading waits for, and how often it has failed. The header has the
 * drawing. */
#include "read_task.h"

#include <assert.h>

void read_tasks_init(struct read_tasks *tasks, struct read_task *room, size_t count,
                     int64_t timeout_ms, int64_t failures_max)
{
    assert(timeout_ms > 0 && failures_max > 0);
    *tasks = (struct read_tasks){
        .timeout_ms = timeout_ms, .failures_max = failures_max, .tasks = room, .count = count};
    for (size_t i = 0; i < count; i++) {
        room[i] = (struct read_task){.state = READ_TASK_RUNNING};
    }
}

/* ── moves ───────────────────────────────────────────────────────────────────────────────────── */

static bool is_allowed(enum read_task_state from, enum read_task_state to)
{
    static const bool ALLOWED[][READ_TASK_DONE + 1] = {
        [READ_TASK_RUNNING] = {[READ_TASK_FAILED] = true, [READ_TASK_DONE] = true},
        [READ_TASK_FAILED] =
            {[READ_TASK_RUNNING] = true, [READ_TASK_RESTING] = true, [READ_TASK_DONE] = true},
        [READ_TASK_RESTING] =
            {[READ_TASK_RUNNING] = true, [READ_TASK_FAILED] = true, [READ_TASK_DONE] = true},
        [READ_TASK_DONE] = {false},
    };

    return ALLOWED[from][to];
}

static void move(struct read_task *task, enum read_task_state to)
{
    assert(is_allowed(task->state, to));
    task->state = to;
    task->waited_ms = 0;
    task->asked_ms = 0;
}

static void rest_ends(struct read_tasks *tasks)
{
    tasks->rest_until_ms = 0;
    for (size_t i = 0; i < tasks->count; i++) {
        tasks->tasks[i].failures = 0;
    }
}

/* ── looks ───────────────────────────────────────────────────────────────────────────────────── */

static void came(struct read_tasks *tasks, struct read_task *task)
{
    bool rested = task->state == READ_TASK_RESTING;

    task->rests = 0;
    task->waited_ms = task->asked_ms = 0;
    if (task->state != READ_TASK_RUNNING) {
        move(task, READ_TASK_RUNNING);
    }
    if (rested && read_tasks_in(tasks, READ_TASK_RESTING, NULL) == 0) {
        rest_ends(tasks);
    }
}

void read_tasks_look(struct read_tasks *tasks, size_t index, enum read_task_found found,
                     int64_t now_ms)
{
    struct read_task *task = &tasks->tasks[index];
    int64_t since_ms;

    assert(index < tasks->count && task->state != READ_TASK_DONE);
    switch (found) {
    case READ_TASK_CAME:
        came(tasks, task);
        break;
    case READ_TASK_FINISHED:
        came(tasks, task);
        move(task, READ_TASK_DONE);
        break;
    case READ_TASK_EXCUSED:
        task->asked_ms = 0;
        break;
    case READ_TASK_NOTHING:
        since_ms = task->asked_ms > 0 ? now_ms - task->asked_ms : 0;
        task->waited_ms += since_ms < READ_TASK_LOOK_MS ? since_ms : READ_TASK_LOOK_MS;
        task->asked_ms = now_ms;
        break;
    }
}

/* ── judging ─────────────────────────────────────────────────────────────────────────────────── */

int64_t read_tasks_rest_ms(int64_t rests)
{
    int64_t rest_ms = READ_TASK_REST_MS;

    assert(rests > 0);
    for (int64_t i = 1; i < rests && rest_ms < READ_TASK_REST_MS_MAX; i++) {
        rest_ms *= 2;
    }
    return rest_ms < READ_TASK_REST_MS_MAX ? rest_ms : READ_TASK_REST_MS_MAX;
}

int64_t read_tasks_attempt_ms(const struct read_tasks *tasks, int64_t rests)
{
    assert(rests >= 0);
    return tasks->timeout_ms << (rests < READ_TASK_DOUBLINGS_MAX ? rests : READ_TASK_DOUBLINGS_MAX);
}

/* The batch fails, or has failed already and one more task rests with the others. */
static void rest(struct read_tasks *tasks, struct read_task *task, int64_t now_ms)
{
    move(task, READ_TASK_RESTING);
    task->rests++;
    if (tasks->rest_until_ms == 0) {
        tasks->rest_until_ms = now_ms + read_tasks_rest_ms(task->rests);
    }
}

static bool rest_is_over(struct read_tasks *tasks, int64_t now_ms)
{
    if (tasks->rest_until_ms == 0 || now_ms < tasks->rest_until_ms) {
        return false;
    }
    rest_ends(tasks);
    for (size_t i = 0; i < tasks->count; i++) {
        if (tasks->tasks[i].state == READ_TASK_RESTING) {
            move(&tasks->tasks[i], READ_TASK_FAILED);
        }
    }
    return true;
}

enum read_tasks_verdict read_tasks_judge(struct read_tasks *tasks, int64_t now_ms)
{
    bool expired = false;
    bool failed = false;

    if (rest_is_over(tasks, now_ms)) {
        return READ_TASKS_RESTED;
    }
    for (size_t i = 0; i < tasks->count; i++) {
        struct read_task *task = &tasks->tasks[i];

        if (task->state == READ_TASK_RUNNING &&
            task->waited_ms >= read_tasks_attempt_ms(tasks, task->rests)) {
            move(task, READ_TASK_FAILED);
            if (++task->failures >= tasks->failures_max) {
                rest(tasks, task, now_ms);
                expired = true;
            }
        }
        failed |= task->state == READ_TASK_FAILED;
    }
    if (expired) {
        return READ_TASKS_EXPIRED;
    }
    return failed ? READ_TASKS_FAILED : READ_TASKS_GO_ON;
}

void read_tasks_again(struct read_tasks *tasks, size_t index)
{
    assert(index < tasks->count && tasks->tasks[index].state == READ_TASK_FAILED);
    move(&tasks->tasks[index], READ_TASK_RUNNING);
}

size_t read_tasks_in(const struct read_tasks *tasks, enum read_task_state state,
                     size_t *indexes_out)
{
    size_t count = 0;

    for (size_t i = 0; i < tasks->count; i++) {
        if (tasks->tasks[i].state == state) {
            if (indexes_out != NULL) {
                indexes_out[count] = i;
            }
            count++;
        }
    }
    return count;
}
