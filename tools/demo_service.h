/* The service that the demo runs, kills and stops, and its ledger as a person with sqlite3 reads
 * it. Errors end the process (demo_give_up), naming the service's log. Main thread. */
#ifndef DEMO_SERVICE_H
#define DEMO_SERVICE_H

#include "demo_reader.h"

#include <sqlite3.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

enum {
    DEMO_CAP = 1200, /* records/s and partition */
    DEMO_PATH_BYTES_MAX = 1024,
};

struct demo_service {
    char program[DEMO_PATH_BYTES_MAX];
    char folder[DEMO_PATH_BYTES_MAX]; /* oncesink.conf, ledger.db, oncesinkd.log */
    pid_t pid;                        /* 0 = not running */
    sqlite3 *ledger;                  /* NULL = not open */
};

/* Finds oncesinkd beside this program, makes the folder and writes the settings. */
void demo_service_init(struct demo_service *service, const struct demo_topics *topics);

void demo_service_start(struct demo_service *service);

/* Sends the signal and waits for the end; returns the wait status. */
int demo_service_end(struct demo_service *service, int signal_number);

/* It should be running: it is, or this process ends. */
void demo_service_check(struct demo_service *service);

/* Ends this process with those words and the place of the log. */
void demo_service_failed(const struct demo_service *service, const char *what)
    __attribute__((noreturn));

/* The numbers of the answer's first row; false when there is none, or no ledger yet. */
bool demo_service_ask(struct demo_service *service, const char *sql, int64_t *numbers, int count);

/* A statement on the ledger, of the caller's. */
sqlite3_stmt *demo_service_query(struct demo_service *service, const char *sql);

/* Closes the connection to the ledger; the next question opens it again. */
void demo_service_close_ledger(struct demo_service *service);

#endif
