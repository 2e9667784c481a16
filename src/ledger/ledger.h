/* The ledger: one SQLite file that holds offsets, plans, outcomes and events (tables in schema/).
 *
 * Order of the calls: ledger_open → ledger_start → (ledger_begin → what belongs together →
 * ledger_commit)… → ledger_close. The calls marked [txn] belong inside begin/commit; the others
 * make a transaction of their own. A commit that returned true is on the disk (WAL,
 * synchronous=FULL), unless the transaction was begun ahead. After a failure inside a transaction
 * call ledger_rollback and start that transaction again, or give up: nothing of it stays.
 *
 * A person's lock is waited out: a writer's transaction is waited for (without end, logged every
 * few seconds, naming what is waited for; the wait ends with ERR_STOPPED when `stopped` answers
 * true). Errors: ERR_LEDGER (damaged, not a ledger, newer, I/O), ERR_LEDGER_FULL (disk full: pause,
 * then the same transaction again), ERR_LOCKED, ERR_STOPPED, ERR_DECISION (the file was moved or
 * replaced under us).
 *
 * Times: `…_ms` are milliseconds since 1970; job clock unless the name says wall. Main thread
 * only. */
#ifndef LEDGER_H
#define LEDGER_H

#include "batch.h"
#include "err.h"
#include "rate_estimate.h"

/* The end of year 9999. A ledger with a later time is damaged. */
#define LEDGER_MS_MAX INT64_C(253402300799999)

struct ledger;

struct ledger_options {
    const char *path;
    const char *job;         /* job.name; a ledger of another job is refused with ERR_SETTINGS */
    bool create;             /* make it when it isn't there */
    const char *uuid;        /* of a ledger that is made; NULL = a new one is drawn */
    bool (*stopped)(void *); /* asked while waiting; NULL = never */
    void *stopped_arg;
};

struct ledger_identity {
    char uuid[UUID_SIZE];
    char incarnation[INCARNATION_SIZE]; /* of the last ledger_start */
    int64_t batch;                      /* last batch number used; 0 = none */
    int64_t settled;                    /* last batch settled; 0 = none */
    bool settled_by_mark;               /* that batch was transactional */
    bool settled_by_place;              /* its records are known by their places */
    int64_t last_ms;                    /* job clock: latest time in any batch row; 0 = none */
    bool created;                       /* this ledger_open made the file */
};

/* Takes the OFD lock on PATH.lock (O1: ERR_LOCKED names the pid that holds it), refuses network
 * file systems, opens or makes the database, brings its schema up to date, checks what can be
 * checked quickly (application_id, user_version, quick look at the one-row table). */
MUST_CHECK bool ledger_open(const struct ledger_options *options, struct ledger **ledger_out,
                            struct err *err);

/* Read-only, without the lock, for tools: works while the service runs. */
MUST_CHECK bool ledger_open_to_read(const char *path, struct ledger **ledger_out, struct err *err);

/* Accepts NULL. Rolls back what is open. */
void ledger_close(struct ledger *ledger);

void ledger_identity(const struct ledger *ledger, struct ledger_identity *identity_out);

/* The path's file is still the one that is open (inode), else ERR_DECISION (O1). */
MUST_CHECK bool ledger_check_file(const struct ledger *ledger, struct err *err);

/* A new incarnation begins: stores it and an event. `wall_ms` labels it. */
MUST_CHECK bool ledger_start(struct ledger *ledger, const char *incarnation, int64_t wall_ms,
                             struct err *err);

/* The same for a producer replaced in the running process: the incarnation becomes known and the
 * current one, with a producer event. */
MUST_CHECK bool ledger_new_producer(struct ledger *ledger, const char *incarnation, int64_t wall_ms,
                                    struct err *err);

/* This ledger has run under that incarnation. */
MUST_CHECK bool ledger_knows_incarnation(struct ledger *ledger, const char *incarnation,
                                         bool *known_out, struct err *err);

MUST_CHECK bool ledger_begin(struct ledger *ledger, struct err *err);
MUST_CHECK bool ledger_commit(struct ledger *ledger, struct err *err);
/* The same, but the commit doesn't wait for the disk: others see what it wrote, and a dead process
 * leaves it, but a power failure may take it as long as ledger_synced doesn't tell that it is
 * there. Every other call waits for that first. */
MUST_CHECK bool ledger_begin_ahead(struct ledger *ledger, struct err *err);
/* *synced_out: all that was committed is on the disk; `wait`: once it is. ERR_LEDGER: it can't be
 * written there, and nothing that stands on it may be done; every later call fails likewise. */
MUST_CHECK bool ledger_synced(struct ledger *ledger, bool wait, bool *synced_out, struct err *err);
void ledger_rollback(struct ledger *ledger); /* does nothing outside a transaction */

