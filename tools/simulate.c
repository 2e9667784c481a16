/* oncesink-simulate COMMAND: what the limits do with given settings and a given load, without
 * Kafka and with the service's own code: rate (the estimator), split (what each partition gives to
 * a batch), run (a whole job). Text in, text out, a result a line; answers on stdout, trouble on
 * stderr with the line it comes from. Exit codes are those of all our programs (0 done, 1 failed,
 * 64 usage, 78 settings). */
#include "simulate.h"

#include "commands.h"

#include <signal.h>

static const struct command COMMANDS[] = {
    {"rate", "what rate the estimator gives for a sequence of batches", cmd_rate},
    {"split", "what each partition gives to a batch", cmd_split},
    {"run", "what a job does under a load: its batches, and whether it keeps up", cmd_run},
};
enum { COMMAND_COUNT = sizeof(COMMANDS) / sizeof(COMMANDS[0]) };

int main(int argc, char **argv)
{
    static const struct commands PROGRAM = {
        .program = "oncesink-simulate",
        .line = "COMMAND ...",
        .doc = "Shows what Oncesink's limits do with given settings and load, without Kafka.\v ",
        .list = COMMANDS,
        .count = COMMAND_COUNT,
    };

    /* A reader that has gone is an answer that can't be written, and told like a full disk. */
    signal(SIGPIPE, SIG_IGN);
    return commands_run(&PROGRAM, argc, argv);
}
