/* oncesink-recover: what its commands share. A command is a file; the table of commands is in
 * recover.c. */
#ifndef TOOLS_RECOVER_H
#define TOOLS_RECOVER_H

#include "err.h"

#include <stdbool.h>
#include <stddef.h>

enum recover_assume { ASSUME_NOTHING, ASSUME_DELIVERED, ASSUME_MISSING };

enum { RECOVER_OUTPUTS_MAX = 1000 };

/* What a command takes beside LEDGER and --json. */
struct recover_usage {
    const char *doc;
    const char *second; /* what its second argument is called; NULL = it takes none */
    bool changes;       /* --yes */
    bool assumes;       /* --assume, --output */
};

struct recover_arguments {
    const char *ledger;
    const char *second;
    bool json;
    bool yes;
    enum recover_assume assume;
    const char *outputs[RECOVER_OUTPUTS_MAX]; /* TOPIC[PARTITION], as written */
    size_t output_count;
};

/* Parses the command's line; bad usage ends the process with 64, --help with 0. */
void recover_parse(int argc, char **argv, const struct recover_usage *usage,
                   struct recover_arguments *arguments_out);

/* Prints the error on stderr and returns its exit code. */
int recover_failed(const struct err *err);

int cmd_status(int argc, char **argv);
int cmd_verify(int argc, char **argv);
int cmd_backup(int argc, char **argv);
int cmd_resolve(int argc, char **argv);
int cmd_reconcile(int argc, char **argv);
int cmd_rebuild(int argc, char **argv);

#endif
