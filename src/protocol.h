/* The protocol's moves and conclusions: what state the batch is in, which move may follow, and what
 * is concluded from what was found. Functions over structs: no I/O, no clock. Main thread. */
#ifndef PROTOCOL_H
#define PROTOCOL_H

#include "batch.h"
#include "mark_text.h"
#include "provenance.h"

/* ---- a batch's life (drawn in protocol.c) ---- */

enum protocol_state {
    PROTOCOL_IDLE,       /* everything is settled */
    PROTOCOL_PLANNED,    /* plan, definition and fences are durable; nothing went out */
    PROTOCOL_DELIVERING, /* records are on their way */
    PROTOCOL_BROKEN,     /* the outcome of some is unknown and the old producer may still live */
    PROTOCOL_IN_DOUBT,   /* no producer of ours lives; what arrived isn't known */
    PROTOCOL_READ,       /* outputs read back, or the mark after init: what arrived is known */
    PROTOCOL_DELIVERED,  /* every record is acknowledged */
    PROTOCOL_CHECKED,    /* a recovered batch was read once more (R5) */
    PROTOCOL_STATE_COUNT,
};

enum protocol_move {
    PROTOCOL_PLAN,    /* the plan was committed */
    PROTOCOL_FIND,    /* at start: the ledger has an unsettled batch */
    PROTOCOL_DELIVER, /* the first record may go out */
    PROTOCOL_FAIL,    /* a delivery failed or its answer is unknown */
    PROTOCOL_DESTROY, /* the old producer is purged and destroyed (R2) */
    /* the settle wait is over and the outputs are read (R3, R4); transactional: a new producer has
     * fenced the old one and the mark is read (T5) */
    PROTOCOL_READ_BACK,
    PROTOCOL_ACKNOWLEDGE, /* the last acknowledgement came */
    PROTOCOL_CHECK,       /* read once more before settling (R5) */
    PROTOCOL_SETTLE,      /* the settlement was committed */
    PROTOCOL_MOVE_COUNT,
};

/* The state after the move; a move that isn't allowed is a defect and asserted. `checked`: the
 * batch went through a recovery that read the outputs, and must be read once more before it is
 * settled. */
enum protocol_state protocol_next(enum protocol_state state, enum protocol_move move, bool checked);
bool protocol_allows(enum protocol_state state, enum protocol_move move, bool checked);
const char *protocol_state_name(enum protocol_state state);

/* R3: the settle wait that began at `began_ms` is over at `now_ms`; last_ours_ms: when a record of
 * ours was last seen to appear, −1 = none was. Any clock, the same for all. */
bool protocol_wait_over(int64_t now_ms, int64_t began_ms, int64_t last_ours_ms, int64_t settle_ms);

/* ---- who we are, to compare with what is found ---- */

struct protocol_self {
    const char *uuid; /* the ledger's */
    char job[PROVENANCE_JOB_SIZE];
    int64_t settled;  /* last batch settled, 0 = none */
    int64_t in_doubt; /* the unsettled batch, 0 = none */
    bool by_mark;     /* the unsettled batch is transactional: its own mark may be there */
};

/* ---- a record found in an output ---- */

enum found {
    FOUND_STRANGER,     /* no provenance of this job */
    FOUND_EARLIER,      /* ours, of a settled batch */
    FOUND_IN_DOUBT,     /* ours, of the unsettled batch: delivered */
    FOUND_AHEAD,        /* this ledger's, of a batch that it doesn't know: the ledger is stale */
    FOUND_COPY,         /* this ledger's, by a start that it doesn't know: a copy of it ran */
    FOUND_OTHER_LEDGER, /* this job's, by another ledger */
};

/* `provenance` NULL: the record has none. `incarnation_known`: the ledger has run under its
 * incarnation. */
enum found protocol_judge_record(const struct protocol_self *self,
                                 const struct provenance *provenance, bool incarnation_known);

/* ---- the group's mark at start (O2, O4) ---- */

enum mark_verdict {
    MARK_FINE,   /* it says what the ledger says */
    MARK_BEHIND, /* older, or absent: write it again */
    /* offsets without a mark: someone moved them; the ledger wins, write it again */
    MARK_FOREIGN_TEXT,
    /* refuse: another ledger has the job's name (or ours was lost and made anew) */
    MARK_OTHER_LEDGER,
    MARK_AHEAD, /* refuse: the ledger is stale */
    MARK_COPY,  /* refuse: a copy of the ledger ran */
};

/* The batch that another ledger's mark names when nothing was ever delivered under it: it refuses
 * nobody. */
