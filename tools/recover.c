/* oncesink-recover COMMAND LEDGER …: looks into a ledger, whether the service runs or not; and
 * mends it by a person's decision, while the service doesn't run. What changes something says first
 * what it would do, and does it with --yes only. Answers on stdout, trouble on stderr; exit codes
 * are those of all our programs (0 done, 1 failed, 2 looked and it isn't so, 64 usage, 65 ledger
 * unusable, 75 the service runs or no broker answers, 77 it can't be decided so, 78 settings). */
#include "recover.h"

#include "commands.h"

#include <argp.h>
#include <stdio.h>
#include <string.h>

static const struct command COMMANDS[] = {
    {"status", "how far the job is, what is in doubt, what happened last", cmd_status},
    {"verify", "whether the ledger is sound", cmd_verify},
    {"backup", "copy the ledger while the service runs", cmd_backup},
    {"resolve", "decide what can't be told of a batch in doubt", cmd_resolve},
    {"reconcile", "bring a ledger that was left behind up to what was delivered", cmd_reconcile},
    {"rebuild", "make a lost ledger anew", cmd_rebuild},
};
enum { COMMAND_COUNT = sizeof(COMMANDS) / sizeof(COMMANDS[0]) };

/* ---- a command's own line ---- */

struct line {
    const struct recover_usage *usage;
    struct recover_arguments *arguments;
};

static void take_argument(struct argp_state *state, const struct line *line, char *text)
{
    struct recover_arguments *arguments = line->arguments;

    if (arguments->ledger == NULL) {
        arguments->ledger = text;
    } else if (line->usage->second == NULL) {
        argp_error(state, "one ledger at a time, '%s' is a second", text);
    } else if (arguments->second == NULL) {
        arguments->second = text;
    } else {
        argp_error(state, "'%s' is one argument too many", text);
    }
}

static void take_assumption(struct argp_state *state, const char *word,
                            struct recover_arguments *arguments)
{
    if (strcmp(word, "delivered") == 0) {
        arguments->assume = ASSUME_DELIVERED;
    } else if (strcmp(word, "missing") == 0) {
        arguments->assume = ASSUME_MISSING;
    } else {
        argp_error(state, "--assume takes 'delivered' or 'missing', not '%s'", word);
    }
}

static error_t parse_command(int key, char *text, struct argp_state *state)
{
    const struct line *line = state->input;
    struct recover_arguments *arguments = line->arguments;

    switch (key) {
    case 'j':
        arguments->json = true;
        return 0;
    case 'y':
        arguments->yes = true;
        return 0;
    case 'a':
        take_assumption(state, text, arguments);
        return 0;
    case 'o':
        if (arguments->output_count == RECOVER_OUTPUTS_MAX) {
            argp_error(state, "more than %d outputs; leave --output out to mean all",
                       RECOVER_OUTPUTS_MAX);
        }
        arguments->outputs[arguments->output_count++] = text;
        return 0;
    case ARGP_KEY_ARG:
        take_argument(state, line, text);
        return 0;
    case ARGP_KEY_END:
        if (arguments->ledger == NULL) {
            argp_error(state, "which ledger? Give its path");
        } else if (line->usage->second != NULL && arguments->second == NULL) {
            argp_error(state, "%s is missing after LEDGER", line->usage->second);
        }
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

void recover_parse(int argc, char **argv, const struct recover_usage *usage,
                   struct recover_arguments *arguments_out)
{
    struct argp_option options[5] = {{"json", 'j', NULL, 0, "Answer in JSON, for machines", 0}};
    struct line line = {.usage = usage, .arguments = arguments_out};
    char taken[64];
    struct argp argp = {
        .options = options, .parser = parse_command, .args_doc = taken, .doc = usage->doc};
    size_t count = 1;

    if (usage->changes) {
        options[count++] = (struct argp_option){
            "yes", 'y', NULL, 0, "Do it; without this it is only shown what would be done", 0};
    }
    if (usage->assumes) {
        options[count++] = (struct argp_option){
            "assume", 'a', "delivered|missing", 0, "What to take for true where it can't be told",
            0};
        options[count++] =
            (struct argp_option){"output",
                                 'o',
                                 "TOPIC[PARTITION]",
                                 0,
                                 "Decide this output partition only; may be given again",
                                 0};
    }
    snprintf(taken, sizeof(taken), "LEDGER%s%s", usage->second == NULL ? "" : " ",
             usage->second == NULL ? "" : usage->second);
    *arguments_out = (struct recover_arguments){0};
    argp_parse(&argp, argc, argv, 0, NULL, &line);
}

int recover_failed(const struct err *err)
{
    fprintf(stderr, "oncesink-recover: %s\n", err->text);
    return err_exit_code(err->kind);
}

int main(int argc, char **argv)
{
    static const struct commands PROGRAM = {
        .program = "oncesink-recover",
        .line = "COMMAND LEDGER ...",
        .doc = "Looks into an Oncesink ledger, and mends it by your decision.\v ",
        .list = COMMANDS,
        .count = COMMAND_COUNT,
    };

    return commands_run(&PROGRAM, argc, argv);
}
