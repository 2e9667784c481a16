/* What reconcile and rebuild share. */
#include "mend.h"

#include "mark.h"
#include "mem.h"
#include "source_ends.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- asking ---- */

static bool load_places(struct mend *mend, struct err *err)
{
    const struct config *config = mend->broker.config;
    struct ledger_inputs rows = {0};

    if (mend->ledger != NULL && !ledger_inputs_load(mend->ledger, &rows, err)) {
        return false;
    }
    for (size_t i = 0; i < config->input_topics.count; i++) {
        const char *topic = config->input_topics.items[i];

        for (int32_t p = 0; p < broker_partitions(&mend->broker, topic); p++) {
            struct evidence_place *place;

            mend->places = mem_grow(mend->places, mend->place_count + 1, sizeof(*mend->places));
            place = &mend->places[mend->place_count++];
            *place = (struct evidence_place){.topic = topic,
                                             .partition = p,
                                             .ledger = -1,
                                             .group = -1,
                                             .mark_batch = -1,
                                             .next = -1,
                                             .until = -1};
            for (size_t r = 0; r < rows.count; r++) {
                if (rows.items[r].partition == p && strcmp(rows.items[r].topic, topic) == 0) {
                    place->ledger = rows.items[r].next_offset;
                }
            }
        }
    }
    ledger_inputs_deinit(&rows);
    return true;
}

static bool take_mark(struct mend *mend, const struct mark_item *item, struct evidence_place *place,
                      struct err *err)
{
    place->group = item->offset;
    place->mark_batch = -1;
    if (item->offset < 0 || !item->ours) {
        return true;
    }
    if (mend->uuid[0] == '\0') {
        memcpy(mend->uuid, item->text.uuid, UUID_SIZE);
    }
    if (strcmp(mend->uuid, item->text.uuid) != 0) {
        return err_set(err, ERR_DECISION, 0,
                       "group '%s' carries at '%s'[%d] the mark of ledger %s, batch %" PRId64
                       ", %s %s: use that ledger; if it is lost, oncesink-recover rebuild makes it "
                       "anew (at a path where no ledger is)",
                       mend->broker.config->group_id, item->topic, (int)item->partition,
                       item->text.uuid, item->text.batch,
                       mend->ledger != NULL ? "this ledger is" : "and elsewhere that of",
                       mend->uuid);
    }
    place->mark_batch = item->text.batch;
    if (item->text.batch > mend->mark.batch) {
        mend->mark = item->text;
    }
    evidence_add_start(&mend->scan.evidence, item->text.incarnation);
    return true;
}

static bool read_marks(struct mend *mend, struct mark_item **items_out, struct err *err)
{
    struct mark_item *items = mem_array(mend->place_count, sizeof(*items));

    for (size_t i = 0; i < mend->place_count; i++) {
        items[i] = (struct mark_item){.topic = mend->places[i].topic,
                                      .partition = mend->places[i].partition};
    }
    if (!mark_read(mend->broker.ask, mend->broker.config->group_id, MARK_AS_IT_IS, items,
                   mend->place_count, &mend->broker.patience, err)) {
        free(items);
        return false;
    }
    *items_out = items;
    return true;
}

static bool take_marks(struct mend *mend, struct err *err)
{
    struct mark_item *items = NULL;
    bool ok = read_marks(mend, &items, err);

    mend->mark.batch = -1;
    for (size_t i = 0; ok && i < mend->place_count; i++) {
        ok = take_mark(mend, &items[i], &mend->places[i], err);
    }
    free(items);
    return ok;
}

static bool open_ledger(struct mend *mend, const char *path, struct err *err)
{
    if (!broker_open_ledger(&mend->broker, path, &mend->ledger, err)) {
        return false;
    }
    ledger_identity(mend->ledger, &mend->identity);
    memcpy(mend->uuid, mend->identity.uuid, UUID_SIZE);
    return ledger_unsettled(mend->ledger, &mend->batch, &mend->batch_in_doubt, err);
}

bool mend_ask(struct mend *mend, const char *settings_path, const char *ledger_path,
              struct err *err)
{
    *mend = (struct mend){.mark = {.batch = -1}};
    if (!broker_open(settings_path, &mend->broker, err) ||
        (ledger_path != NULL && !open_ledger(mend, ledger_path, err))) {
        return false;
    }
    if (!broker_ask(&mend->broker, mend->batch_in_doubt ? &mend->batch.definition : NULL, err) ||
        !definition_make(mend->broker.config, mend->broker.facts, &mend->definition, err)) {
        return false;
    }
    scan_init(&mend->scan, &mend->broker, &mend->definition);
    return load_places(mend, err) && take_marks(mend, err);
}

void mend_deinit(struct mend *mend)
{
    scan_deinit(&mend->scan);
    free(mend->places);
    definition_deinit(&mend->definition);
    batch_deinit(&mend->batch);
    ledger_close(mend->ledger);
    broker_close(&mend->broker);
    *mend = (struct mend){0};
}

enum delivery mend_delivery(const struct mend *mend)
{
    return mend->mark.batch >= 0 ? mend->mark.delivery : mend->broker.config->delivery;
}

static bool marks_are_as_they_were(struct mend *mend, struct err *err)
{
    struct mark_item *items = NULL;
    bool ok = read_marks(mend, &items, err);

    for (size_t i = 0; ok && i < mend->place_count; i++) {
        if (items[i].offset != mend->places[i].group) {
            ok = err_set(err, ERR_TEMPORARY, 0,
                         "the offset of group '%s' at '%s'[%d] has just moved: another process "
                         "works on this job; stop that one first, then try again",
                         mend->broker.config->group_id, items[i].topic, (int)items[i].partition);
        }
    }
    free(items);
    return ok;
}

