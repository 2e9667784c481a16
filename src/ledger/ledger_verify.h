/* Is the ledger sound? SQLite's own check of the file, then the invariants of ours, each a query
 * that returns a line for each thing that isn't as it must be. Changes nothing; works on a handle
 * of ledger_open_to_read while the service runs, since it looks at one moment. Main thread. */
#ifndef LEDGER_VERIFY_H
#define LEDGER_VERIFY_H

#include "ledger.h"

/* One finding: which check, what was found, and both as a JSON object. Valid during the call
 * only. */
typedef void ledger_verify_found(void *arg, const char *check, const char *finding,
                                 const char *json);

/* *count_out: how many findings. A damaged file ends it after SQLite's own findings. */
MUST_CHECK bool ledger_verify(struct ledger *ledger, ledger_verify_found *found, void *arg,
                              int64_t *count_out, struct err *err);

#endif
