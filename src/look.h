/* Looking through output partitions: what is found there, judged record by record, by its header
 * (protocol_judge_record) or by its place (look_positions.c). Used by recover.c and recover_check.c
 * only; main thread. */
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
    /* of each span: where it began, when only the batch's own records may be there, in their order;
     * −1 = its records are known by their headers */
    int64_t *begins;
    struct look_positions *positions; /* those own records; NULL = none may be there */
    size_t count;
    struct delivered *delivered; /* the batch's; LOOK_CHECK: one of its own */
    bool committed;  /* read_committed, with a reader of its own (transactional batches) */
    int64_t found;   /* records of the batch */
    int64_t earlier; /* records of this ledger's earlier batches */
    int64_t doubled;
    int64_t ends_ms;      /* CLOCK_MONOTONIC: when the spans' ends were answered */
    int64_t last_ours_ms; /* and when one was last known to have appeared, −1 = none */
};

void look_init(struct look *look, struct job *job, enum look_purpose purpose);
void look_deinit(struct look *look);

/* Each output at most once. */
void look_add(struct look *look, size_t output, int64_t from, int64_t until);

/* The same where records are known by their places: whatever is found from `from` on must be the
 * batch's next record for that output, byte for byte, else it is ERR_DECISION. With LOOK_BACK the
 * batch's input is read again for that, from behind what job->delivered has for it; otherwise
 * nothing may be there. */
MUST_CHECK bool look_add_by_place(struct look *look, size_t output, int64_t from, int64_t until,
                                  struct err *err);

/* Moves every span's end to the log's end of now. */
MUST_CHECK bool look_extend(struct look *look, struct err *err);

/* Reads every span to its end. ERR_DECISION: the ledger is stale, a copy of it or another one has
 * written; where records are known by their places, anybody else. A record that is there twice
 * becomes an event (but for LOOK_BACK, where it is counted: the check that follows names it). */
MUST_CHECK bool look_read(struct look *look, struct err *err);

#endif
