/* One record of a batch on its way: from the hand to the sink. Used by deliver.c only; main
 * thread. */
#ifndef DELIVER_RECORD_H
#define DELIVER_RECORD_H

#include "err.h"

struct job;

/* The record in hand (job->hand): sent, put aside, or dropped because it is known to be delivered.
 * *moved_out is set when the hand went on, and left alone when the sink is full. */
MUST_CHECK bool deliver_record(struct job *job, bool *moved_out, struct err *err);

#endif
