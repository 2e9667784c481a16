/* oncesink-recover: what its commands share. A command is a file; the table of commands is in
 * recover.c. */
#ifndef TOOLS_RECOVER_H
#define TOOLS_RECOVER_H

#include "err.h"

#include <stdbool.h>

struct recover_command {
    const char *name;
    const char *summary;
    int (*run)(int argc, char **argv); /* argv[0] is the command's name; returns the exit code */
};

/* What every command takes. */
struct recover_arguments {
    const char *ledger;
    bool json;
};

/* Parses `COMMAND [--json] LEDGER`; bad usage ends the process with 64, --help with 0. */
void recover_parse(int argc, char **argv, const char *doc, struct recover_arguments *arguments_out);

/* Prints the error on stderr and returns its exit code. */
int recover_failed(const struct err *err);

int cmd_status(int argc, char **argv);
int cmd_verify(int argc, char **argv);

#endif
