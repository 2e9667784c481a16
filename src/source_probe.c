/* The probe: what proves that a range holds nothing.
 *
 * That nothing came for some time proves nothing: the broker may be away. But a fresh handle knows
 * no high watermark; it learns one only from an answer to its own fetch of this partition at
 * `from`, and such an answer brings at least one batch when there is any. So: a watermark at or
 * above `until`, and still nothing PROBE_MS later, is the proof. A record or an end at or above
 * `until`, or a position there (transaction markers), proves it at once.
 *
 * It reads what isn't committed, too. librdkafka passes over aborted data without a word, so an
 * answer full of it would look like an empty one, and what stands behind would be given up when the
 * next answer is late. For the same reason a watermark proves nothing once the position has moved
 * (a marker): it may be of the answer before. */
#include "source_probe.h"

#include "client_end.h"
#include "log.h"
#include "mem.h"
#include "wait.h"

#include <inttypes.h>
#include <stdlib.h>

enum {
    PROBE_MS = 3000,
    EVENTS_MAX = 64,
    SMALL_SHARE = 100, /* of the memory: it only looks whether something comes */
};

struct source_probe {
    rd_kafka_t *client;
    char
        *topic; /* its own: the part that began it may be gone before (another consumer reads on) */
    int32_t partition;
    int64_t until;
    int64_t answered_ms; /* since when the watermark is known to be there; 0 = not yet */
    /* librdkafka counts an event with an offset (an end, an error) as a record: its position is one
     * too high, until something comes. */
    int64_t event;
};

struct source_probe *source_probe_new(const struct config *config, const char *topic,
                                      int32_t partition, int64_t from, int64_t until)
{
    struct client_options options = {.purpose = CLIENT_OUTPUT, .partitions = SMALL_SHARE};
    struct source_probe *probe = mem_zero(sizeof(*probe));
    rd_kafka_topic_partition_list_t *list;
    struct err err;

    probe->topic = mem_text(topic);
    probe->partition = partition;
    probe->until = until;
    probe->event = -1;
    if (!client_new(config, &options, &probe->client, &err)) {
        log_warning("%s[%" PRId32 "]: %s", topic, partition, err.text);
        free(probe->topic);
        free(probe);
        return NULL;
    }
    list = rd_kafka_topic_partition_list_new(1);
    rd_kafka_topic_partition_list_add(list, topic, partition)->offset = from;
    rd_kafka_assign(probe->client, list);
    rd_kafka_topic_partition_list_destroy(list);
    return probe;
}

void source_probe_free(struct source_probe *probe)
{
    if (probe == NULL) {
        return;
    }
    client_end(probe->client);
    free(probe->topic);
    free(probe);
}

static enum source_probe_answer judge(struct source_probe *probe, const rd_kafka_message_t *message)
{
    if (message->err == RD_KAFKA_RESP_ERR_NO_ERROR) {
        return message->offset >= probe->until ? PROBE_EMPTY : PROBE_RECORDS;
    }
    if (message->offset >= probe->event) {
        probe->event = message->offset + 1;
    }
    if (message->err == RD_KAFKA_RESP_ERR__PARTITION_EOF) {
        return message->offset >= probe->until ? PROBE_EMPTY : PROBE_UNKNOWN;
    }
    return PROBE_UNKNOWN;
}

/* Negative as long as nothing was taken. */
static int64_t position_of(const struct source_probe *probe)
{
    rd_kafka_topic_partition_list_t *list;
    int64_t position;

    list = rd_kafka_topic_partition_list_new(1);
    rd_kafka_topic_partition_list_add(list, probe->topic, probe->partition);
    rd_kafka_position(probe->client, list);
    position = list->elems[0].offset;
    rd_kafka_topic_partition_list_destroy(list);
    return position == probe->event ? -1 : position;
}

enum source_probe_answer source_probe_step(struct source_probe *probe)
{
    int64_t low = -1;
    int64_t high = -1;
    int64_t position;

    for (int i = 0; i < EVENTS_MAX; i++) {
        rd_kafka_message_t *message = rd_kafka_consumer_poll(probe->client, 0);
        enum source_probe_answer answer;

        if (message == NULL) {
            break;
        }
        answer = judge(probe, message);
        rd_kafka_message_destroy(message);
        if (answer != PROBE_UNKNOWN) {
            return answer;
        }
    }
    position = position_of(probe);
    if (position >= 0) {
        return position >= probe->until ? PROBE_EMPTY : PROBE_RECORDS;
    }
    rd_kafka_get_watermark_offsets(probe->client, probe->topic, probe->partition, &low, &high);
    if (high < probe->until) {
        probe->answered_ms = 0;
        return PROBE_UNKNOWN;
    }
    if (probe->answered_ms == 0) {
        probe->answered_ms = wait_now_ms();
    }
    return wait_now_ms() - probe->answered_ms >= PROBE_MS ? PROBE_EMPTY : PROBE_ANSWERED;
}
