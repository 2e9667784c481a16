/* What the job's outputs hold.
 *
 *     ends asked → windows read, backwards where the ledger doesn't say from where → settle wait
 *     → ends asked again → the rest read: nothing of ours may have come
 *
 * A partition's records of ours stand in the order of their batches, so reading backwards ends at
 * the first window that holds one of a batch that the mark accounts for. */
#include "scan.h"

#include "headers_pack.h"
#include "mem.h"
#include "readback.h"
#include "relay.h"
#include "route.h"
#include "source_ends.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { FIRST_WINDOW = 1000, WIDER = 8, LEDGER_DIGITS = PROVENANCE_LEDGER_SIZE - 1 };

/* ---- the outputs ---- */

static void add_topic(struct scan *scan, const char *topic, bool error)
{
    for (size_t i = 0; i < scan->output_count; i++) {
        if (strcmp(scan->outputs[i].topic, topic) == 0) {
            return;
        }
    }
    for (int32_t p = 0; p < broker_partitions(scan->broker, topic); p++) {
        scan->outputs = mem_grow(scan->outputs, scan->output_count + 1, sizeof(*scan->outputs));
        scan->outputs[scan->output_count++] = (struct scan_output){
            .topic = mem_text(topic), .partition = p, .error = error, .from = -1};
    }
}

void scan_init(struct scan *scan, struct broker *broker, const struct definition *definition)
{
    *scan = (struct scan){.broker = broker, .definition = definition, .enough = -1};
    for (size_t i = 0; i < definition->output_count; i++) {
        add_topic(scan, definition->outputs[i].topic, false);
    }
    for (size_t i = 0; i < definition->input_count; i++) {
        add_topic(scan, definition->inputs[i].error_topic, true);
    }
    evidence_init(&scan->evidence, scan->output_count);
}

void scan_deinit(struct scan *scan)
{
    for (size_t i = 0; i < scan->output_count; i++) {
        free(scan->outputs[i].topic);
    }
    for (size_t i = 0; i < scan->aside_count; i++) {
        free((void *)(uintptr_t)scan->asides[i].record.key);
        free((void *)(uintptr_t)scan->asides[i].record.value);
        free((void *)(uintptr_t)scan->asides[i].record.headers);
    }
    free(scan->outputs);
    free(scan->asides);
    evidence_deinit(&scan->evidence);
    *scan = (struct scan){0};
}

bool scan_from_ledger(struct scan *scan, struct ledger *ledger, struct err *err)
{
    struct ledger_outputs rows;

    if (!ledger_outputs_load(ledger, &rows, err)) {
        return false;
    }
    for (size_t i = 0; i < scan->output_count; i++) {
        struct scan_output *output = &scan->outputs[i];

        output->from = 0; /* the ledger hasn't met it: everything of ours there is newer */
        for (size_t r = 0; r < rows.count; r++) {
            const struct topic_fact *fact = topic_facts_find(scan->broker->facts, output->topic);

            if (rows.items[r].partition == output->partition &&
                strcmp(rows.items[r].topic, output->topic) == 0 &&
                (fact == NULL || fact->topic_id[0] == '\0' || rows.items[r].topic_id[0] == '\0' ||
                 strcmp(fact->topic_id, rows.items[r].topic_id) == 0)) {
                output->from = rows.items[r].next_offset;
            }
        }
    }
    ledger_outputs_deinit(&rows);
    return true;
}

/* ---- a record ---- */

static bool is_ours(struct scan *scan, size_t output, const rd_kafka_message_t *message,
                    const struct provenance *provenance)
{
    if (strcmp(provenance->job, scan->broker->job) != 0) {
        return false;
    }
    if (scan->uuid[0] == '\0') {
        memcpy(scan->uuid, provenance->ledger, LEDGER_DIGITS);
    }
    if (strncmp(scan->uuid, provenance->ledger, LEDGER_DIGITS) != 0) {
        snprintf(scan->stranger, sizeof(scan->stranger),
                 "'%s'[%d] offset %" PRId64 " was written by ledger %s of this job, batch %" PRId64,
                 scan->outputs[output].topic, (int)scan->outputs[output].partition, message->offset,
                 provenance->ledger, provenance->batch);
        return false;
    }
    return true;
}

