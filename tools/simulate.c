/* oncesink-simulate COMMAND: what the limits do with given settings and a given load, without
 * Kafka and with the service's own code: rate (the estimator), split (what each partition gives to
 * a batch), run (a whole job). Text in, text out, a result a line; answers on stdout, trouble on
 * stderr with the line it comes from. Exit codes are those of all our programs (0 done, 1 failed,
 * 64 usage, 78 settings). */
#include "simulate.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

static const struct simulate_command COMMANDS[] = {
    {"rate", "what rate the estimator gives for a sequence of batches", cmd_rate},
    {"split", "what each partition gives to a batch", cmd_split},
    {"run", "what a job does under a load: its batches, and whether it keeps up", cmd_run},
};
enum { COMMAND_COUNT = sizeof(COMMANDS) / sizeof(COMMANDS[0]) };

struct choice {
    const struct simulate_command *command;
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
        fprintf(out, "  %-8s %s\n", COMMANDS[i].name, COMMANDS[i].summary);
    }
    fprintf(out, "\nEach tells more with COMMAND --help.");
    fclose(out);
    return list;
}

int main(int argc, char **argv)
{
    const struct argp argp = {
        .parser = parse_program,
        .args_doc = "COMMAND ...",
        .doc = "Shows what Oncesink's limits do with given settings and load, without Kafka.\v ",
        .help_filter = list_commands,
    };
    struct choice choice = {0};
    char *name;

    /* A reader that has gone is an answer that can't be written, and told like a full disk. */
    signal(SIGPIPE, SIG_IGN);
    argp_program_version = "oncesink-simulate " ONCESINK_VERSION;
    argp_parse(&argp, argc, argv, ARGP_IN_ORDER, NULL, &choice);
    if (asprintf(&name, "oncesink-simulate %s", choice.command->name) < 0) {
        return EX_OSERR;
    }
    argv[choice.first] = name; /* so that the command's messages begin with both names */
    return choice.command->run(argc - choice.first, argv + choice.first);
}
