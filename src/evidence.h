/* What marks and outputs prove of a job whose ledger is lost or was left behind: the conclusions of
 * oncesink-recover reconcile and rebuild, and why they hold. Functions over structs: no I/O. Main
 * thread.
 *
 * Let T be the highest batch that any mark or record of this ledger names. A batch is planned only
 * when the one before it is settled, and settled only when every record of it is acknowledged; so
 * all batches below T are whole, and of T anything may be there. Of a source (an input partition):
 *
 *   from   everything below is delivered, nothing at or above it belongs to a batch below T. The
 *          highest of: the ledger's next offset (it is behind, so that is below T); the offset of a
 *          mark (M < T: below T too); 1 + the highest offset found of a batch below T. Offsets
 *          between these and T's true beginning have no record (else it would have been found), or
 *          one that was skipped by policy.
 *   until  1 + the highest offset found of T. T's true end isn't known, and needn't be: nothing
 *          above is delivered, and what is left out of T now is in the next batch.
 *
 * idempotent     T isn't proved whole by a mark of T: it becomes a batch in doubt with the ranges
 *                [from, until). The next start reads it back and delivers what is missing of it, by
 *                output partition (R4), as after any crash.
 * transactional  what is committed of a source is a prefix of it over all outputs, so until is
 *                exact and nothing is in doubt. A mark is as exact, and in the same transaction.
 *
 * This needs every record of a batch above the ledger's (or above the mark's) to be there still:
 * `lost` outputs are judged, and whatever isn't proved is refused. */
#ifndef EVIDENCE_H
#define EVIDENCE_H

#include "batch.h"
#include "err.h"
#include "provenance.h"

/* What was found of one input partition. −1 = nothing. */
struct evidence_source {
    char *topic; /* owned */
    int32_t partition;
    int64_t earlier;         /* highest offset of a batch below T */
    int64_t lowest, highest; /* of T */
    int64_t unknown;         /* highest offset written by a start that the ledger doesn't know */
};

/* What was found in one output partition. */
struct evidence_output {
    int64_t first;        /* the first record of ours, −1 = none */
    int64_t first_batch;  /* its batch, 0 = none */
    int64_t last_earlier; /* the last record of ours of a batch below T, −1 = none */
    int64_t last;         /* the last of T, −1 = none */
    int64_t records;      /* of T */
    bool lost;            /* its log begins above the place from which it had to be read */
};

struct evidence {
    int64_t batch; /* T, as far as records tell; 0 = none found */
    struct evidence_source *sources;
    size_t source_count;
    struct evidence_output *outputs; /* in the order in which the caller numbers them */
    size_t output_count;
    char (*starts)[INCARNATION_SIZE]; /* every incarnation found */
    size_t start_count;
    char start[INCARNATION_SIZE]; /* one of those that wrote T */
    int64_t records;              /* of this ledger, of all batches */
};

void evidence_init(struct evidence *evidence, size_t outputs);
void evidence_deinit(struct evidence *evidence);

/* A record of this ledger at `offset` of an output, in any order; `known`: the ledger knows its
 * start. */
void evidence_add(struct evidence *evidence, size_t output, int64_t offset,
                  const struct provenance *provenance, bool known);

/* An incarnation that a mark names. */
void evidence_add_start(struct evidence *evidence, const char *incarnation);

/* NULL when nothing was found of it. */
const struct evidence_source *evidence_find(const struct evidence *evidence, const char *topic,
                                            int32_t partition);

/* ---- the conclusion ---- */

/* An input partition as the ledger and the group know it, and where it is to go on. */
struct evidence_place {
    const char *topic; /* borrowed */
    int32_t partition;
    int64_t ledger;     /* the ledger's next offset, −1 = it has none */
    int64_t group;      /* the group's offset, −1 = none */
    int64_t mark_batch; /* of its mark; −1 = it has no mark's text of this ledger */

    /* evidence_conclude */
    int64_t next;  /* everything below is delivered; −1 = nothing is known of it */
    int64_t until; /* of the batch in doubt; ≤ next = it has no part in it */
};

struct evidence_case {
    enum delivery delivery;
    bool headers;    /* output.provenance=headers: outputs were read */
    bool one_output; /* each source goes to one output partition (partitioner `same`) */
    int64_t settled; /* the ledger's; 0 = there is none */
};

struct evidence_result {
    int64_t batch;   /* T: the last number used */
    int64_t settled; /* T, or T − 1 with T in doubt */
    int64_t marked;  /* the highest batch of a mark, −1 = no mark */
};

/* Fills the places' next and until. ERR_DECISION: it isn't proved, and why. T must be above the
 * ledger's settled batch. */
MUST_CHECK bool evidence_conclude(const struct evidence *evidence, const struct evidence_case *of,
                                  struct evidence_place *places, size_t count,
                                  struct evidence_result *result_out, struct err *err);

#endif
