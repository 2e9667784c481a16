/* Looking through output partitions: what is found there, judged record by record
 * (protocol_judge_record). Used by recover.c only; main thread. */
#ifndef LOOK_H
#define LOOK_H

#include "delivered.h"
#include "err.h"
#include "readback.h"

struct job;

enum look_purpose {
    LOOK_BACK,  /* what of the batch in doubt is there */
    LOOK_CHECK, /* what of it is there twice */
    LOOK_GAP,   /* late writes */
};

struct look {
    struct job *job;
    enum look_purpose purpose;
    struct readback_span *spans;
    size_t *outputs; /* of each span: index into job->outputs */
    size_t count;
    struct delivered *delivered; /* the batch's; LOOK_CHECK: one of its own */
    bool committed;  /* read_committed, with a reader of its own (transactional batches) */
    int64_t found;   /* records of the batch */
    int64_t earlier; /* records of this ledger's earlier batches */
    int64_t doubled;
    int64_t ends_ms;      /* job clock: when the spans' ends were answered */
    int64_t last_ours_ms; /* job clock: when one was last known to have appeared, −1 = none */
};

void look_init(struct look *look, struct job *job, enum look_purpose purpose);
void look_deinit(struct look *look);

/* Each output at most once. */
void look_add(struct look *look, size_t output, int64_t from, int64_t until);

/* Moves every span's end to the log's end of now. */
MUST_CHECK bool look_extend(struct look *look, struct err *err);

/* Reads every span to its end. ERR_DECISION: the ledger is stale, a copy of it or another one has
 * written. A record that is there twice becomes an event (but for LOOK_BACK, where it is counted:
 * the check that follows names it). */
MUST_CHECK bool look_read(struct look *look, struct err *err);

#endif
