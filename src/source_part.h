/* One partition that is being read: its queue, what was taken from it and not handed out, and how
 * far it has got. Of source_read.c; main thread. */
#ifndef SOURCE_PART_H
#define SOURCE_PART_H

#include "err.h"
#include "source_merge.h"
#include "source_read.h"

struct source_lane;
struct source_probe;

/* So often the log must be said to have diverged before it is believed: librdkafka (2.8) asks the
 * leader about one place at a time, and takes the answer for wherever the partition was moved to
 * meanwhile. */
enum { DIVERGED_SURE = 2 };

struct source_part {
    char *topic;
    int32_t partition;
    struct source_lane *lane; /* whose it is */
    rd_kafka_t *client;       /* the lane's consumer; not owned */
    rd_kafka_queue_t *queue;
    int fd;                                /* that the queue wakes; not owned */
    bool left;                             /* it has been assigned with this queue, and left */
    rd_kafka_topic_partition_list_t *self; /* it alone: for asking the position */
    bool assigned;
    bool wanted;               /* a range of the batch is of it */
    bool waiting;              /* wanted, and to be assigned at `next` when there is room */
    bool tried;                /* it has been assigned in this batch */
    uint64_t turn;             /* waiting since: a count */
    bool position_old;         /* the position may be that of an earlier assignment */
    int64_t event;             /* the highest position that an event explains; −1 = none */
    int64_t next;              /* first offset not handed out */
    int64_t seen;              /* everything below has left the queue */
    int32_t epoch;             /* of the last record handed out */
    struct source_merge merge; /* what another reader of the same partition has overtaken it by */
    bool doubt;                /* and it can't tell whether its log is the same */
    rd_kafka_message_t **kept; /* taken and not handed out: kept[kept_at … kept_count) */
    size_t kept_at, kept_count, kept_room;
    int64_t took; /* what left the queue in the last taking, and what is kept beside it */
    size_t took_count;
    int64_t idle_ms; /* since when nothing comes though it is asked for; 0 = something came */
    int64_t gone_ms; /* since when the topic is reported missing; 0 = it isn't */
    struct source_probe *probe; /* asks whether there is anything; NULL = none. source_idle.c's */
    int found;                  /* how often a probe found something since something came */
    int64_t left_ms;            /* with doubt: when it was left, to be entered again */
    int tries;                  /* how often what comes next couldn't be read */
    int diverged;               /* how often the log was said to have diverged there */
    enum source_trouble trouble;
    char text[256]; /* with trouble, or with `again` of a taking */
};

/* A queue of its own that wakes `fd` (an eventfd) when it fills; to be assigned by the caller. */
struct source_part *source_part_new(struct source_lane *lane, const char *topic, int32_t partition,
                                    int fd);
void source_part_free(struct source_part *part);

/* To be called before it is assigned once more: librdkafka forgets a partition that is left before
 * its topic's leaders are known, queue and all, and what comes would go elsewhere: a loss. */
void source_part_renew_queue(struct source_part *part);

/* Is it among parts[0 … count), which are in the order of topic, then partition? *at_out: where it
 * is, or belongs. */
bool source_part_find(struct source_part *const *parts, size_t count, const char *topic,
                      int32_t partition, size_t *at_out);

/* It has been assigned at `offset`: nothing is kept, nothing has come. */
void source_part_restart(struct source_part *part, int64_t offset);

/* It is assigned no more: nothing is kept. */
void source_part_leave(struct source_part *part);

/* It isn't assigned, and will be at `offset` when its turn comes. */
void source_part_wait(struct source_part *part, int64_t offset);

/* As far as the last answer tells, the log ends at most `near` offsets behind `next`. */
bool source_part_near_end(const struct source_part *part, int64_t near);

/* Drops what is kept below `offset`, which is at most `seen`. */
void source_part_skip(struct source_part *part, int64_t offset);

/* Everything below `until` has been handed out. */
bool source_part_done(const struct source_part *part, int64_t until);

/* Another reader of the partition has handed out the records below `next`, the last of them at
 * `last`, of `epoch`: what comes of them here is dropped. */
void source_part_overtaken(struct source_part *part, int64_t next, int64_t last, int32_t epoch);

/* Takes at most `max` records below `until`, without waiting; `fd` is drained when the queue was
 * empty. *again_out when what comes next couldn't be decoded (text tells): it has to be assigned
 * again at `next`, or a record is lost. */
MUST_CHECK bool source_part_take(struct source_part *part, int fd, int64_t until,
                                 rd_kafka_message_t **messages, size_t max, size_t *count_out,
                                 bool *again_out, struct err *err);

/* Lets `seen` follow librdkafka's position, where that can be believed. */
void source_part_look(struct source_part *part);

#endif
