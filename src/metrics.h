/* metrics.file: what a job does, in Prometheus' text format (version 0.0.4), for node_exporter's
 * textfile collector or whatever reads files.
 *
 * Every sample carries the label job_name, so that the files of many jobs can be put together.
 * Counters count since the ledger was made, so a restart is no reset. metrics_text is pure. Main
 * thread. */
#ifndef METRICS_H
#define METRICS_H

#include "err.h"
#include "ledger.h"

#include <stddef.h>

struct metrics {
    const char *job;
    const char *version;
    const char *kafka_library;  /* its version */
    const char *ledger_library; /* its version */
    int64_t wall_ms;            /* now */
    int64_t start_wall_ms;
    bool up;
    int exit_code;    /* when not up */
    int64_t in_doubt; /* batches that are not settled: 0 or 1 */
    int64_t in_flight;
    int64_t settled; /* batch number, 0 = none */
    int64_t mark;    /* batch number of the last mark acknowledged to this process, 0 = none */
    int64_t wal_bytes;
    struct ledger_figures figures;
    const struct ledger_input *inputs; /* borrowed */
    size_t input_count;
};

/* The whole file; of the caller's. */
char *metrics_text(const struct metrics *metrics);

/* Writes PATH.tmp and renames it to PATH, so that nobody reads half a file. Not synced: a power cut
 * may take it away. ERR_FAILED names the file. */
MUST_CHECK bool metrics_write(const char *path, const char *text, struct err *err);

/* The file goes away; it not being there is fine. */
void metrics_remove(const char *path);

#endif
