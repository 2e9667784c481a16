/* oncesink-recover status LEDGER: the state for people, the same text as oncesinkd --status. */
#include "recover.h"

#include "ledger.h"
#include "ledger_status.h"

#include <stdio.h>

static const struct recover_usage USAGE = {
    .doc = "Prints how far the job is, what is in doubt and what happened last.",
};

int cmd_status(int argc, char **argv)
{
    struct recover_arguments arguments;
    struct ledger *ledger = NULL;
    struct err err = {0};
    bool good;

    recover_parse(argc, argv, &USAGE, &arguments);
    if (!ledger_open_to_read(arguments.ledger, &ledger, &err)) {
        return recover_failed(&err);
    }
    good = ledger_status_print(ledger, stdout, arguments.json, &err);
    ledger_close(ledger);
    return good ? 0 : recover_failed(&err);
}
