/* Where to look in the outputs, judged first. Used by recover.c only; main thread. */
#ifndef LOOK_CHOOSE_H
#define LOOK_CHOOSE_H

#include "err.h"
#include "look.h"

enum { LOOK_UNKNOWN = 1000 }; /* O4: so many offsets of an output that the ledger doesn't know */

/* Fills the look with every output to look through: those of the batch in doubt, and, unless
 * `again`, those that this process hasn't looked at. ERR_DECISION: an output isn't what the ledger
 * knows. */
MUST_CHECK bool look_choose(struct look *look, bool again, struct err *err);

#endif
