/* oncesink-recover verify LEDGER: whether the ledger is sound. One line a finding on stdout.
 *
 * Exit: 0 sound; 2 looked, and it isn't so; 65 can't be looked at. */
#include "recover.h"

#include "ledger.h"
#include "ledger_verify.h"

#include <inttypes.h>
#include <stdio.h>

enum { EXIT_NOT_SO = 2 };

struct output {
    bool json;
    int64_t printed;
};

static void print_finding(void *arg, const char *check, const char *finding, const char *json)
{
    struct output *output = arg;

    if (output->json) {
        printf("%s%s", output->printed > 0 ? "," : "", json);
    } else {
        printf("%s: %s\n", check, finding);
    }
    output->printed++;
}

static const struct recover_usage USAGE = {
    .doc = "Checks the file and what must hold in it. Prints one line for each finding and exits "
           "with 2 when there are any, with 0 when the ledger is sound, with 65 when it can't be "
           "looked at.",
};

int cmd_verify(int argc, char **argv)
{
    struct recover_arguments arguments;
    struct output output = {0};
    struct ledger *ledger = NULL;
    struct err err = {0};
    int64_t count = 0;
    bool good;

    recover_parse(argc, argv, &USAGE, &arguments);
    if (!ledger_open_to_read(arguments.ledger, &ledger, &err)) {
        return recover_failed(&err);
    }
    output.json = arguments.json;
    if (output.json) {
        printf("{\"findings\":[");
    }
    good = ledger_verify(ledger, print_finding, &output, &count, &err);
    if (output.json) {
        printf("],\"sound\":%s}\n", good && count == 0 ? "true" : "false");
    } else if (good && count == 0) {
        printf("sound\n");
    }
    ledger_close(ledger);
    if (!good) {
        return recover_failed(&err);
    }
    return count == 0 ? 0 : EXIT_NOT_SO;
}
