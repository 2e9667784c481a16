/* The program's line up to the command's name; the rest is the command's. */
#include "commands.h"

#include <argp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

struct choice {
    const struct commands *commands;
    const struct command *command;
    int first; /* where in argv the command's name is */
};

static error_t parse_program(int key, char *text, struct argp_state *state)
{
    struct choice *choice = state->input;

    switch (key) {
    case ARGP_KEY_ARG:
        for (size_t i = 0; i < choice->commands->count; i++) {
            if (strcmp(text, choice->commands->list[i].name) == 0) {
                choice->command = &choice->commands->list[i];
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
    const struct choice *choice = input;
    char *list = NULL;
    size_t size = 0;
    FILE *out;

    if (key != ARGP_KEY_HELP_POST_DOC || choice == NULL ||
        (out = open_memstream(&list, &size)) == NULL) {
        return (char *)text;
    }
    fprintf(out, "Commands:\n");
    for (size_t i = 0; i < choice->commands->count; i++) {
        const struct command *command = &choice->commands->list[i];

        fprintf(out, "  %-10s %s\n", command->name, command->summary);
    }
    fprintf(out, "\nEach tells more with COMMAND --help.");
    fclose(out);
    return list;
}

int commands_run(const struct commands *commands, int argc, char **argv)
{
    const struct argp argp = {
        .parser = parse_program,
        .args_doc = commands->line,
        .doc = commands->doc,
        .help_filter = list_commands,
    };
    struct choice choice = {.commands = commands};
    char *version;
    char *name;

    if (asprintf(&version, "%s " ONCESINK_VERSION, commands->program) < 0) {
        return EX_OSERR;
    }
    argp_program_version = version;
    argp_parse(&argp, argc, argv, ARGP_IN_ORDER, NULL, &choice);
    if (asprintf(&name, "%s %s", commands->program, choice.command->name) < 0) {
        return EX_OSERR;
    }
    argv[choice.first] = name; /* so that the command's messages begin with both names */
    return choice.command->run(argc - choice.first, argv + choice.first);
}
