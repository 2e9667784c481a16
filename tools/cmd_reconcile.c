/* oncesink-recover reconcile LEDGER CONF: the service has refused this ledger (exit 77), since the
 * group's mark or the outputs say that more was delivered than it knows, by a start that it doesn't
 * know, or since the group's offsets were moved. Shows the positions side by side and brings the
 * ledger up to what is proved.
 *
 *     stale      a batch above the ledger's was delivered (restored backup, copied machine, lost
 *                tail): numbers, positions and starts are taken over; the last batch becomes one in
 *                doubt when no mark proves it whole (evidence.h has the argument)
 *     a copy ran its starts become known, if all it delivered lies below the ledger's positions
 *     moved      transactional only: the group decides there, and a person moved it: the marks are
 *                written again. In idempotent mode the service does that by itself
 *     nothing    the ledger is right: start the service
 *
 * Nothing of what was delivered is taken back: what two processes have both written is there twice,
 * and this command can't change that. */
#include "recover.h"

#include "mend.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static const struct recover_usage USAGE = {
    .doc = "Compares the ledger with the group's marks and with what the outputs hold, and brings "
           "it up to what is proved to be delivered. CONF is the service's settings file, with "
           "topics and partitioner as they were for the last batches. The service must not run.\v"
           "For the refusals 'the ledger is stale', 'a copy of this ledger has run', and, in "
           "transactional mode, 'somebody moved it'. Make sure first that no other process works "
           "for this job: with the wrong ledger on another machine both would write.\n\n"
           "Without --yes nothing is changed. Exit: 0 shown, or done; 75 the service runs, records "
           "still arrive, or no broker answers; 77 it can't be proved, and why; 65, 78 ledger or "
           "settings can't be used.",
    .second = "CONF",
    .changes = true,
};

enum verdict { RIGHT, STALE, COPY, MOVED };

static const char *const VERDICTS[] = {
    [RIGHT] = "right", [STALE] = "stale", [COPY] = "copy", [MOVED] = "moved"};

struct reconciling {
    struct mend mend;
    enum verdict verdict;
    struct mark_text text; /* MOVED: to be written */
    char words[768];       /* what is the case, and what is done */
};

/* The range of the batch in doubt that reads the partition; NULL = none. */
static const struct range *range_of(const struct mend *mend, const char *topic, int32_t partition)
{
    for (size_t i = 0; mend->batch_in_doubt && i < mend->batch.range_count; i++) {
        const struct range *range = &mend->batch.ranges[i];

        if (range->partition == partition &&
            strcmp(mend->batch.definition.inputs[range->input].topic, topic) == 0) {
            return range;
        }
    }
    return NULL;
}

/* All that was found of the batch in doubt is what it was planned to be. */
static bool fits_plan(const struct mend *mend)
{
    for (size_t i = 0; i < mend->scan.evidence.source_count; i++) {
        const struct evidence_source *source = &mend->scan.evidence.sources[i];
        const struct range *range = range_of(mend, source->topic, source->partition);

        if (source->highest >= 0 &&
            (range == NULL || source->lowest < range->from || source->highest >= range->until)) {
            return false;
        }
    }
    return true;
}

static bool is_stale(const struct mend *mend)
{
    int64_t found = mend->scan.evidence.batch;
    int64_t marked = mend->mark.batch;
    int64_t known = mend->batch_in_doubt ? mend->batch.number : mend->identity.settled;
    bool by_mark =
        mend->batch_in_doubt && mend->batch.definition.delivery == DELIVERY_TRANSACTIONAL;

    if (found > known || marked > known) {
        return true;
    }
    if (mend->batch_in_doubt && marked == known && !by_mark) {
        return true; /* somebody else has settled it */
    }
    if (mend_by_place(mend)) {
        return mend_is_behind_places(mend);
    }
    return mend->batch_in_doubt && found == known && !fits_plan(mend);
}

/* ---- stale ---- */

