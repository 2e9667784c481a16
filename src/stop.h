/* How the process is asked to stop: SIGTERM, SIGINT, SIGHUP, and SIGUSR1 for a look at the state.
 *
 * stop_init blocks these signals in the calling thread (so also in every thread made later) and
 * takes them from a descriptor. The first stop signal asks for a graceful stop (or a forced one,
 * when graceful is off); the second one, or the end of the time given, forces it. Main thread. */
#ifndef STOP_H
#define STOP_H

#include "err.h"

struct stop {
    int fd; /* readable when a signal came */
    bool graceful;
    int64_t timeout_ms;
    unsigned signals;  /* stop signals so far */
    int64_t first_ms;  /* CLOCK_MONOTONIC of the first */
    bool state_wanted; /* SIGUSR1 came; the caller clears it */
};

MUST_CHECK bool stop_init(struct stop *stop, bool graceful, int64_t timeout_ms, struct err *err);

/* Takes the signals that came. Cheap; call it in every pass of a loop. */
void stop_serve(struct stop *stop);

bool stop_requested(const struct stop *stop);
bool stop_forced(const struct stop *stop);

#endif
