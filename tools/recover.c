/* oncesink-recover COMMAND LEDGER: looks into a ledger, whether the service runs or not. Answers on
 * stdout, trouble on stderr; exit codes are those of all our programs (0 done, 2 looked and it
 * isn't so, 64 usage, 65 ledger unusable). */
#include "recover.h"

#include <argp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

static const struct recover_command COMMANDS[] = {
    {"status", "how far the job is, what is in doubt, what happened last", cmd_status},
    {"verify", "whether the ledger is sound", cmd_verify},
};
enum { COMMAND_COUNT = sizeof(COMMANDS) / sizeof(COMMANDS[0]) };

/* ---- a command's own line ---- */

static error_t parse_command(int key, char *text, struct argp_state *state)
{
    struct recover_arguments *arguments = state->input;

    switch (key) {
    case 'j':
        arguments->json = true;
        return 0;
    case ARGP_KEY_ARG:
        if (arguments->ledger != NULL) {
            argp_error(state, "one ledger at a time, '%s' is a second", text);
        }
        arguments->ledger = text;
        return 0;
    case ARGP_KEY_NO_ARGS:
        argp_error(state, "which ledger? Give its path");
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

void recover_parse(int argc, char **argv, const char *doc, struct recover_arguments *arguments_out)
{
    static const struct argp_option OPTIONS[] = {
        {"json", 'j', NULL, 0, "Answer in JSON, for machines", 0}, {0}};
    const struct argp argp = {
        .options = OPTIONS, .parser = parse_command, .args_doc = "LEDGER", .doc = doc};

    *arguments_out = (struct recover_arguments){0};
    argp_parse(&argp, argc, argv, 0, NULL, arguments_out);
}

int recover_failed(const struct err *err)
{
    fprintf(stderr, "oncesink-recover: %s\n", err->text);
    return err_exit_code(err->kind);
}

/* ---- the program's line: up to the command's name ---- */

struct choice {
    const struct recover_command *command;
    int first; /* where in argv the command's name is */
};

static error_t parse_program(int key, char *text, struct argp_state *state)
{
    struct choice *choice = state->input;

    switch (key) {
    case ARGP_KEY_ARG:
        for (size_t i = 0; i < COMMAND_COUNT; i++) {
            if (strcmp(text, COMMANDS[i].name) == 0) {
                choice->command = &COMMANDS[i];
                choice->first = state->next - 1;
                state->next = state->argc; /* the rest is the command's */
                return 0;
            }
        }
        argp_error(state, "no command is called '%s'; --help lists them", text);
        return 0;
    case ARGP_KEY_NO_ARGS:
        argp_error(state, "which command? --help lists them");
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static char *list_commands(int key, const char *text, void *input)
{
    char *list = NULL;
    size_t size = 0;
    FILE *out;

    (void)input;
    if (key != ARGP_KEY_HELP_POST_DOC || (out = open_memstream(&list, &size)) == NULL) {
        return (char *)text;
    }
    fprintf(out, "Commands:\n");
    for (size_t i = 0; i < COMMAND_COUNT; i++) {
        fprintf(out, "  %-10s %s\n", COMMANDS[i].name, COMMANDS[i].summary);
    }
    fprintf(out, "\nEach tells more with COMMAND --help.");
    fclose(out);
    return list;
}

int main(int argc, char **argv)
{
    const struct argp argp = {
        .parser = parse_program,
        .args_doc = "COMMAND LEDGER",
        .doc = "Looks into an Oncesink ledger, whether the service runs or not.\v ",
        .help_filter = list_commands,
    };
    struct choice choice = {0};
    char *name;

    argp_program_version = "oncesink-recover " ONCESINK_VERSION;
    argp_parse(&argp, argc, argv, ARGP_IN_ORDER, NULL, &choice);
    if (asprintf(&name, "oncesink-recover %s", choice.command->name) < 0) {
        return EX_OSERR;
    }
    argv[choice.first] = name; /* so that the command's messages begin with both names */
    return choice.command->run(argc - choice.first, argv + choice.first);
}