/* Would the definition have sent it there? */
static void check_fit(struct scan *scan, size_t output, const rd_kafka_message_t *message,
                      const struct provenance *provenance)
{
    const struct scan_output *place = &scan->outputs[output];
    const struct definition *definition = scan->definition;
    int input = definition_find_input(definition, provenance->topic);
    const struct definition_output *to;
    int32_t partition = -1;

    if (place->error || (scan->misfit[0] != '\0' && scan->misfit_batch == provenance->batch)) {
        return;
    }
    to = input < 0 ? NULL : &definition->outputs[definition->inputs[input].output];
    if (to != NULL) {
        partition = route_partition(definition->partitioner, provenance->partition, message->key,
                                    message->key_len, to->partitions);
    }
    if (to == NULL || strcmp(to->topic, place->topic) != 0 || partition != place->partition) {
        scan->misfit_batch = provenance->batch;
        snprintf(scan->misfit, sizeof(scan->misfit),
                 "record '%s'[%d] offset %" PRId64 " of batch %" PRId64
                 " lies in '%s'[%d], but the "
                 "settings would send it to '%s'[%d]",
                 provenance->topic, (int)provenance->partition, provenance->offset,
                 provenance->batch, place->topic, (int)place->partition,
                 to == NULL ? "(no output)" : to->topic, (int)partition);
    }
}

static void *copy_of(const void *bytes, size_t size)
{
    void *copy = bytes == NULL ? NULL : mem_array(1, size + 1);

    if (bytes != NULL) {
        memcpy(copy, bytes, size);
    }
    return copy;
}

static void keep_aside(struct scan *scan, size_t output, const rd_kafka_message_t *message,
                       const struct provenance *provenance)
{
    rd_kafka_timestamp_type_t type;
    rd_kafka_headers_t *headers;
    struct scan_aside *aside;
    size_t size = 0;

    if (rd_kafka_message_headers(message, &headers) == RD_KAFKA_RESP_ERR_NO_ERROR) {
        rd_kafka_header_remove(headers, PROVENANCE_HEADER); /* the input's record had none */
    }
    scan->asides = mem_grow(scan->asides, scan->aside_count + 1, sizeof(*scan->asides));
    aside = &scan->asides[scan->aside_count++];
    *aside = (struct scan_aside){.provenance = *provenance, .output = output};
    aside->record = (struct ledger_record){
        .partition = provenance->partition,
        .offset = provenance->offset,
        .timestamp_ms = rd_kafka_message_timestamp(message, &type),
        .key = copy_of(message->key, message->key_len),
        .key_size = message->key == NULL ? -1 : (int64_t)message->key_len,
        .value = copy_of(message->payload, message->len),
        .value_size = message->payload == NULL ? -1 : (int64_t)message->len,
        .headers = headers_pack(message, &size),
    };
    aside->record.headers_size = aside->record.headers == NULL ? -1 : (int64_t)size;
}

struct reading {
    struct scan *scan;
    const size_t *outputs; /* of each span */
    int64_t *lowest;       /* of each output: lowest batch of ours; INT64_MAX = none */
};

static bool on_found(void *arg, size_t span, const rd_kafka_message_t *message, struct err *err)
{
    struct reading *reading = arg;
    struct scan *scan = reading->scan;
    size_t output = reading->outputs[span];
    struct provenance provenance;
    bool known = false;

    if (!relay_provenance(message, &provenance) || !is_ours(scan, output, message, &provenance)) {
        return true;
    }
    if (scan->ledger != NULL &&
        !ledger_knows_incarnation(scan->ledger, provenance.incarnation, &known, err)) {
        return false;
    }
    if (provenance.batch >= scan->evidence.batch) {
        check_fit(scan, output, message, &provenance);
        if (scan->outputs[output].error) {
            keep_aside(scan, output, message, &provenance);
        }
    }
    evidence_add(&scan->evidence, output, message->offset, &provenance, known);
    if (provenance.batch < reading->lowest[output]) {
        reading->lowest[output] = provenance.batch;
    }
    return true;
}

/* ---- reading ---- */

static bool ask_ends(struct scan *scan, bool starts_too, struct err *err)
{
    struct ends_item *items = mem_array(scan->output_count, sizeof(*items));
    bool ok = true;

    for (size_t i = 0; i < scan->output_count; i++) {
        items[i] = (struct ends_item){.topic = scan->outputs[i].topic,
                                      .partition = scan->outputs[i].partition};
    }
    if (starts_too) {
        ok = broker_starts(scan->broker, items, scan->output_count, err);
        for (size_t i = 0; ok && i < scan->output_count; i++) {
            scan->outputs[i].log_start = items[i].offset;
        }
    }
    ok = ok && broker_ends(scan->broker, scan->committed, items, scan->output_count, err);
    for (size_t i = 0; ok && i < scan->output_count; i++) {
        scan->outputs[i].log_end = items[i].offset;
    }
    free(items);
    return ok;
}

