/* The command line, by argp. argp's own complaints are two lines and an exit; here it is told to be
 * silent, and describe_bad() says in one line what it stumbled over. */
#include "options.h"

#include "config_client.h"
#include "config_value.h"
#include "failpoint.h"
#include "log.h"
#include "mem.h"

#include <argp.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>

#ifndef ONCESINK_VERSION
#define ONCESINK_VERSION "0"
#endif

enum {
    KEY_SET = 'X',
    KEY_HELP = '?',
    KEY_VERSION = 'V',
    KEY_LONG = 0x100, /* from here on there is no short option */
    KEY_CONFIG = KEY_LONG,
    KEY_CHECK,
    KEY_UNTIL_END,
    KEY_STATUS,
    KEY_FAILPOINTS,
};

static const char NAME[] = "oncesinkd";

static const struct argp_option OPTIONS[] = {
    {.name = "set", .key = KEY_SET, .arg = "NAME=VALUE", .doc = "Sets one setting; wins over FILE"},
    {.name = "config",
     .key = KEY_CONFIG,
     .arg = "FILE",
     .doc = "The settings' file, the same as FILE"},
    {.name = "check",
     .key = KEY_CHECK,
     .doc = "Checks the settings and prints those in force with their origin"},
    {.name = "until-end",
     .key = KEY_UNTIL_END,
     .doc = "Works off what is there at the start, then exits"},
    {.name = "status",
     .key = KEY_STATUS,
     .doc = "Prints the ledger's state; works while the service runs"},
#ifdef ONCESINK_FAILPOINTS
    {.name = "failpoints",
     .key = KEY_FAILPOINTS,
     .doc = "Lists the failpoints of this build for tests"},
#endif
    {.name = "help", .key = KEY_HELP, .doc = "Prints this and every setting", .group = -1},
    {.name = "version",
     .key = KEY_VERSION,
     .doc = "Prints the versions of the program and its libraries",
     .group = -1},
    {0},
};

struct parsing {
    struct options *options;
    struct err *err;
    bool said; /* err is filled */
    int next;  /* the argument behind the one that argp stopped at */
};

static error_t refuse(struct parsing *parsing, const char *what, const char *about)
{
    char shown[CONFIG_SHOWN_SIZE];

    err_set(parsing->err, ERR_USAGE, 0, "%s%s%s (oncesinkd --help tells more)", what,
            about != NULL ? " " : "", about != NULL ? config_value_shown(about, shown) : "");
    parsing->said = true;
    return EINVAL;
}

static error_t add_setting(struct parsing *parsing, const char *text)
{
    struct options *options = parsing->options;
    const char *equals = strchr(text, '=');
    struct options_setting *setting;

    if (equals == NULL) {
        return refuse(parsing, "--set needs NAME=VALUE, not", text);
    }
    options->settings =
        mem_grow(options->settings, options->setting_count + 1, sizeof(*options->settings));
    setting = &options->settings[options->setting_count++];
    setting->name = mem_print("%.*s", (int)(equals - text), text);
    setting->value = mem_text(equals + 1);
    return 0;
}

static error_t choose_action(struct parsing *parsing, enum options_action action)
{
    enum options_action chosen = parsing->options->action;

    if ((chosen == OPTIONS_CHECK && action == OPTIONS_STATUS) ||
        (chosen == OPTIONS_STATUS && action == OPTIONS_CHECK)) {
        return refuse(parsing, "--check and --status can't be had at once", NULL);
    }
    if (chosen < OPTIONS_HELP) { /* --help and the like win over the rest */
        parsing->options->action = action;
    }
    return 0;
}

static error_t choose_file(struct parsing *parsing, const char *path)
{
    if (parsing->options->config_path != NULL) {
        return refuse(parsing, "one file of settings is all that can be read; too many:", path);
    }
    if (*path == '\0') {
        return refuse(parsing, "the name of the settings' file is empty", NULL);
    }
    parsing->options->config_path = path;
    return 0;
}

