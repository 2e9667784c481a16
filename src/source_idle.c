/* When nothing comes for a range: what may that mean?
 *
 * The position moves over what can't be read (transaction markers, aborted data), and a range may
 * be done by that alone. A topic may be missing. After some time (stall_ms), when the log goes on
 * beyond the range, a probe asks whether there is anything in it at all (a compacted tail).
 * Anything else is the broker's turn, and the caller's to judge how long it may take. */
#include "log.h"
#include "source_state.h"
#include "wait.h"

#include <inttypes.h>

enum {
    POLL_EVERY_MS = 100,
    GONE_MS_MAX = 30000,
    PROBES_MAX = 8, /* at once: each is a consumer */
    FOUND_SURE = 2,
};

void source_idle_end_probe(struct source *source, struct source_part *part)
{
    if (part->probe != NULL) {
        source_probe_free(part->probe);
        part->probe = NULL;
        source->probe_count--;
    }
}

static bool poll_clients(struct source *source, struct err *err)
{
    if (wait_now_ms() - source->polled_ms < POLL_EVERY_MS) {
        return true;
    }
    source->polled_ms = wait_now_ms();
    for (size_t i = 0; i < source->lane_count; i++) {
        source_lane_poll(source->lanes[i]);
    }
    return client_check_login(err);
}

/* Nothing has come for long though the log goes on: is there nothing, or is the reading stuck? */
static bool look_closely(struct source *source, struct source_part *part, int64_t until,
                         struct source_taken *taken, struct err *err)
{
    int64_t low = -1;
    int64_t high = -1;

    if (part->probe == NULL) {
        rd_kafka_get_watermark_offsets(part->client, part->topic, part->partition, &low, &high);
        if (high >= until && source->probe_count < PROBES_MAX) {
            part->probe =
                source_probe_new(source->config, part->topic, part->partition, part->seen, until);
            source->probe_count += part->probe != NULL ? 1 : 0;
        }
        return true;
    }
    switch (source_probe_step(part->probe)) {
    case PROBE_UNKNOWN:
        return true;
    case PROBE_ANSWERED:
        taken->waiting = false;
        return true;
    case PROBE_EMPTY:
        source_idle_end_probe(source, part);
        part->seen = until;
        taken->stalled = true;
        taken->waiting = false;
        return true;
    case PROBE_RECORDS:
        break;
    }
    source_idle_end_probe(source, part);
    part->found++;
    if (part->found < FOUND_SURE || (part->found & (part->found - 1)) != 0) {
        /* It may be passing over much aborted data, which from anew takes as long once more: so it
         * has twice the time each time. */
        part->idle_ms = wait_now_ms();
        return true;
    }
    log_warning("input %s[%" PRId32 "]: nothing came from offset %" PRId64
                " on though there is something; fetching again",
                part->topic, part->partition, part->seen);
    source_lane_enter(part->lane, part, part->next, part->epoch);
    return source_lane_apply(part->lane, err);
}

bool source_idle_look(struct source *source, size_t index, struct source_taken *taken,
                      struct err *err)
{
    struct source_part *part = source->reading[index];
    int64_t until = source->ranges[index].until;
    int64_t seen = part->seen;
    int64_t now_ms = wait_now_ms();

    if (!poll_clients(source, err)) {
        return false;
    }
    source_part_look(part);
    taken->moved = part->seen > seen;
    if (part->seen >= until || part->trouble != SOURCE_FINE) {
        return true;
    }
    if (part->gone_ms > 0 && now_ms - part->gone_ms >= GONE_MS_MAX) {
        return err_set(err, ERR_DECISION, RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART,
                       "input %s[%" PRId32 "] has been missing for %d s", part->topic,
                       part->partition, GONE_MS_MAX / 1000);
    }
    taken->waiting = part->gone_ms == 0 && !taken->moved;
    if (part->idle_ms == 0) {
        part->idle_ms = now_ms;
    }
    if (part->probe == NULL && now_ms - part->idle_ms < source->stall_ms) {
        return source_window_idle(source, index, err);
    }
    return look_closely(source, part, until, taken, err);
}