/* ---- positions ---- */

struct ledger_input {
    char *topic; /* owned by the list */
    char topic_id[TOPIC_ID_SIZE];
    int32_t partition;
    int64_t next_offset;
    int32_t leader_epoch; /* of the last record consumed, -1 = unknown */
    int64_t end_offset;   /* of its log as last seen at a plan, -1 = unknown */
};

struct ledger_output {
    char *topic; /* owned by the list */
    char topic_id[TOPIC_ID_SIZE];
    int32_t partition;
    int64_t next_offset;       /* last delivered + 1, or a later log end (R6): the next fence */
    int64_t refreshed_wall_ms; /* when it was last known to be so */
};

struct ledger_inputs {
    struct ledger_input *items; /* by topic, partition */
    size_t count;
};

struct ledger_outputs {
    struct ledger_output *items; /* by topic, partition */
    size_t count;
};

MUST_CHECK bool ledger_inputs_load(struct ledger *ledger, struct ledger_inputs *inputs_out,
                                   struct err *err);
void ledger_inputs_deinit(struct ledger_inputs *inputs);
MUST_CHECK bool ledger_outputs_load(struct ledger *ledger, struct ledger_outputs *outputs_out,
                                    struct err *err);
void ledger_outputs_deinit(struct ledger_outputs *outputs);

/* [txn] Adds the row or replaces it (topic, partition are the key; an empty topic_id keeps the one
 * that is there). An input whose next offset is changed so, and not by settling, leaves a row in
 * oncesink_jump. */
MUST_CHECK bool ledger_input_put(struct ledger *ledger, const struct ledger_input *input,
                                 struct err *err);
MUST_CHECK bool ledger_output_put(struct ledger *ledger, const struct ledger_output *output,
                                  struct err *err);

/* ---- a batch's life ---- */

/* [txn] Stores the definition if no stored one is the same (definition_same), and sets its id. */
MUST_CHECK bool ledger_define(struct ledger *ledger, struct definition *definition,
                              struct err *err);

/* [txn] planned. The number must be identity.batch + 1, no other batch may be unsettled, the
 * definition must have an id, ledger_start must have been called: asserted. Every range must begin
 * at its input's next offset, else ERR_LEDGER (someone else changed it). A range's `end` is kept
 * for the view `lag`. */
MUST_CHECK bool ledger_plan(struct ledger *ledger, const struct batch *batch, struct err *err);

/* The unsettled batch with all that belongs to it; `found_out` false when there is none. */
MUST_CHECK bool ledger_unsettled(struct ledger *ledger, struct batch *batch_out, bool *found_out,
                                 struct err *err);

/* [txn] A fence for an output partition that the batch meets only now. Durable before its first
 * record (R6). A fence that the batch already has stays as it is. */
MUST_CHECK bool ledger_fence_add(struct ledger *ledger, int64_t batch, const struct fence *fence,
                                 struct err *err);

/* [txn] In a long batch: everything below `fences[i].offset` is accounted for by `progress` (R8).
 * Replaces the progress; fences only rise, and fences that aren't named stay. ledger_unsettled
 * gives the raised ones. */
MUST_CHECK bool ledger_checkpoint(struct ledger *ledger, const struct batch *batch,
                                  const struct fence *fences, size_t fence_count,
                                  const struct progress *progress, size_t progress_count,
                                  struct err *err);

/* A record's bytes. Sizes are −1 where the field is null. Headers are packed as schema/README.md
 * says. */
struct ledger_record {
    const char *topic;
    int32_t partition;
    int64_t offset;
    int64_t timestamp_ms;
    const void *key;
    int64_t key_size;
    const void *value;
    int64_t value_size;
    const void *headers;
    int64_t headers_size;
};

/* [txn] The record is put aside and goes to the error partition, whose fence must be in the batch
 * already. */
MUST_CHECK bool ledger_set_aside(struct ledger *ledger, int64_t batch,
                                 const struct ledger_record *record, const char *reason,
                                 const char *error_topic, int32_t error_partition, int64_t wall_ms,
                                 struct err *err);

struct ledger_settlement {
    int64_t batch;
    int64_t ended_ms; /* job clock: the last acknowledgement */
    int64_t settled_wall_ms;
    int64_t processing_ms;
    int64_t scheduling_ms;
    int64_t records; /* input records delivered, put aside ones included */
    int64_t outputs; /* output records delivered, those to error topics included */
    int64_t found;   /* of these: found delivered by recovery */
    bool recovered;  /* finished by recovery: outcome 'recovered' instead of 'ok' */
    const struct rate_estimate *rate;  /* the estimator with this batch; NULL = didn't count */
    const struct ledger_input *inputs; /* the ranges' partitions with next_offset = until */
    size_t input_count;
    const int64_t *input_records; /* per such partition: records in it */
    const struct ledger_output
        *outputs_after; /* partitions delivered to, next_offset = last delivered + 1 */
    size_t output_count;
    const int64_t *output_records; /* per such partition */
};

