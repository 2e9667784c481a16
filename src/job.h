/* A running job: tick → plan → deliver → settle → mark, from start to stop. */
#ifndef JOB_H
#define JOB_H

#include "config.h"
#include "err.h"

struct job_options {
    const struct config *config;
    bool until_end; /* work off what is there at the start, then stop */
};

/* Runs until it is asked to stop (true), --until-end is reached (true), or something ends it
 * (false). Main thread; takes over the signals of stop.h. */
MUST_CHECK bool job_run(const struct job_options *options, struct err *err);

#endif
