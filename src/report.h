/* What a running job tells others: the service manager (service_notify.h) and metrics.file
 * (metrics.h). Nothing here fails or waits; what can't be written is a warning. Main thread. */
#ifndef REPORT_H
#define REPORT_H

#include "err.h"
#include "ledger.h"
#include "service_notify.h"

struct job;

struct report {
    struct service service;
    const char *metrics_path; /* NULL = no metrics are wanted */
    struct ledger_figures figures;
    int64_t start_wall_ms;
    int64_t written_ms; /* CLOCK_MONOTONIC: when metrics were last written; 0 = never */
    bool due;           /* a batch was settled since then */
    int complained;     /* errno of the last failure that was logged; 0 = it works */
};

/* In the order of a process's life. The job's clock must run. */
void report_open(struct job *job);
void report_ready(struct job *job);

/* A turn of the main loop, or of a wait in it. report_alive may be called while the ledger is
 * busy; report_turn only outside of a transaction. */
void report_alive(struct job *job);
void report_turn(struct job *job);

void report_settled(struct job *job);

/* The end, as it will be told to the caller: `err` is looked at when not ok. The metrics of a
 * process that ends in order are removed: nobody is to be called because of it. */
void report_ended(struct job *job, bool ok, const struct err *err);

#endif
