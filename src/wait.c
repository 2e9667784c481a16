/* Waiting for a broker with patience. */
#include "wait.h"

#include "log.h"

#include <inttypes.h>
#include <stddef.h>
#include <string.h>
#include <time.h>

enum { TELL_AFTER_MS = 5000 };

int64_t wait_now_us(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

int64_t wait_now_ms(void)
{
    return wait_now_us() / 1000;
}

void wait_init(struct wait *wait, const struct patience *patience)
{
    *wait = (struct wait){.patience = patience, .begun_ms = wait_now_ms()};
}

bool wait_check(const struct wait *wait, struct err *err)
{
    const struct patience *patience = wait->patience;

    if (patience == NULL) {
        return true;
    }
    if (patience->stopped != NULL && patience->stopped(patience->arg)) {
        return err_set(err, ERR_STOPPED, 0, "asked to stop while waiting for a broker");
    }
    if (patience->timeout_ms >= 0 && wait_now_ms() - wait->begun_ms >= patience->timeout_ms) {
        return err_set(err, ERR_TEMPORARY, 0, "no answer within %" PRId64 " ms",
                       patience->timeout_ms);
    }
    return true;
}

bool wait_pause(struct wait *wait, int64_t pause_ms, struct err *err)
{
    int64_t until_ms = wait_now_ms() + pause_ms;
    struct err trouble = *err;

    if (!wait->told && wait_now_ms() - wait->begun_ms >= TELL_AFTER_MS) {
        wait->told = true;
        log_warning("%s; trying again until it works", err->text);
    }
    while (true) {
        int64_t left_ms = until_ms - wait_now_ms();
        int64_t slice_ms = left_ms < WAIT_SLICE_MS ? left_ms : WAIT_SLICE_MS;

        if (!wait_check(wait, err)) {
            if (err->kind == ERR_TEMPORARY && strcmp(err->text, trouble.text) != 0) {
                return err_wrap(err, "%s", trouble.text);
            }
            return false;
        }
        if (left_ms <= 0) {
            return true;
        }
        nanosleep(&(struct timespec){.tv_nsec = slice_ms * 1000000}, NULL);
    }
}

void wait_over(const struct wait *wait, const char *what)
{
    if (wait->told) {
        log_notice("%s works again after %" PRId64 " ms", what, wait_now_ms() - wait->begun_ms);
    }
}
