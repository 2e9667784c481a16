/* What the parts of a running job share: job.c (the loop), start.c, deliver.c, bad_record.c,
 * recover.c. Nobody else includes this. Main thread. */
#ifndef JOB_STATE_H
#define JOB_STATE_H

#include "batch.h"
#include "broker_facts.h"
#include "clock.h"
#include "config.h"
#include "delivered.h"
#include "ledger.h"
#include "mark.h"
#include "outputs.h"
#include "pace.h"
#include "patience.h"
#include "protocol.h"
#include "read_task.h"
#include "readback.h"
#include "relay.h"
#include "report.h"
#include "sink.h"
#include "source_ends.h"
#include "source_read.h"
#include "stop.h"
#include "tick.h"
#include "topic_facts.h"
#include "transaction.h"

enum {
    WATCH_MS =
        180000, /* R5: so long after a start or a recovery every gap in our offsets is looked at */
    GAP_LOOK_MS = 1000,    /* how often */
    CHECKPOINT_MS = 5000,  /* R8 */
    FENCE_AGE_MS = 240000, /* R6: a fence older than this is refreshed from the broker's end */
    FACTS_AGE_MS = 5000,   /* how often partitions are counted again */
    IDS_AGE_MS = 200,      /* a plan doesn't ask the topic ids again sooner than this */
    IDLE_SLICE_MS = 100,   /* longest wait of a loop before it looks around */
    HAND_SLICE = 1000,     /* so many are sent before the loop looks around */
};

/* Messages taken from the source and not yet handed to the sink. */
struct hand {
    size_t range;                  /* of the batch */
    rd_kafka_message_t **messages; /* fetch.max.records of them; kept from batch to batch */
    size_t at, count;
    int64_t offset; /* of messages[at], once it was looked at */
    bool made;      /* `record` is made of messages[at] */
    struct sink_record record;
    char text[PROVENANCE_TEXT_SIZE];
};

/* A question for the next plan's ends that is under way, or answered. */
struct ends_ahead {
    struct ends *question; /* NULL: none */
    struct ends_item *items;
    size_t count;
    int64_t asked_ms; /* job clock */
    int64_t facts_ms; /* job->facts_ms by then */
};

struct job {
    const struct config *config;
    bool until_end;
    struct ledger *ledger;
    struct ledger_identity identity; /* batch and settled are kept up to date */
    struct job_clock clock;
    struct rate_estimate estimate; /* with every batch that is settled and counts */
    struct tick tick;
    struct stop stop;
    struct report report;
    int64_t clock_began_ms; /* job clock: this process began */
    int64_t began_ms;       /* CLOCK_MONOTONIC: this process began (R3) */
    char job_hash[PROVENANCE_JOB_SIZE];
    char incarnation[INCARNATION_SIZE]; /* written into provenance: a new one for each producer */

    rd_kafka_t *ask;
    struct broker_facts *brokers;
    struct topic_facts *facts;
    int64_t facts_ms; /* when partitions were counted */
    int64_t asked_ms; /* when topic ids and configurations were asked */
    bool access_judged;
    struct source *source;
    /* the settings, with the isolation level of what is read; borrows all */
    struct config source_config;
    struct sink *sink;               /* NULL until the first output; transactional: made at start */
    struct transaction *transaction; /* of the sink; NULL in idempotent mode */
    bool produced;                   /* the incarnation of this start has been used by a producer */
    struct protocol_fenced fenced;   /* job clock: when we were last fenced by ourselves (T6) */
    struct mark_writer *marks;
    int64_t marked_ms; /* job clock: when the last mark was begun or committed; 0 = none by this
                          process in this mode */
    bool mark_owed;    /* idempotent: batches were settled since */

    struct definition definition; /* of the next plan */
    struct ledger_inputs inputs;
    struct outputs outputs;
    struct ends_item
        *ends;             /* as last asked for a plan, in the inputs' order; topics are borrowed */
    size_t end_count;      /* 0 = not asked yet */
    int64_t ends_ms;       /* job clock: when that was */
    int64_t ends_facts_ms; /* facts_ms by then: the same inputs as long as it stays */
    struct ends_ahead ahead;
    /* --until-end: the inputs' ends at start, in the inputs' order; topics are owned */
    struct ends_item *goals;
    size_t goal_count;
    int64_t given_back_ms; /* job clock: when unused memory was last given back to the system */
    int64_t planned_ms;    /* job clock: when the last plan was made, or the process began */

