/* What the job's outputs hold, read for evidence: from where the ledger ends (or as far back as the
 * group's mark makes necessary) to their ends, and once more after the settle wait, since somebody
 * may still be writing. */
#ifndef TOOLS_SCAN_H
#define TOOLS_SCAN_H

#include "broker.h"
#include "evidence.h"
#include "ledger.h"

struct scan_output {
    char *topic; /* owned */
    int32_t partition;
    bool error;   /* of an error topic */
    int64_t from; /* where to begin; −1 = as far back as necessary */
    int64_t log_start, log_end;
};

/* A record that was put aside, as its error topic has it. */
struct scan_aside {
    struct provenance provenance;
    size_t output;
    struct ledger_record record; /* its bytes are owned, its topic is provenance's */
};

struct scan {
    struct broker *broker;
    struct ledger *ledger; /* NULL = none: no start is known */
    char uuid[UUID_SIZE];  /* or its first 12 digits, or "" = that of the first record */
    const struct definition *definition;
    bool committed; /* records of aborted and open transactions are none */
    int64_t enough; /* reading back ends at a batch at or below it; −1 = at the log's start */
    struct scan_output *outputs;
    size_t output_count;
    struct evidence evidence;
    struct scan_aside *asides;
    size_t aside_count;
    char misfit[512];   /* T's records lie elsewhere than the definition puts them; "" = they fit */
    char stranger[512]; /* records of this job by another ledger; "" = none */
    int64_t misfit_batch;
};

/* `definition` and `broker` are borrowed. Every partition of the outputs and of the error topics
 * that are there; from = −1. */
void scan_init(struct scan *scan, struct broker *broker, const struct definition *definition);
void scan_deinit(struct scan *scan);

/* Reading begins where the ledger's outputs end. */
MUST_CHECK bool scan_from_ledger(struct scan *scan, struct ledger *ledger, struct err *err);

/* Reads; fills evidence. ERR_TEMPORARY when records still arrive: somebody works on the job. */
MUST_CHECK bool scan_read(struct scan *scan, struct err *err);

#endif
