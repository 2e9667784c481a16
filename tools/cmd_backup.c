/* oncesink-recover backup LEDGER FILE: a consistent copy while the service runs.
 *
 * The copy is looked through as `verify` does before it is called good. It is as old as its moment:
 * a job that is started from it after the true ledger has gone on would deliver again what was
 * delivered since, so the service refuses that; `reconcile` brings the copy up to date first. */
#include "recover.h"

#include "ledger.h"
#include "ledger_repair.h"
#include "ledger_verify.h"

#include <inttypes.h>
#include <stdio.h>

enum { EXIT_NOT_SO = 2 };

static const struct recover_usage USAGE = {
    .doc =
        "Copies the ledger into a new FILE, consistently, while the service runs, and checks the "
        "copy. A file that is there is never written over.\v"
        "To begin from a backup: put it in the ledger's place, then run oncesink-recover "
        "reconcile LEDGER CONF, which brings it up to what was delivered since. The service "
        "refuses an older ledger that wasn't reconciled.\n\n"
        "Exit: 0 copied and sound; 2 copied, but the ledger isn't sound (see verify); 1 not "
        "copied; 65 the ledger can't be read.",
    .second = "FILE",
};

static void on_finding(void *arg, const char *check, const char *finding, const char *json)
{
    (void)arg;
    (void)json;
    fprintf(stderr, "oncesink-recover: in the copy: %s: %s\n", check, finding);
}

static bool look_at_copy(const char *path, struct ledger_identity *identity_out,
                         int64_t *findings_out, struct err *err)
{
    struct ledger *copy = NULL;
    bool good = ledger_open_to_read(path, &copy, err) &&
                ledger_verify(copy, on_finding, NULL, findings_out, err);

    if (good) {
        ledger_identity(copy, identity_out);
    }
    ledger_close(copy);
    return good;
}

int cmd_backup(int argc, char **argv)
{
    struct recover_arguments arguments;
    struct ledger_identity identity = {0};
    struct err err = {0};
    int64_t findings = 0;

    recover_parse(argc, argv, &USAGE, &arguments);
    if (!ledger_backup(arguments.ledger, arguments.second, &err) ||
        !look_at_copy(arguments.second, &identity, &findings, &err)) {
        return recover_failed(&err);
    }
    if (arguments.json) {
        printf("{\"sound\":%s,\"batch\":%" PRId64 ",\"settled\":%" PRId64 ",\"uuid\":\"%s\"}\n",
               findings == 0 ? "true" : "false", identity.batch, identity.settled, identity.uuid);
    } else {
        printf("%s: ledger %.12s as of batch %" PRId64 " settled%s, %s\n"
               "to begin from it once the job has gone on: oncesink-recover reconcile %s CONF\n",
               arguments.second, identity.uuid, identity.settled,
               identity.batch > identity.settled ? ", one batch in doubt" : "",
               findings == 0 ? "sound" : "not sound", arguments.second);
    }
    return findings == 0 ? 0 : EXIT_NOT_SO;
}