static bool conclude_stale(struct reconciling *it, struct err *err)
{
    struct mend *mend = &it->mend;
    const struct evidence_case of = {
        .delivery = mend_delivery(mend),
        .headers = mend->broker.config->provenance == PROVENANCE_HEADERS,
        .one_output = mend->definition.partitioner == PARTITIONER_SAME,
        .settled = mend->identity.settled,
    };

    if (!evidence_conclude(&mend->scan.evidence, &of, mend->places, mend->place_count,
                           &mend->result, err) ||
        !mend_take_unknown(mend, err)) {
        return false;
    }
    if (mend->result.settled < mend->result.batch && !mend_check_fit(mend, err)) {
        return false;
    }
    snprintf(it->words, sizeof(it->words),
             "the ledger is stale: it had settled batch %" PRId64 ", and batch %" PRId64
             " was delivered meanwhile; brought up to batch %" PRId64 " settled%s",
             mend->identity.settled, mend->result.batch, mend->result.settled,
             mend->result.settled < mend->result.batch
                 ? ", and the one after it in doubt: the next start finishes it"
                 : "");
    return true;
}

static bool conclude_stale_by_place(struct reconciling *it, struct err *err)
{
    struct mend *mend = &it->mend;

    if (!mend_conclude_places(mend, err)) {
        return false;
    }
    snprintf(it->words, sizeof(it->words),
             "the ledger is stale: it had settled batch %" PRId64
             ", and the outputs hold more than that; all input since becomes batch %" PRId64
             " in doubt: the next start compares it with the outputs and finishes it",
             mend->identity.settled, mend->result.batch);
    return true;
}

/* ---- not stale ---- */

/* What starts that the ledger doesn't know have delivered must lie within what it knows. */
static bool check_copy(struct reconciling *it, bool *copy_out, struct err *err)
{
    const struct mend *mend = &it->mend;

    for (size_t i = 0; i < mend->scan.evidence.start_count; i++) {
        bool known = false;

        if (!ledger_knows_incarnation(mend->ledger, mend->scan.evidence.starts[i], &known, err)) {
            return false;
        }
        *copy_out |= !known;
    }
    for (size_t i = 0; i < mend->place_count; i++) {
        const struct evidence_place *place = &mend->places[i];
        const struct range *range = range_of(mend, place->topic, place->partition);
        const struct evidence_source *source =
            evidence_find(&mend->scan.evidence, place->topic, place->partition);
        int64_t ours = range != NULL ? range->until : place->ledger;
        int64_t theirs = source == NULL ? -1 : source->unknown + 1;

        if (*copy_out && place->mark_batch >= 0 && place->group > theirs) {
            theirs = place->group;
        }
        if (theirs > ours) {
            return err_set(err, ERR_DECISION, 0,
                           "a copy of this ledger has delivered '%s'[%d] up to offset %" PRId64
                           ", this ledger only up to %" PRId64
                           ", under the same batch numbers: keep the copy's ledger and reconcile "
                           "that one; if neither is ahead everywhere, begin with another job.name "
                           "and ledger (auto.offset.reset)",
                           place->topic, (int)place->partition, theirs, ours);
        }
    }
    return true;
}

static bool marks_fit(const struct mend *mend, int64_t batch)
{
    for (size_t i = 0; i < mend->place_count; i++) {
        const struct evidence_place *place = &mend->places[i];
        const struct range *range = range_of(mend, place->topic, place->partition);
        bool within =
            batch == mend->identity.settled
                ? place->group == place->ledger
                : range == NULL || (place->group >= range->from && place->group <= range->until);

        if (place->ledger >= 0 && (place->mark_batch != batch || !within)) {
            return false;
        }
    }
    return true;
}

/* Transactional: the ledger is right as far as it goes; of its batch in doubt the outputs tell. */
static bool conclude_moved(struct reconciling *it, struct err *err)
{
    struct mend *mend = &it->mend;
    bool begun = mend->batch_in_doubt && mend->scan.evidence.batch == mend->batch.number;

    if (mend->batch_in_doubt && mend->broker.config->provenance != PROVENANCE_HEADERS) {
        return err_set(err, ERR_DECISION, 0,
                       "batch %" PRId64 " is in doubt, the group's offsets were moved, and without "
                       "headers in the outputs nothing tells whether it is there; "
                       "oncesink-recover resolve --assume delivered|missing decides it",
                       mend->batch.number);
    }
    it->text = (struct mark_text){
        .delivery = DELIVERY_TRANSACTIONAL,
        .batch = begun ? mend->batch.number : mend->identity.settled,
        .slice = 1,
        .slices = begun ? 0 : 1, /* whether it is whole isn't known: what is missing comes next */
    };
    memcpy(it->text.uuid, mend->identity.uuid, UUID_SIZE);
    memcpy(it->text.incarnation, mend->identity.incarnation, INCARNATION_SIZE);
    for (size_t i = 0; i < mend->place_count; i++) {
        struct evidence_place *place = &mend->places[i];
        const struct evidence_source *source =
            evidence_find(&mend->scan.evidence, place->topic, place->partition);

        place->next = place->ledger;
        if (begun && source != NULL && source->highest >= place->next) {
            place->next = source->highest + 1; /* committed is a prefix */
        }
    }
    it->verdict = MOVED;
    snprintf(it->words, sizeof(it->words),
             "the offsets of group '%s' aren't those that the job committed; its marks of batch "
             "%" PRId64 " are written again%s",
             mend->broker.config->group_id, it->text.batch,
             begun ? ", up to where the outputs have that batch" : "");
    return true;
}

