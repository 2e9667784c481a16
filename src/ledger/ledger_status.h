/* The ledger's state for people (oncesinkd --status, oncesink-recover status), or as one JSON
 * object.
 *
 * On a handle of ledger_open_to_read, while the service runs or not. Main thread. */
#ifndef LEDGER_STATUS_H
#define LEDGER_STATUS_H

#include "ledger.h"

#include <stdio.h>

MUST_CHECK bool ledger_status_print(struct ledger *ledger, FILE *out, bool json, struct err *err);

#endif
