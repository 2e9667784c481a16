/* What is asked of the brokers before the first output, and what is concluded from the answers (O2
 * to O4). */
#ifndef START_H
#define START_H

#include "err.h"

struct job;

/* The clients are made and the ledger is open. Asks for topics, ids, configurations, the group's
 * mark, log ends; refuses (ERR_DECISION) or leaves job->inputs, job->outputs and job->definition
 * filled, the outputs' tails looked through, and an unsettled batch read back (state READ). Waits
 * for brokers as long as it takes, unless stopped. */
MUST_CHECK bool start_run(struct job *job, struct err *err);

/* Before a plan: asks the topic ids again, beside the question for the ends; then compares them. A
 * topic that was made anew meanwhile is ERR_DECISION. Where ids are not told (not permitted, a
 * mock) nothing waits for them. */
void start_ask_ids(struct job *job);
MUST_CHECK bool start_check_ids(struct job *job, struct err *err);

/* While running, nothing being in doubt: counts partitions again, takes up those added (inputs from
 * their beginning, outputs for the next plan), checks the inputs' topic ids. Cheap when it was done
 * FACTS_AGE_MS ago. */
MUST_CHECK bool start_refresh(struct job *job, struct err *err);

#endif