    /* The batch under way. */
    struct batch batch;
    enum protocol_state state;
    /* Its plan and the settlement before it may not be on the disk yet: the sink holds what is
     * handed over, and no mark begins. */
    bool unsynced;
    bool recovered;
    bool finishing; /* a batch is under way: only a forced stop ends a wait */
    struct delivered delivered;
    struct relay *relay;
    struct range *reads; /* what is still to be read of its ranges */
    size_t *read_range;  /* reads[i] belongs to ranges[read_range[i]] */
    bool *read_done;
    int32_t *epochs; /* per range: leader epoch of the last record read, −1 = none */
    size_t read_count;
    struct read_tasks tasks; /* beside reads; in task_room */
    struct read_task *task_room;
    size_t *task_some; /* room for the indexes of some of them */
    int64_t tasks_looked_ms;
    struct hand hand;
    struct sink_suspect *suspects;
    size_t suspect_count;
    rd_kafka_message_t
        *kept;     /* a suspect on its way: its message isn't freed by its acknowledgement */
    int64_t found; /* records found delivered by recovery */
    int64_t checkpoint_ms;
    int64_t acknowledged_ms;
    struct pace pace;
    uint64_t sent;      /* in this batch by this process */
    int64_t *positions; /* per range: behind the last record handed over or passed by */

    /* Transactional: the batch's slices. */
    int64_t slice;              /* the last that is committed, 0 = none */
    bool whole;                 /* the last one is committed: nothing is left to send */
    int64_t *done;              /* per range: below is committed; NULL = nothing is */
    struct delivered committed; /* as of the ledger's checkpoint or later: never ahead of `done` */
    uint64_t slice_sent;        /* `sent` when the open slice began */
    int64_t slice_ms;           /* job clock: and when that was */
    int64_t broken_count;       /* producers replaced without progress */

    /* Looking at the outputs (R5, O3). */
    int64_t watch_until_ms; /* 0 = not watching */
    int64_t gap_look_ms;
    int64_t second_look_ms;                  /* CLOCK_MONOTONIC; 0 = done */
    struct readback *readback;               /* made when it is needed, ended when it isn't */
    int64_t readback_ms;                     /* job clock: when it was last used */
    char last_incarnation[INCARNATION_SIZE]; /* cache of ledger_knows_incarnation */
    bool last_known;

    int64_t trouble_ms;     /* when waiting was last looked at */
    uint64_t progress_seen; /* and what stood there then */
};

/* Waits end only by a stop: at once while nothing is under way, by a forced one else. */
struct patience job_patience(struct job *job, int64_t timeout_ms);

/* What goes on beside everything else: signals, marks. Call it at least every IDLE_SLICE_MS. */
MUST_CHECK bool job_meanwhile(struct job *job, struct err *err);

/* Waits for records, acknowledgements, marks or signals, at most timeout_ms. */
void job_wait(struct job *job, int timeout_ms);

void job_move(struct job *job, enum protocol_move move);

struct protocol_self job_self(const struct job *job);

/* The batch under way, or the next one, is delivered by Kafka transactions: the mark tells what is
 * there. */
bool job_by_mark(const struct job *job);

/* This ledger has run under that incarnation; the last answer is kept. */
MUST_CHECK bool job_knows_incarnation(struct job *job, const char *incarnation, bool *known_out,
                                      struct err *err);

/* --until-end: how far the input partition is to be read; else INT64_MAX. */
int64_t job_goal(const struct job *job, const char *topic, int32_t partition);

/* Runs `steps` in a transaction; waits and repeats while the disk is full. */
typedef bool (*job_steps)(struct job *job, void *arg, struct err *err);
MUST_CHECK bool job_transaction(struct job *job, job_steps steps, void *arg, struct err *err);

/* The same, but returns before the disk has what they wrote: job->unsynced. */
MUST_CHECK bool job_transaction_ahead(struct job *job, job_steps steps, void *arg, struct err *err);

/* R0: once the disk has it, job->unsynced ends and what was handed over goes out. Call it while
 * records are handed over, and with `wait` before anything waits for an acknowledgement.
 * ERR_LEDGER: it can't be written there, and nothing goes out. */
MUST_CHECK bool job_synced(struct job *job, bool wait, struct err *err);

/* The reader of the inputs: as planned while a batch is in doubt (R0), else as set today. */
MUST_CHECK bool job_make_source(struct job *job, struct err *err);

/* Something looks as if a topic weren't what it was: the next plan counts partitions and compares
 * topic ids first. */
void job_doubt_topics(struct job *job);

/* Draws an incarnation. It must be stored before it is used. */
MUST_CHECK bool job_draw(struct job *job, struct err *err);

/* A new incarnation for a new producer, stored. */
MUST_CHECK bool job_new_incarnation(struct job *job, struct err *err);

#endif
