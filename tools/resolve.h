/* oncesink-recover resolve: its two halves. */
#ifndef TOOLS_RESOLVE_H
#define TOOLS_RESOLVE_H

#include "broker.h"
#include "delivered.h"
#include "ledger.h"
#include "protocol.h"
#include "recover.h"

/* An output partition as recovery would judge it (R8). */
struct resolve_output {
    char *topic; /* owned */
    int32_t partition;
    char topic_id[TOPIC_ID_SIZE]; /* of the topic that the ledger means; "" = unknown */
    bool fenced;                  /* by the batch in doubt */
    int64_t fence;
    int64_t next; /* the ledger's, −1 = it has none */
    int64_t log_start, log_end;
    enum output_verdict verdict;
    bool chosen;   /* to be decided in this call */
    size_t told;   /* sources of which a record of the batch is there: they need no decision */
    size_t untold; /* sources of which nothing is */
};

struct resolve {
    struct broker broker;
    struct ledger *ledger;
    struct ledger_identity identity;
    struct batch batch; /* zero when nothing is in doubt */
    bool in_doubt;
    bool by_mark; /* the batch in doubt is transactional: what of it is there isn't read */
    struct resolve_output *outputs;
    size_t output_count;
    struct delivered delivered; /* of the batch, in `outputs`, as far as it can be seen */
    char words[900];            /* what is the case, and what is done */
    bool nothing;               /* there is nothing to decide */
};

/* Judges every output, reads those that can't be read back as they should be. ERR_DECISION: one
 * isn't there at all, or another process has worked on the job. */
MUST_CHECK bool resolve_look(struct resolve *it, struct err *err);

/* This output is one that recovery stops at. */
bool resolve_is_stuck(const struct resolve_output *output);

/* It may be decided when it is named: the service stops at it (it tells so), or can't compare it
 * (output.provenance=positions: somebody else's record, or the input is gone). */
bool resolve_may_name(const struct resolve *it, const struct resolve_output *output);

/* The source can send records there. */
bool resolve_reaches(const struct resolve *it, size_t range, const struct resolve_output *output);

/* A transactional batch in doubt: the group's marks are absent and no output tells. Fills words and
 * nothing; does it with --yes. */
MUST_CHECK bool resolve_marks(struct resolve *it, const struct recover_arguments *arguments,
                              struct err *err);

#endif