enum { MARK_BATCH_NONE = 0 };

struct mark_found {
    bool present;  /* any partition has an offset */
    bool all_ours; /* every partition that has an offset has a mark's text */
    bool any_ours; /* at least one has */
    /* with any_ours: the one with the highest batch, another ledger's first */
    struct mark_text text;
    bool incarnation_known; /* of text */
};

enum mark_verdict protocol_judge_mark(const struct protocol_self *self,
                                      const struct mark_found *mark);

/* ---- the marks where a transaction carries them: they decide (T4, T5, T7) ---- */

enum marks_verdict {
    MARKS_SETTLED, /* the last settled batch's: nothing of a batch in doubt is committed */
    MARKS_PART,    /* slices of the batch in doubt are committed, its last one isn't */
    MARKS_WHOLE,   /* the batch in doubt is committed */
    MARKS_ABSENT,  /* no partition has a transaction's mark, or any: ask the outputs */
    MARKS_BEHIND,  /* nothing in doubt; older or missing somewhere: write them before a batch */
    /* stop: an offset that wasn't committed with its text, or has none of ours */
    MARKS_MOVED,
    MARKS_MIXED, /* stop: partitions of the batch in doubt carry different marks */
    MARKS_OTHER_LEDGER,
    MARKS_AHEAD,
    MARKS_COPY,
};

/* One input partition of the job. */
struct mark_place {
    int64_t offset; /* the group's, −1 = none */
    bool ours;      /* with a mark's text, of any ledger */
    struct mark_text text;
    bool incarnation_known; /* of text */
    bool planned;           /* the batch in doubt reads it */
    int64_t from, until;    /* planned: that range; else both the ledger's next offset */
};

/* *place_out: the one to name with a verdict that stops, or that carries the batch in doubt's mark
 * (PART, WHOLE). `settled_by_mark`: the last settled batch was transactional, so that its mark
 * can't be behind. */
enum marks_verdict protocol_judge_marks(const struct protocol_self *self,
                                        const struct mark_place *places, size_t count,
                                        bool settled_by_mark, size_t *place_out);

/* ---- fenced, and the marks say by ourselves (T6) ---- */

enum { PROTOCOL_FENCED_MAX = 3, PROTOCOL_FENCED_MS = 600000 };

struct protocol_fenced {
    int64_t at_ms[PROTOCOL_FENCED_MAX]; /* newest first */
    size_t count;
};

/* Fenced at now_ms (any clock, the same for all). false: more than PROTOCOL_FENCED_MAX times within
 * PROTOCOL_FENCED_MS. */
bool protocol_fenced_again(struct protocol_fenced *fenced, int64_t now_ms);

/* ---- an output partition at start or before a read-back (R8) ---- */

enum output_verdict {
    OUTPUT_FINE,
    /* log start above our place: nothing in doubt, so it is ordinary retention */
    OUTPUT_GONE_BEFORE,
    OUTPUT_RENEWED,   /* another topic of that name, nothing in doubt: begin at its start */
    OUTPUT_LOG_START, /* stop: log start above the fence of the batch in doubt */
    OUTPUT_RECREATED, /* stop: another topic id while a batch is in doubt */
    OUTPUT_SHORT,     /* stop: the end is below our place */
    OUTPUT_AHEAD,     /* stop: our place is exact (positions, O3), and the end is above it */
    OUTPUT_MISSING,   /* stop: the topic or the partition isn't there */
};

struct output_found {
    bool in_doubt; /* the batch in doubt has a fence here */
    bool exists;
    bool other_id; /* both topic ids are known and differ */
    int64_t place; /* the fence, or the next offset we expect; −1 = unknown */
    int64_t log_start, log_end;
    bool exact; /* positions, and nothing in doubt: our place was the end */
    bool told;  /* what of the batch in doubt is there is known without reading it */
};

enum output_verdict protocol_judge_output(const struct output_found *found);

/* ---- an input partition that can't be read on ---- */

enum input_verdict {
    INPUT_FINE,
    INPUT_SKIP,      /* lost to retention, and the policy says go on: continue at log_start */
    INPUT_LOST,      /* stop: lost to retention */
    INPUT_TRUNCATED, /* stop: the log ends below our offset, or diverged */
};

struct input_found {
    int64_t position; /* first offset that is still needed */
    int64_t log_start, log_end;
    bool diverged; /* the leader's epoch says that what we read is no longer there */
    enum on_data_loss policy;
};

enum input_verdict protocol_judge_input(const struct input_found *found);

#endif
