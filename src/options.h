/* The command line of oncesinkd.
 *
 *     options_parse → options_inform (true: all is done, exit 0) → options_configure → …
 *     → options_deinit
 *
 * Main thread. */
#ifndef OPTIONS_H
#define OPTIONS_H

#include "config.h"
#include "err.h"

#include <stdio.h>

enum options_action {
    OPTIONS_RUN,
    OPTIONS_CHECK,  /* check the settings, print those in force */
    OPTIONS_STATUS, /* print the ledger's state */
    OPTIONS_HELP,
    OPTIONS_VERSION,
    OPTIONS_FAILPOINTS, /* list them; builds for tests only */
};

struct options_setting {
    char *name;
    char *value;
};

struct options {
    enum options_action action;
    bool until_end;
    const char *config_path;          /* borrowed from argv; set for run, check and status */
    struct options_setting *settings; /* of --set, in order */
    size_t setting_count;
};

/* ERR_USAGE: one line that says what is wrong. argv may be put into another order. On failure
 * nothing needs to be freed. */
MUST_CHECK bool options_parse(int argc, char **argv, struct options *options_out, struct err *err);

/* Accepts a zero struct. */
void options_deinit(struct options *options);

/* Answers --help, --version and --failpoints on `out`; false when it is none of them. `clients`:
 * the client libraries' names and versions, for --version. */
bool options_inform(const struct options *options, const char *clients, FILE *out);

/* The settings in force: the file, then --set, then config_finish. `now_ms`: wall clock. */
MUST_CHECK bool options_configure(const struct options *options, int64_t now_ms,
                                  struct config **config_out, struct err *err);

#endif
