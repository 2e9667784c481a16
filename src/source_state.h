/* What the files of the source share: source_read.c (ranges, taking), source_lanes.c (who is
 * read by which consumer), source_window.c (how many at the same time), source_idle.c (when
 * nothing comes). Nobody else includes this. Main thread. */
#ifndef SOURCE_STATE_H
#define SOURCE_STATE_H

#include "source_hedge.h"
#include "source_lane.h"
#include "source_probe.h"
#include "source_read.h"

enum {
    SOURCE_LANES_MAX = 4,
    /* Consumers that read nothing more, but whose messages may be on their way to the outputs. */
    SOURCE_RETIRED_MAX = 8,
};

/* For how long a leader may keep a request that has nothing to bring. A consumer has one under way
 * per broker, and what is asked meanwhile waits for it. */
enum source_pace {
    SOURCE_READING, /* somebody waits */
    SOURCE_BETWEEN, /* batches */
    /* Everything is at its end, and whatever comes is brought at once. When it fills a queue, the
     * next request lacks that partition and is kept for 100 ms at most: so says
     * librdkafka-fetch-wait.patch. */
    SOURCE_RESTING,
};

struct source {
    const struct config *config;
    enum client_purpose purpose;
    uint32_t partitions;
    int fd;
    int64_t polled_ms;
    struct source_lane *lanes[SOURCE_LANES_MAX + 1]; /* new partitions begin in lanes[0] */
    size_t lane_count;
    int64_t failed_ms; /* when a fresh lane was last made; 0 = never */
    int64_t fold_ms;   /* so long after that all go back into one */
    struct source_lane *retired[SOURCE_RETIRED_MAX + SOURCE_LANES_MAX];
    size_t retired_count;
    enum source_pace pace;
    /* By topic, partition: the one part of each that counts. Its lane may hold others, from before,
     * and other lanes too. */
    struct source_part **parts;
    size_t part_count;
    struct source_part **reading; /* beside the ranges of the batch */
    const struct range *ranges;
    size_t range_count;
    size_t probe_count;
    int64_t stall_ms; /* when nothing has come for so long, a probe asks */
    /* How many are read at the same time (source_window.c). */
    int64_t fetch_all;  /* bytes, over all queues */
    int64_t held_least; /* what a queue may hold by its bounds */
    int64_t held_most;  /* and what one was found to hold, forgotten by and by */
    int64_t seen_most;  /* of late: the most of one, and of all together */
    int64_t seen_bytes;
    size_t waiting_count;
    uint64_t last_turn;
    int64_t record_bytes;       /* of late, on average */
    struct source_hedge *hedge; /* NULL = without speculation */
};

/* ── source_lanes.c ──────────────────────────────────────────────────────────────────────────── */

MUST_CHECK bool source_lanes_open(struct source *source, struct err *err);
void source_lanes_close(struct source *source);

/* The partition's part; made in lanes[0] when there is none. */
struct source_part *source_lanes_part(struct source *source, const char *topic, int32_t partition);

/* Between batches: back into one lane, when none has been made for a while. */
MUST_CHECK bool source_lanes_fold(struct source *source, struct err *err);

/* Nothing is read through the lane any more, but messages of it may be around. Accepts NULL. */
void source_lanes_retire(struct source *source, struct source_lane *lane);

/* Sets it, and tells the consumers of all lanes. */
void source_lanes_pace(struct source *source, enum source_pace pace);

/* Enters and leaves what was noted, in all lanes. */
MUST_CHECK bool source_lanes_apply(struct source *source, struct err *err);

/* ── source_window.c ─────────────────────────────────────────────────────────────────────────── */

void source_window_init(struct source *source);

/* The ranges of a batch are known, and those that must be entered are marked as waiting: enters as
 * many as there is room for. To be applied. */
void source_window_begin(struct source *source);

/* So many more can be read at the same time. */
size_t source_window_spare(const struct source *source);

/* part->took is new: when it is more than was ever seen others may have to wait. */
MUST_CHECK bool source_window_took(struct source *source, struct source_part *part,
                                   struct err *err);

/* The part's range is done. */
MUST_CHECK bool source_window_done(struct source *source, struct source_part *part,
                                   struct err *err);

/* Nothing has come for reading[index] since its idle_ms. */
MUST_CHECK bool source_window_idle(struct source *source, size_t index, struct err *err);

/* reading[index] begins again with another consumer: others come first. To be applied. */
void source_window_retried(struct source *source, size_t index);

/* ── source_idle.c ───────────────────────────────────────────────────────────────────────────── */

/* Whatever the probe of the part was to find out isn't of interest any more. */
void source_idle_end_probe(struct source *source, struct source_part *part);

/* Nothing came for reading[index], which isn't done: what may that mean? Sets what it knows in
 * *taken (stalled, waiting). */
MUST_CHECK bool source_idle_look(struct source *source, size_t index, struct source_taken *taken,
                                 struct err *err);

#endif
