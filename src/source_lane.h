/* A lane: one consumer, and the partitions that are read through it.
 *
 * Most of the time there is one. A reading that got nothing for too long goes on in a fresh lane,
 * one that is slow may have a second reader in another (the same partition in two lanes at once:
 * each lane has a part of its own for it). source_read.c says who is in which.
 *
 *     source_lane_new → source_lane_expect
 *     → (source_lane_part → source_lane_enter | source_lane_leave)… → source_lane_apply → …
 *     → source_lane_free, or source_lane_end
 *
 * Entering and leaving is noted and done by source_lane_apply, for all in one go. Main thread. */
#ifndef SOURCE_LANE_H
#define SOURCE_LANE_H

#include "kafka_client.h"
#include "source_part.h"

struct source_lane {
    rd_kafka_t *client;
    struct source_part **parts; /* owned, by topic and partition; also those it reads no more */
    size_t part_count;
    size_t assigned;           /* parts that it reads */
    rd_kafka_topic_t **topics; /* handles that make the client learn of its topics early */
    size_t topic_count;
    rd_kafka_topic_partition_list_t *leave, *enter; /* what the next source_lane_apply does */
};

/* Doesn't wait for a broker. `partitions`: how many are read at once over all lanes, for the
 * memory's division; 0 = unknown. */
MUST_CHECK bool source_lane_new(const struct config *config, enum client_purpose purpose,
                                uint32_t partitions, struct source_lane **lane_out,
                                struct err *err);

/* Ends the consumer here and now, under the watchdog. No message of it may be around any more.
 * Accepts NULL. */
void source_lane_free(struct source_lane *lane);

/* Ends it on the side (client_end.h): for the running loop, which must not wait until a consumer
 * has let go of a broker that hangs. The same condition. */
void source_lane_end(struct source_lane *lane);

/* The topic will be read here: the client asks for its leaders now, not when it is assigned (which
 * would take up to 1 s, its next look at what it lacks). */
void source_lane_expect(struct source_lane *lane, const char *topic);

/* The partition's part in this lane, made when there is none: not assigned then. `fd`: an eventfd
 * that its queue wakes. */
struct source_part *source_lane_part(struct source_lane *lane, const char *topic, int32_t partition,
                                     int fd);

/* The part is to be read from `offset`, whatever it was read from before: nothing is kept. */
void source_lane_enter(struct source_lane *lane, struct source_part *part, int64_t offset,
                       int32_t epoch);

/* The same; whether the log is the one whose record before `offset` had that epoch is compared by
 * the part itself (source_merge.h), beginning one before: `doubt`, or SOURCE_TRUNCATED, when it
 * isn't or can't be told. Asking the leader (source_lane_enter) takes up to a second, because
 * librdkafka's thread of a broker that nothing else is fetched from sleeps so long. */
void source_lane_enter_compared(struct source_lane *lane, struct source_part *part, int64_t offset,
                                int32_t epoch);

/* It isn't read any more: nothing is kept. One that isn't read stays as it is. */
void source_lane_leave(struct source_lane *lane, struct source_part *part);

/* Does what was noted since the last time. Doesn't wait for a broker. */
MUST_CHECK bool source_lane_apply(struct source_lane *lane, struct err *err);

/* Events of the handle itself (brokers down, a log-in refused) become log lines; now and then. */
void source_lane_poll(struct source_lane *lane);

#endif
