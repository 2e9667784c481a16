/* How the process is asked to stop. */
#include "stop.h"

#include "log.h"
#include "wait.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

bool stop_init(struct stop *stop, bool graceful, int64_t timeout_ms, struct err *err)
{
    sigset_t set;

    *stop = (struct stop){.fd = -1, .graceful = graceful, .timeout_ms = timeout_ms};
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGHUP);
    sigaddset(&set, SIGUSR1);
    if (sigprocmask(SIG_BLOCK, &set, NULL) != 0) {
        return err_set(err, ERR_FAILED, errno, "cannot block signals: %s", strerror(errno));
    }
    signal(SIGPIPE, SIG_IGN);
    stop->fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
    if (stop->fd < 0) {
        return err_set(err, ERR_FAILED, errno, "cannot make a signalfd: %s", strerror(errno));
    }
    return true;
}

void stop_serve(struct stop *stop)
{
    struct signalfd_siginfo info;

    while (read(stop->fd, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
        if (info.ssi_signo == SIGUSR1) {
            stop->state_wanted = true;
            continue;
        }
        stop->signals++;
        if (stop->signals == 1) {
            stop->first_ms = wait_now_ms();
        }
        log_notice("signal %s: %s", strsignal((int)info.ssi_signo),
                   stop_forced(stop) ? "stopping at once"
                                     : "finishing the batch under way, then stopping");
    }
}

bool stop_requested(const struct stop *stop)
{
    return stop->signals > 0;
}

bool stop_forced(const struct stop *stop)
{
    if (stop->signals == 0) {
        return false;
    }
    return !stop->graceful || stop->signals > 1 ||
           wait_now_ms() - stop->first_ms > stop->timeout_ms;
}