/* Reads [from, until) of those outputs where it isn't empty. */
static bool read_windows(struct scan *scan, const int64_t *from, const int64_t *until,
                         int64_t *lowest, struct err *err)
{
    struct readback_span *spans = mem_array(scan->output_count, sizeof(*spans));
    size_t *outputs = mem_array(scan->output_count, sizeof(*outputs));
    struct reading reading = {.scan = scan, .outputs = outputs, .lowest = lowest};
    struct readback *readback = NULL;
    size_t count = 0;
    bool ok = true;

    for (size_t i = 0; i < scan->output_count; i++) {
        lowest[i] = INT64_MAX;
        if (from[i] < until[i]) {
            spans[count] = (struct readback_span){.topic = scan->outputs[i].topic,
                                                  .partition = scan->outputs[i].partition,
                                                  .from = from[i],
                                                  .until = until[i]};
            outputs[count++] = i;
        }
    }
    if (count > 0) {
        ok =
            readback_new(scan->broker->config, scan->committed, &readback, err) &&
            readback_read(readback, spans, count, on_found, &reading, &scan->broker->patience, err);
    }
    readback_free(readback);
    free(spans);
    free(outputs);
    return ok;
}

static int64_t at_least(int64_t value, int64_t least)
{
    return value > least ? value : least;
}

static bool read_all(struct scan *scan, struct err *err)
{
    int64_t *from = mem_array(scan->output_count, sizeof(*from));
    int64_t *until = mem_array(scan->output_count, sizeof(*until));
    int64_t *lowest = mem_array(scan->output_count, sizeof(*lowest));
    int64_t window = scan->enough < 0 ? INT64_MAX : FIRST_WINDOW;
    bool more = true;
    bool ok = true;

    for (size_t i = 0; i < scan->output_count; i++) {
        const struct scan_output *output = &scan->outputs[i];

        until[i] = output->log_end;
        from[i] = output->from >= 0 ? output->from : output->log_end - window;
        from[i] = at_least(from[i], output->log_start);
        scan->evidence.outputs[i].lost =
            output->from >= 0 ? output->log_start > output->from : output->log_start > 0;
    }
    while (ok && more) {
        more = false;
        ok = read_windows(scan, from, until, lowest, err);
        window = window < INT64_MAX / WIDER ? window * WIDER : window;
        for (size_t i = 0; ok && i < scan->output_count; i++) {
            const struct scan_output *output = &scan->outputs[i];

            until[i] = from[i];
            if (output->from >= 0 || lowest[i] <= scan->enough) {
                scan->evidence.outputs[i].lost &= output->from >= 0;
            } else {
                from[i] = at_least(until[i] - window, output->log_start);
                more |= from[i] < until[i];
            }
        }
    }
    free(from);
    free(until);
    free(lowest);
    return ok;
}

/* Whatever was still on its way has arrived now; if more came, somebody is at work. */
static bool read_again(struct scan *scan, struct err *err)
{
    int64_t wait_ms = broker_settle_ms(scan->broker);
    struct timespec nap = {.tv_sec = wait_ms / 1000, .tv_nsec = wait_ms % 1000 * 1000000};
    int64_t *from = mem_array(scan->output_count, sizeof(*from));
    int64_t *until = mem_array(scan->output_count, sizeof(*until));
    int64_t *lowest = mem_array(scan->output_count, sizeof(*lowest));
    int64_t before = scan->evidence.records;
    bool grew = false;
    bool ok;

    nanosleep(&nap, NULL);
    for (size_t i = 0; i < scan->output_count; i++) {
        from[i] = scan->outputs[i].log_end;
    }
    ok = ask_ends(scan, false, err);
    for (size_t i = 0; i < scan->output_count; i++) {
        until[i] = scan->outputs[i].log_end;
        grew |= until[i] > from[i];
    }
    ok = ok && read_windows(scan, from, until, lowest, err);
    free(from);
    free(until);
    free(lowest);
    grew &= scan->definition->provenance == PROVENANCE_POSITIONS; /* nobody else writes there */
    if (ok && (grew || scan->evidence.records > before)) {
        return err_set(err, ERR_TEMPORARY, 0,
                       "records of this job still arrive in its outputs: another process works on "
                       "it; stop that one first, then try again");
    }
    return ok;
}

bool scan_read(struct scan *scan, struct err *err)
{
    return ask_ends(scan, true, err) && read_all(scan, err) && read_again(scan, err);
}