static error_t parse_option(int key, char *value, struct argp_state *state)
{
    struct parsing *parsing = state->input;

    switch (key) {
    case KEY_SET:
        return add_setting(parsing, value);
    case KEY_CONFIG:
    case ARGP_KEY_ARG:
        return choose_file(parsing, value);
    case KEY_CHECK:
        return choose_action(parsing, OPTIONS_CHECK);
    case KEY_STATUS:
        return choose_action(parsing, OPTIONS_STATUS);
    case KEY_HELP:
        return choose_action(parsing, OPTIONS_HELP);
    case KEY_VERSION:
        return choose_action(parsing, OPTIONS_VERSION);
    case KEY_FAILPOINTS:
        return choose_action(parsing, OPTIONS_FAILPOINTS);
    case KEY_UNTIL_END:
        parsing->options->until_end = true;
        return 0;
    case ARGP_KEY_ERROR:
        parsing->next = state->next;
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp ARGP = {
    .options = OPTIONS,
    .parser = parse_option,
    .args_doc = "FILE",
    .doc = "Moves records from Kafka topics into other Kafka topics, each exactly once.\v"
           "Exit codes: 0 done; 1 failed; 64 usage; 65 ledger unusable; 75 temporary, start again; "
           "77 needs a "
           "decision, do not start again by itself; 78 settings.",
};

/* argp stopped at an option without having asked parse_option: one it doesn't know, or without its
 * value. */
static void describe_bad(struct parsing *parsing, int argc, char **argv)
{
    int next = parsing->next;
    const char *bad = next > 0 && next <= argc ? argv[next - 1] : "";

    /* In a heap of short options (-Zq) argp still points at the heap itself. */
    if (next < argc && argv[next][0] == '-' && argv[next][1] != '-' && strlen(argv[next]) > 2) {
        bad = argv[next];
    }
    if (next == argc &&
        (strcmp(bad, "--set") == 0 || strcmp(bad, "-X") == 0 || strcmp(bad, "--config") == 0)) {
        refuse(parsing, "a value is missing after", bad);
    } else {
        refuse(parsing, "there is no such option, or it takes no value:", bad);
    }
}

bool options_parse(int argc, char **argv, struct options *options_out, struct err *err)
{
    struct options options = {.action = OPTIONS_RUN};
    struct parsing parsing = {.options = &options, .err = err};
    int parsed;
    bool good = argp_parse(&ARGP, argc, argv, ARGP_NO_EXIT | ARGP_NO_ERRS | ARGP_NO_HELP, &parsed,
                           &parsing) == 0;

    if (!good && !parsing.said) {
        describe_bad(&parsing, argc, argv);
    }
    if (good && options.action < OPTIONS_HELP && options.config_path == NULL) {
        good = refuse(&parsing, "which file of settings? Usage: oncesinkd [OPTION...] FILE",
                      NULL) == 0;
    }
    if (good && options.until_end && options.action != OPTIONS_RUN &&
        options.action < OPTIONS_HELP) {
        good = refuse(&parsing, "--until-end goes with neither --check nor --status", NULL) == 0;
    }
    if (!good) {
        options_deinit(&options);
        return false;
    }
    *options_out = options;
    return true;
}

void options_deinit(struct options *options)
{
    for (size_t i = 0; i < options->setting_count; i++) {
        free(options->settings[i].name);
        free(options->settings[i].value);
    }
    free(options->settings);
    *options = (struct options){0};
}

static void print_help(FILE *out)
{
    char name[sizeof(NAME)];

    memcpy(name, NAME, sizeof(name)); /* argp wants it writable */
    argp_help(&ARGP, out, ARGP_HELP_USAGE | ARGP_HELP_PRE_DOC | ARGP_HELP_LONG | ARGP_HELP_POST_DOC,
              name);
    fputc('\n', out);
    config_print_help(out);
}

bool options_inform(const struct options *options, const char *clients, FILE *out)
{
    if (options->action == OPTIONS_HELP) {
        print_help(out);
        return true;
    }
    if (options->action == OPTIONS_VERSION) {
        fprintf(out, "%s %s (%s, SQLite %s)\n", NAME, ONCESINK_VERSION, clients,
                sqlite3_libversion());
        return true;
    }
#ifdef ONCESINK_FAILPOINTS
    if (options->action == OPTIONS_FAILPOINTS) {
        failpoint_list();
        return true;
    }
#endif
    return false;
}

/* A command line is seen by every user of the machine (ps, /proc). */
static void warn_of_secret(const struct options_setting *setting)
{
    if (config_client_is_secret(setting->name) && strncmp(setting->value, "${", 2) != 0) {
        log_warning("--set %s: everybody on this machine can read a command line; put the value "
                    "into a file that only the service can read, and set %s=${file:PATH}",
                    setting->name, setting->name);
    }
}

bool options_configure(const struct options *options, int64_t now_ms, struct config **config_out,
                       struct err *err)
{
    struct config *config = config_new();
    bool done = config_read_file(config, options->config_path, err);

    for (size_t i = 0; done && i < options->setting_count; i++) {
        warn_of_secret(&options->settings[i]);
        done =
            config_set(config, options->settings[i].name, options->settings[i].value, "--set", err);
    }
    if (!done || !config_finish(config, now_ms, err)) {
        config_free(config);
        return false;
    }
    *config_out = config;
    return true;
}
