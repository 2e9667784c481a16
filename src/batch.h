/* What a batch is: plain data that the stations of its way hand on. No functions but those that
 * free it.
 *
 * A batch is a *definition* (what is done, immutable once stored: R0), a *range* of offsets per
 * input partition, and a *fence* per output partition that may receive records: an offset at or
 * below the first place where an output of the batch can appear (R6). Main thread. */
#ifndef BATCH_H
#define BATCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    TOPIC_NAME_MAX = 249,
    TOPIC_ID_SIZE = 40,   /* a topic id as text, with its end; "" = unknown */
    UUID_SIZE = 33,       /* the ledger's id: 32 hex digits and the end */
    INCARNATION_SIZE = 9, /* one start of the process: 8 hex digits and the end */
    TOPICS_MAX = 1000,    /* of a job, inputs and outputs together */
    PARTITIONS_MAX = 100000,
};

enum delivery { DELIVERY_IDEMPOTENT, DELIVERY_TRANSACTIONAL };
enum provenance_kind { PROVENANCE_HEADERS, PROVENANCE_POSITIONS, PROVENANCE_NONE };
enum partitioner { PARTITIONER_SAME, PARTITIONER_KEY };
enum isolation { ISOLATION_READ_COMMITTED, ISOLATION_READ_UNCOMMITTED };
enum on_data_loss { ON_DATA_LOSS_STOP, ON_DATA_LOSS_CONTINUE };
enum on_bad_record { ON_BAD_RECORD_STOP, ON_BAD_RECORD_SET_ASIDE };

/* An input topic and where its records go. */
struct definition_input {
    char *topic;
    char topic_id[TOPIC_ID_SIZE];
    uint32_t output; /* index into the definition's outputs */
    /* where its refused records go; never NULL, used by the policy set-aside only */
    char *error_topic;
};

struct definition_output {
    char *topic;
    char topic_id[TOPIC_ID_SIZE];
    int32_t partitions; /* > 0 */
};

struct definition {
    int64_t id; /* its row in the ledger; 0 = not stored yet */
    enum delivery delivery;
    enum provenance_kind provenance;
    enum partitioner partitioner;
    enum isolation isolation;
    enum on_data_loss on_data_loss;
    enum on_bad_record on_bad_record;
    struct definition_input *inputs; /* by topic name, ascending */
    size_t input_count;
    struct definition_output *outputs; /* by topic name, ascending; no topic twice */
    size_t output_count;
};

/* Frees what it holds, not the struct, which is zero afterwards. Accepts a zero struct. */
void definition_deinit(struct definition *definition);

void definition_copy(const struct definition *definition, struct definition *copy_out);

/* Everything but the id is the same. A topic id that only one of the two knows counts as the
 * same. */
bool definition_same(const struct definition *a, const struct definition *b);

/* Index of the topic, or -1. */
int definition_find_input(const struct definition *definition, const char *topic);
int definition_find_output(const struct definition *definition, const char *topic);

struct range {
    uint32_t input; /* index into the definition's inputs */
    int32_t partition;
    int64_t from;  /* first offset */
    int64_t until; /* first offset that isn't in it; ≥ from */
    int64_t end; /* where the log ended when this was planned, for `lag`; below `until` = unknown */
    int32_t leader_epoch; /* of the last record consumed before `from`, -1 = unknown */
    /* the leader's when `end` was told, -1 = unknown; the ledger doesn't keep it */
    int32_t end_epoch;
};

struct fence {
    const char *topic; /* of the definition's, or of the batch's error fences */
    int32_t partition;
    int64_t offset;
};

enum batch_state { BATCH_PLANNED, BATCH_STAGED, BATCH_SETTLED };

/* What cut the batch; the words stand in the ledger. */
enum limited_by {
    LIMITED_NONE,
    LIMITED_CAP,
    LIMITED_INITIAL,
    LIMITED_ESTIMATOR,
    LIMITED_MINIMUM,
    LIMITED_RECORDS,
    LIMITED_MEMORY,
};
enum { LIMITED_COUNT = LIMITED_MEMORY + 1 };
extern const char *const LIMITED_WORDS[LIMITED_COUNT];

/* Up to which input offset one source has been delivered to one output partition (R4, R8). */
struct progress {
    uint32_t range; /* index into the batch's ranges */
    char *topic;    /* the output's; owned */
    int32_t partition;
    int64_t offset;  /* highest input offset delivered */
    int64_t records; /* how many records that were */
};

/* A record that was put aside: which one, and where it is to go instead. */
struct set_aside_mark {
    uint32_t range; /* index into the batch's ranges */
    int64_t offset;
    char *error_topic; /* owned */
    int32_t error_partition;
};

struct batch {
    int64_t number; /* ≥ 1; never used twice */
    enum batch_state state;
    struct definition definition;
    struct range *ranges; /* by topic, partition; non-empty ones only */
    size_t range_count;
    struct fence *fences; /* topic is owned */
    size_t fence_count;
    struct progress *progress; /* as of the last checkpoint; empty in a fresh plan */
    size_t progress_count;
    struct set_aside_mark *set_aside;
    size_t set_aside_count;

    int64_t tick_ms;      /* job clock */
    int64_t started_ms;   /* job clock: planning began */
    int64_t missed_ticks; /* that collapsed into this one; the ledger keeps it as an event */
    int64_t planned_wall_ms;
    double
        rate; /* records/s in force for all of it: the estimator's, or the initial one; 0 = none */
    enum limited_by limited_by;
};

/* Frees what it holds, not the struct, which is zero afterwards. Accepts a zero struct. */
void batch_deinit(struct batch *batch);

/* Index of the range of that input partition, or −1. Ranges stand by topic (strcmp), partition, as
 * the ledger gives inputs and ranges: it is looked for by halves. */
int64_t batch_find_range(const struct batch *batch, const char *topic, int32_t partition);

/* Σ (until − from) */
int64_t batch_planned(const struct batch *batch);

#endif
