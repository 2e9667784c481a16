/* Where the inputs end, for the plan: asked, asked ahead, or known well enough. Main thread. */
#ifndef PLAN_ENDS_H
#define PLAN_ENDS_H

#include "err.h"

#include <stddef.h>
#include <stdint.h>

struct job;

/* Interval 0: the batch under way has been handed over. While its last acknowledgements come,
 * brokers are asked already what the plan behind it needs to know, unless that is known. */
void plan_ends_ask(struct job *job);

/* Sets job->ends, or finds that what stands there will do; asks for the topics' ids too. Waits at
 * most wait_ms; < 0: as long as a plan may. ERR_TEMPORARY: brokers are away, or a topic is. */
MUST_CHECK bool plan_ends_learn(struct job *job, int64_t now_ms, int wait_ms, struct err *err);

/* Forgets a question that is under way. */
void plan_ends_forget(struct job *job);

/* How far the input (of job->inputs) goes for us; `at` is its place among the ends. */
int64_t plan_ends_of(const struct job *job, size_t input, size_t at);

/* The input's range in the batch that is being delivered or settled, or −1. */
int64_t plan_ends_range(const struct job *job, size_t input);

/* The input's next offset; behind its range while a batch is being delivered or settled. */
int64_t plan_ends_next(const struct job *job, size_t input);

/* The brokers were asked, and nothing is left to be planned. */
bool plan_ends_reached(const struct job *job);

#endif
