/* A program that is a table of commands: finds the one that is called for, and runs it with the
 * rest of the line. */
#ifndef TOOLS_COMMANDS_H
#define TOOLS_COMMANDS_H

#include <stddef.h>

struct command {
    const char *name;
    const char *summary;
    int (*run)(int argc, char **argv); /* argv[0] is the command's name; returns the exit code */
};

struct commands {
    const char *program;
    const char *line; /* behind the program's name in --help */
    const char *doc;
    const struct command *list;
    size_t count;
};

/* The program's exit code. Answers --help and --version, and leaves with 64 when no command is
 * called for, or none that there is. */
int commands_run(const struct commands *commands, int argc, char **argv);

#endif