bool mend_scan(struct mend *mend, struct err *err)
{
    struct scan *scan = &mend->scan;

    memcpy(scan->uuid, mend->uuid, UUID_SIZE);
    scan->ledger = mend->ledger;
    scan->committed = mend_delivery(mend) == DELIVERY_TRANSACTIONAL;
    scan->enough = mend->mark.batch;
    return (mend->ledger == NULL || scan_from_ledger(scan, mend->ledger, err)) &&
           scan_read(scan, err) && marks_are_as_they_were(mend, err);
}

static struct evidence_place *place_of(struct mend *mend, const struct evidence_source *source)
{
    for (size_t i = 0; i < mend->place_count; i++) {
        if (mend->places[i].partition == source->partition &&
            strcmp(mend->places[i].topic, source->topic) == 0) {
            return &mend->places[i];
        }
    }
    return NULL;
}

bool mend_take_unknown(struct mend *mend, struct err *err)
{
    for (size_t i = 0; i < mend->scan.evidence.source_count; i++) {
        const struct evidence_source *source = &mend->scan.evidence.sources[i];
        struct evidence_place *place = place_of(mend, source);
        struct ends_item item = {.topic = source->topic, .partition = source->partition};

        if (place == NULL) {
            return err_set(err, ERR_DECISION, 0,
                           "the outputs hold records of '%s'[%d], which isn't there or isn't in "
                           "input.topics: put it into the settings for this",
                           source->topic, (int)source->partition);
        }
        if (place->next >= 0 || place->until < 0) {
            continue;
        }
        if (!broker_starts(&mend->broker, &item, 1, err)) {
            return false;
        }
        place->next = item.offset < source->lowest ? item.offset : source->lowest;
    }
    return true;
}

bool mend_check_fit(const struct mend *mend, struct err *err)
{
    if (mend->scan.misfit[0] == '\0' || mend->scan.misfit_batch != mend->scan.evidence.batch) {
        return true;
    }
    return err_set(err, ERR_DECISION, 0,
                   "%s: set output.topic and output.partitioner as they were for that batch; if "
                   "partitions of the output were added since, this can't be proved",
                   mend->scan.misfit);
}

/* ---- showing ---- */

void mend_print_json_text(const char *text)
{
    putchar('"');
    for (; *text != '\0'; text++) {
        if (*text == '"' || *text == '\\') {
            printf("\\%c", *text);
        } else if ((unsigned char)*text < ' ') {
            printf("\\u%04x", (unsigned)*text);
        } else {
            putchar(*text);
        }
    }
    putchar('"');
}

static void print_number(int64_t number, bool json, bool last)
{
    const char *end = last ? (json ? "}" : "\n") : "";

    if (number < 0) {
        printf(json ? "null%s" : "%12s%s", json ? end : "-", end);
    } else {
        printf(json ? "%" PRId64 "%s" : "%12" PRId64 "%s", number, end);
    }
}

static void print_place(const struct mend *mend, const struct evidence_place *place, bool json)
{
    const struct evidence_source *source =
        evidence_find(&mend->scan.evidence, place->topic, place->partition);
    const struct {
        const char *name;
        int64_t value;
    } columns[] = {
        {"ledger", place->ledger},
        {"group", place->group},
        {"mark_batch", place->mark_batch},
        {"found_earlier", source == NULL ? -1 : source->earlier},
        {"found_last", source == NULL ? -1 : source->highest},
        {"next", place->next},
        {"until", place->until},
    };
    enum { COLUMNS = sizeof(columns) / sizeof(columns[0]) };
    char name[TOPIC_NAME_MAX + 16];

    if (json) {
        printf("{\"topic\":\"%s\",\"partition\":%d", place->topic, (int)place->partition);
    } else {
        snprintf(name, sizeof(name), "%s[%d]", place->topic, (int)place->partition);
        printf("%-24s", name);
    }
    for (size_t i = 0; i < COLUMNS; i++) {
        if (json) {
            printf(",\"%s\":", columns[i].name);
        }
        print_number(columns[i].value, json, i + 1 == COLUMNS);
    }
}

void mend_print(const struct mend *mend, bool json)
{
    const struct evidence *evidence = &mend->scan.evidence;

    if (json) {
        printf("\"found\":{\"records\":%" PRId64 ",\"batch\":%" PRId64 "},\"partitions\":[",
               evidence->records, evidence->batch);
    } else {
        printf("in the outputs, since the ledger's end: %" PRId64
               " records of this ledger, the last batch is %" PRId64 "\n\n%-24s%12s%12s%12s%12s%12s"
               "%12s%12s\n",
               evidence->records, evidence->batch, "input", "ledger", "group", "its batch",
               "earlier", "last batch", "next", "in doubt");
    }
    for (size_t i = 0; i < mend->place_count; i++) {
        if (json && i > 0) {
            putchar(',');
        }
        print_place(mend, &mend->places[i], json);
    }
    if (json) {
        putchar(']');
    } else {
        printf(
            "\nledger: its next offset; group: the committed offset and the batch of its mark; "
            "earlier, last batch: the highest\ninput offset that the outputs hold of the batches "
            "before the last one, and of that; next: everything below is\ndelivered; in doubt: "
            "up to there the last batch is read back and finished by the next start\n\n");
    }
}