/* [txn] settled: outcome, the partitions' next offsets, totals; drops the checkpoint's rows. All
 * the batch's ranges must be among the inputs, each with next_offset = its until, and each output
 * must have a fence at or below its next_offset: else ERR_LEDGER. */
MUST_CHECK bool ledger_settle(struct ledger *ledger, const struct ledger_settlement *settlement,
                              struct err *err);

/* The estimator's state as the last batch that counted left it, or as rate_estimate_init makes
 * it. */
MUST_CHECK bool ledger_rate_load(struct ledger *ledger, struct rate_estimate *estimate_out,
                                 struct err *err);

/* ---- beside the batches ---- */

/* Words of oncesink_event.kind. */
enum ledger_event_kind {
    EVENT_START,
    EVENT_STOP,
    EVENT_RECOVERY,
    EVENT_REFUSAL,
    EVENT_DOUBLE, /* a record was found twice in an output */
    EVENT_GAP,    /* input offsets lost to retention, skipped by policy */
    EVENT_TOPIC,  /* partitions added, topic recreated, configuration worth knowing */
    EVENT_TICKS,  /* missed ticks collapsed */
    EVENT_BAD_RECORD,
    EVENT_MARK,     /* the group's offsets were moved by someone */
    EVENT_PRODUCER, /* a producer was replaced */
    EVENT_OPERATOR, /* a person's act (oncesink-recover) */
    EVENT_ATTEMPT,  /* readings that got nothing for fetch.timeout.ms */
    EVENT_FAILURE,  /* the batch failed (task.max.failures), is kept and begins again */
};

/* Makes its own transaction unless one is open. `batch` 0 = none. */
MUST_CHECK bool ledger_event(struct ledger *ledger, enum ledger_event_kind kind, int64_t batch,
                             int64_t wall_ms, struct err *err, const char *format, ...)
    __attribute__((format(printf, 6, 7)));

/* Deletes settled batches older than the newest `keep`, a bite at a time (bounded work per call),
 * and routine events (start, stop, ticks, producer, attempt) older than as many events; between
 * batches. A few batches more than `keep` may stay (an eighth, at most 64), so that not every batch
 * pays for pruning. */
MUST_CHECK bool ledger_prune(struct ledger *ledger, int64_t keep, struct err *err);

/* Copies the WAL into the file as far as readers allow, between batches, when it is long enough to
 * be worth it; never waits for a reader. */
void ledger_tidy(struct ledger *ledger);

/* Frees the pages of the file that are kept in memory; they are read again when they are needed. */
void ledger_give_back(struct ledger *ledger);

/* Figures for metrics: totals since the ledger was made, and the last settled batch. */
enum ledger_figure_event {
    LEDGER_FIGURE_DOUBLE,
    LEDGER_FIGURE_RECOVERY,
    LEDGER_FIGURE_REFUSAL,
    LEDGER_FIGURE_GAP,
    LEDGER_FIGURE_TOPIC,
    LEDGER_FIGURE_MARK,
    LEDGER_FIGURE_FAILURE,
    LEDGER_FIGURE_EVENTS,
};

enum { LEDGER_WORD_SIZE = 16 };

struct ledger_figures {
    int64_t batches, recovered, records, outputs, found, set_aside;
    int64_t starts;                       /* of the process */
    int64_t producers;                    /* replaced in a running process */
    int64_t events[LEDGER_FIGURE_EVENTS]; /* of the kinds that are never pruned */
    int64_t last_event;                   /* counted up to this one */
    int64_t last_wall_ms;                 /* when the last batch was settled; 0 = none was */
    int64_t last_processing_ms, last_scheduling_ms, last_records;
    int64_t last_rate; /* records/s that were in force for it, 0 = none */
    char last_limited_by[LEDGER_WORD_SIZE];
};

/* Brings `figures` up to date: zeroed before the first call, then as the last call left it. Leaves
 * it alone inside a transaction, whose changes aren't true yet. Cheap enough for every batch. */
MUST_CHECK bool ledger_figures(struct ledger *ledger, struct ledger_figures *figures,
                               struct err *err);

/* SQLite's version. */
const char *ledger_library(void);

/* Bytes of the WAL; a reader that keeps it from being reused shows here. */
int64_t ledger_wal_bytes(const struct ledger *ledger);

#endif
