/* Delivery mode `transactional`: the transaction around a sink's records (T1, T2, T5).
 *
 *     transaction_new → transaction_init ─► transaction_begin → sink_add… → sink_drain
 *                                                  ▲                            │
 *                                                  └──── transaction_commit ◄───┘
 *                           (on the way out) transaction_abort → transaction_free → sink_free
 *
 * One slice of a batch is one transaction: its records, then the offsets of all input partitions
 * with the mark, then the commit. Any error but a missing permission or a stop leaves it unknown
 * whether the slice is there: the sink is replaced, the new one's init ends what was open, and the
 * mark, read after that, tells. So nothing here is tried again but what the library says it
 * resumes.
 *
 * Every call is bounded in time (the watchdog ends the process when the library doesn't keep that)
 * and serves nothing else meanwhile. Main thread. */
#ifndef TRANSACTION_H
#define TRANSACTION_H

#include "err.h"
#include "mark.h"
#include "patience.h"
#include "sink.h"

struct transaction;

/* Of a sink made with `transactional`; both are borrowed, the sink must outlive it. */
struct transaction *transaction_new(struct sink *sink, const char *group);
void transaction_free(struct transaction *transaction); /* accepts NULL; nothing is sent */

/* Fences every earlier producer of the transactional.id and ends its open transaction, for readers
 * too. Waits for brokers as `patience` allows. ERR_PRODUCER: this producer is of no use, replace
 * it. */
MUST_CHECK bool transaction_init(struct transaction *transaction, const struct patience *patience,
                                 struct err *err);

/* Local: the first record opens it at the brokers. */
MUST_CHECK bool transaction_begin(struct transaction *transaction, struct err *err);
bool transaction_is_open(const struct transaction *transaction);

/* Nothing is in flight. Sends the items' offsets with the mark's text, then commits. true: the
 * slice is there, for good. ERR_PRODUCER: unknown. ERR_DECISION: a permission is missing.
 * ERR_STOPPED: asked to stop before the commit was under way. */
MUST_CHECK bool transaction_commit(struct transaction *transaction, const struct mark_item *items,
                                   size_t count, const struct mark_text *mark,
                                   const struct patience *patience, struct err *err);

/* On the way out, so that readers aren't held up until the transaction expires: as far as that goes
 * within timeout_ms. The sink is good for nothing but sink_free afterwards. */
void transaction_abort(struct transaction *transaction, int timeout_ms);

#endif