static bool conclude_level(struct reconciling *it, struct err *err)
{
    struct mend *mend = &it->mend;
    bool copy = false;
    bool transactional = mend->batch_in_doubt
                             ? mend->batch.definition.delivery == DELIVERY_TRANSACTIONAL
                             : mend->broker.config->delivery == DELIVERY_TRANSACTIONAL;

    if (!check_copy(it, &copy, err)) {
        return false;
    }
    if (transactional && mend->identity.incarnation[0] != '\0' &&
        !marks_fit(mend, mend->identity.settled) &&
        !(mend->batch_in_doubt && marks_fit(mend, mend->batch.number))) {
        return conclude_moved(it, err);
    }
    it->verdict = copy ? COPY : RIGHT;
    snprintf(it->words, sizeof(it->words), "%s",
             copy
                 ? "a copy of this ledger has run; all that it delivered this ledger had delivered "
                   "too: its starts are known from now on (what both have written is there twice)"
                 : "nothing was delivered that this ledger doesn't know: it is right, start the "
                   "service");
    return true;
}

/* ---- the command ---- */

static bool conclude(struct reconciling *it, struct err *err)
{
    if (!mend_scan(&it->mend, err)) {
        return false;
    }
    if (it->mend.scan.stranger[0] != '\0') {
        return err_set(err, ERR_DECISION, 0,
                       "%s, and this is ledger %.12s: use that ledger, or another job.name; if it "
                       "is lost, move this one away and make it anew: oncesink-recover rebuild",
                       it->mend.scan.stranger, it->mend.identity.uuid);
    }
    it->verdict = is_stale(&it->mend) ? STALE : RIGHT;
    if (it->verdict != STALE) {
        return conclude_level(it, err);
    }
    return mend_by_place(&it->mend) ? conclude_stale_by_place(it, err) : conclude_stale(it, err);
}

static bool act(struct reconciling *it, struct err *err)
{
    if (it->verdict == RIGHT) {
        return true;
    }
    if (it->verdict == MOVED && !mend_write_marks(&it->mend, &it->text, err)) {
        return false;
    }
    return mend_apply(&it->mend, it->mend.ledger, it->words, err);
}

static void print(const struct reconciling *it, const struct recover_arguments *arguments,
                  const struct err *refusal)
{
    bool done = arguments->yes && refusal == NULL;

    if (arguments->json) {
        printf("{\"verdict\":\"%s\",\"done\":%s,\"text\":",
               refusal != NULL ? "refused" : VERDICTS[it->verdict], done ? "true" : "false");
        mend_print_json_text(refusal != NULL ? refusal->text : it->words);
        putchar(',');
        mend_print(&it->mend, true);
        puts("}");
        return;
    }
    mend_print(&it->mend, false);
    if (refusal == NULL) {
        printf("%s%s\n", it->verdict == RIGHT ? "" : done ? "done: " : "would do: ", it->words);
        if (!done && it->verdict != RIGHT) {
            puts("nothing was changed; --yes does it");
        }
    }
}

static bool run(struct reconciling *it, const struct recover_arguments *arguments, struct err *err)
{
    bool ok;

    if (!mend_ask(&it->mend, arguments->second, arguments->ledger, err)) {
        return false;
    }
    ok = conclude(it, err) && (!arguments->yes || act(it, err));
    if (ok || err->kind == ERR_DECISION) {
        print(it, arguments, ok ? NULL : err);
    }
    return ok;
}

int cmd_reconcile(int argc, char **argv)
{
    struct recover_arguments arguments;
    struct reconciling it = {0};
    struct err err = {0};
    bool ok;

    recover_parse(argc, argv, &USAGE, &arguments);
    ok = run(&it, &arguments, &err);
    mend_deinit(&it.mend);
    return ok ? 0 : recover_failed(&err);
}
