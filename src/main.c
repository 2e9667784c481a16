/* oncesinkd: options, settings, start order; nothing else. */
#include "config.h"
#include "err.h"
#include "failpoint.h"
#include "job.h"
#include "kafka_client.h"
#include "ledger.h"
#include "ledger_status.h"
#include "log.h"
#include "options.h"

#include <sqlite3.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <time.h>

static int fail(const struct err *err)
{
    log_error("%s", err->text);
    return err_exit_code(err->kind);
}

static bool show_status(const struct config *config, struct err *err)
{
    struct ledger *ledger = NULL;
    bool ok = ledger_open_to_read(config->ledger_path, &ledger, err) &&
              ledger_status_print(ledger, stdout, false, err);

    ledger_close(ledger);
    return ok;
}

/* Some settings librdkafka judges only when a handle is made from them. */
static bool check_clients(const struct config *config, struct err *err)
{
    static const enum client_purpose PURPOSES[] = {CLIENT_INPUT, CLIENT_OUTPUT, CLIENT_ASK,
                                                   CLIENT_SINK};

    for (size_t i = 0; i < sizeof(PURPOSES) / sizeof(PURPOSES[0]); i++) {
        const struct client_options options = {.purpose = PURPOSES[i]};
        rd_kafka_t *client = NULL;

        if (!client_new(config, &options, &client, err)) {
            return false;
        }
        client_free(client, "ending a client that was made to check the settings");
    }
    return true;
}

static bool act(const struct options *options, const struct config *config, struct err *err)
{
    struct job_options job = {.config = config, .until_end = options->until_end};

    if (options->action == OPTIONS_CHECK) {
        if (!check_clients(config, err)) {
            return false;
        }
        config_print(config, stdout);
        return true;
    }
    if (options->action == OPTIONS_STATUS) {
        return show_status(config, err);
    }
    log_notice("oncesinkd " ONCESINK_VERSION ", %s, SQLite %s, ledger %s", client_versions(),
               sqlite3_libversion(), config->ledger_path);
    return job_run(&job, err);
}

static int run(const struct options *options)
{
    struct config *config = NULL;
    struct err err;
    int code = 0;

    if (!options_configure(options, (int64_t)time(NULL) * 1000, &config, &err)) {
        return fail(&err);
    }
    log_set_level((enum log_level)config->log_level);
    if (!act(options, config, &err)) {
        code = fail(&err);
    }
    config_free(config);
    return code;
}

int main(int argc, char **argv)
{
    struct options options = {0};
    struct err err;
    int code = 0;

    prctl(PR_SET_DUMPABLE, 0); /* secrets are in memory: no core dumps */
    if (!options_parse(argc, argv, &options, &err)) {
        return fail(&err);
    }
    if (!options_inform(&options, client_versions(), stdout)) {
        code = run(&options);
    }
    options_deinit(&options);
    return code;
}
