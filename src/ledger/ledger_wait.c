/* Waiting for a person's lock: a `sqlite3` session in the middle of a write transaction is waited
 * out, not an error.
 *
 * SQLite calls the busy handler again and again. It sleeps a little, longer after the first
 * moments, asks `stopped` each time, and logs every few seconds who is waited for. Who that is says
 * the kernel: the write lock of WAL is a POSIX lock on byte 120 of LEDGER-shm. The descriptor that
 * asks stays open until the database is closed, since closing it earlier would drop the locks that
 * SQLite holds on that file for this process. */
#include "ledger_internal.h"

#include "log.h"
#include "mem.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

enum {
    SHORT_NAP_MS = 1,
    NAP_MS = 20,
    SHORT_NAPS = 20,
    FIRST_WORD_MS = 1000,
    NEXT_WORD_MS = 5000,
    WAL_WRITE_LOCK_BYTE = 120,
};

static int64_t monotonic_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* The process that writes, 0 = unknown. */
static pid_t writer_of(struct ledger *ledger)
{
    struct flock lock = {
        .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = WAL_WRITE_LOCK_BYTE, .l_len = 1};

    if (ledger->shm_fd < 0) {
        char *path = mem_print("%s-shm", ledger->real_path);

        ledger->shm_fd = open(path, O_RDWR | O_CLOEXEC);
        free(path);
    }
    if (ledger->shm_fd < 0 || fcntl(ledger->shm_fd, F_GETLK, &lock) != 0 ||
        lock.l_type == F_UNLCK) {
        return 0;
    }
    return lock.l_pid;
}

static void say(struct ledger *ledger, int64_t waited_ms)
{
    const pid_t writer = writer_of(ledger);

    if (writer > 0) {
        log_notice("ledger %s: process %ld has had a write transaction open for %" PRId64
                   " ms; waiting until it is ended",
                   ledger->path, (long)writer, waited_ms);
    } else {
        log_notice("ledger %s: another program has had it locked for %" PRId64
                   " ms; waiting until it is released",
                   ledger->path, waited_ms);
    }
}

static int busy(void *arg, int attempts)
{
    struct ledger *ledger = arg;
    const int64_t now_ms = monotonic_ms();
    const int nap_ms = attempts < SHORT_NAPS ? SHORT_NAP_MS : NAP_MS;
    struct timespec nap = {.tv_nsec = nap_ms * 1000000L};

    if (attempts == 0) {
        ledger->wait_began_ms = now_ms;
        ledger->wait_logged_ms = now_ms - NEXT_WORD_MS + FIRST_WORD_MS;
        ledger->wait_stopped = false;
    }
    if (ledger->stopped != NULL && ledger->stopped(ledger->stopped_arg)) {
        ledger->wait_stopped = true;
        return 0;
    }
    if (now_ms - ledger->wait_logged_ms >= NEXT_WORD_MS) {
        ledger->wait_logged_ms = now_ms;
        say(ledger, now_ms - ledger->wait_began_ms);
    }
    nanosleep(&nap, NULL); /* a signal ends it early, so that `stopped` is asked at once */
    return 1;
}

void ledger_wait_install(struct ledger *ledger)
{
    sqlite3_busy_handler(ledger->db, busy, ledger);
}
