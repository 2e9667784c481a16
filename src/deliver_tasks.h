/* The read tasks of the batch under way: time-outs, attempts, and the batch's failing and beginning
 * again (read_task.h has the rules). Each failed attempt and each failing of the batch is logged
 * and becomes an event of the ledger, one for all tasks that share it. Main thread. */
#ifndef DELIVER_TASKS_H
#define DELIVER_TASKS_H

#include "err.h"
#include "source_read.h"

struct job;

/* For job->reads, all of which are running now. */
void deliver_tasks_begin(struct job *job);
void deliver_tasks_end(struct job *job);

/* job->reads[read] was asked and gave this. */
void deliver_tasks_asked(struct job *job, size_t read, const struct source_taken *taken);

/* Nothing may be taken for now: the consumers that were left for fresh ones are too many, and what
 * was taken from them must be acknowledged before they can end. */
bool deliver_tasks_hold(const struct job *job);

/* Looks around: lets go of consumers, and does what failed tasks need. Errors: the ledger's. */
MUST_CHECK bool deliver_tasks_look(struct job *job, struct err *err);

#endif
