/* Where an output record comes from: the text of its last header `oncesink`, written and read.
 *
 *     1/JOB/LEDGER/INCARNATION/BATCH/TOPIC/PARTITION/OFFSET/INDEX
 *
 * 1: the layout's version. JOB: 8 hex digits, the CRC-32 of job.name. LEDGER: the first 12 hex
 * digits of the ledger's uuid. INCARNATION: 8 hex digits. The rest is decimal, TOPIC as it is ('/'
 * can't occur in a topic's name). The layout is fixed (schema/README.md). Pure; any thread. */
#ifndef PROVENANCE_H
#define PROVENANCE_H

#include "batch.h"

#define PROVENANCE_HEADER "oncesink"

enum {
    PROVENANCE_JOB_SIZE = 9,
    PROVENANCE_LEDGER_SIZE = 13,
    PROVENANCE_TEXT_SIZE = 384, /* always suffices, end included */
};

struct provenance {
    char job[PROVENANCE_JOB_SIZE];
    char ledger[PROVENANCE_LEDGER_SIZE];
    char incarnation[INCARNATION_SIZE];
    int64_t batch;
    char topic[TOPIC_NAME_MAX + 1];
    int32_t partition;
    int64_t offset;
    int32_t index; /* which of the outputs made from that input record */
};

/* The 8 hex digits for a job's name. */
void provenance_job(const char *job_name, char job_out[PROVENANCE_JOB_SIZE]);

/* What is the same for all records of one source in one batch, made once, so that a record costs
 * only its offset. */
struct provenance_prefix {
    char text[PROVENANCE_TEXT_SIZE];
    size_t size;
};

/* offset and index are ignored. */
void provenance_prefix(const struct provenance *provenance, struct provenance_prefix *prefix_out);

/* Writes the whole text (no end) to `text` of PROVENANCE_TEXT_SIZE and returns its size. */
size_t provenance_write(const struct provenance_prefix *prefix, int64_t offset, int32_t index,
                        char *text);

/* `text` needs no end. false for whatever provenance_write doesn't write. */
bool provenance_read(const void *text, size_t size, struct provenance *provenance_out);

#endif
