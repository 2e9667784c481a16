/* oncesink-simulate: what its commands share. A command is a file; the table of commands is in
 * simulate.c. */
#ifndef TOOLS_SIMULATE_H
#define TOOLS_SIMULATE_H

#include "err.h"
#include "lines.h"

#include <argp.h>
#include <stdio.h>

/* What a command makes of its input: answers to `out`. */
typedef bool (*simulate_answer)(struct lines *in, FILE *out, struct err *err);

/* The whole of a command that reads standard input and has no options. Answers leave whenever the
 * input makes it wait, so that a program can talk with it through two pipes. */
int simulate_filter(int argc, char **argv, const char *doc, simulate_answer answer);

/* Says what failed, sees to it that all answers have left, and returns the exit code. `err` is
 * looked at when `done` is false. */
int simulate_end(bool done, struct err *err);

/* The commands' answers; in their files. */
bool simulate_rate(struct lines *in, FILE *out, struct err *err);
bool simulate_split(struct lines *in, FILE *out, struct err *err);

int cmd_rate(int argc, char **argv);
int cmd_split(int argc, char **argv);
int cmd_run(int argc, char **argv);

#endif
