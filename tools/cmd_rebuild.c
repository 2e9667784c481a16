/* oncesink-recover rebuild LEDGER CONF: the ledger is lost. Makes a new one at LEDGER, where none
 * may be, from the group's marks and the outputs' headers.
 *
 * It is the same ledger again: its uuid stands in the marks (the first 12 digits of it in the
 * headers; if no mark is left, the others are drawn anew, which nobody can notice). The starts that
 * were found are known to it, numbers go on above everything found, and the positions are those
 * that are proved (evidence.h): with the marks there, the outputs are read back to the first batch
 * that they account for; without, from their logs' beginnings. What can't come back: past batches,
 * totals, events, and the ledger's own copy of records put aside (their error topics have them). */
#include "recover.h"

#include "mend.h"
#include "source_ends.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

static const struct recover_usage USAGE = {
    .doc = "Makes a lost ledger anew at LEDGER from the group's marks and from what the outputs "
           "hold. CONF is the service's settings file, with topics and partitioner as they were "
           "for the last batches. A file that is there is never written over. Run it as the "
           "service's user.\v"
           "If there is a backup, however old, put it in place and use reconcile: it keeps the "
           "history too. Make sure that no other process works for this job.\n\n"
           "Without --yes nothing is made. Exit: 0 shown, or done; 64 there is a file at LEDGER; "
           "75 records still arrive, or no broker answers; 77 it can't be proved, and why; 78 the "
           "settings can't be used.",
    .second = "CONF",
    .changes = true,
};

struct rebuilding {
    struct mend mend;
    char words[768];
};

static bool nothing_there(const char *path, struct err *err)
{
    if (access(path, F_OK) == 0) {
        return err_set(err, ERR_USAGE, 0,
                       "%s is there, and nothing is written over: move it away first, or, if it is "
                       "an older ledger of this job, use reconcile",
                       path);
    }
    return errno == ENOENT || err_set(err, ERR_USAGE, errno, "%s: %s", path, strerror(errno));
}

/* Input partitions of which neither a mark nor a record tells. With a mark they were added after
 * it, and the service takes them up at their beginning. */
static bool judge_silent(const struct rebuilding *it, struct err *err)
{
    const struct mend *mend = &it->mend;
    bool lost = false;

    for (size_t i = 0; i < mend->scan.output_count; i++) {
        lost |= mend->scan.evidence.outputs[i].lost;
    }
    for (size_t i = 0; i < mend->place_count && mend->mark.batch < 0; i++) {
        const struct evidence_place *place = &mend->places[i];

        if (place->next >= 0 || place->until >= 0 ||
            (!lost && mend->broker.config->start == CONFIG_START_EARLIEST)) {
            continue;
        }
        return err_set(
            err, ERR_DECISION, 0,
            "neither a mark nor a record in the outputs tells of '%s'[%d], and %s: where "
            "to go on there can't be proved; begin with another job.name and ledger at "
            "a time that you choose (auto.offset.reset)",
            place->topic, (int)place->partition,
            lost ? "the outputs' logs don't reach back to their beginnings"
                 : "auto.offset.reset isn't earliest");
    }
    return true;
}

static bool conclude(struct rebuilding *it, struct err *err)
{
    struct mend *mend = &it->mend;
    struct evidence_case of = {
        .headers = mend->broker.config->provenance == PROVENANCE_HEADERS,
        .one_output = mend->definition.partitioner == PARTITIONER_SAME,
    };

    of.delivery = mend_delivery(mend);
    if (!mend_scan(mend, err)) {
        return false;
    }
    if (mend->mark.batch < 0 && mend->scan.stranger[0] != '\0') {
        return err_set(err, ERR_DECISION, 0,
                       "%s, others by ledger %.12s, and no mark tells which one was the last: it "
                       "can't be proved",
                       mend->scan.stranger, mend->scan.uuid);
    }
    if (mend->scan.evidence.batch <= 0 && mend->mark.batch <= 0) {
        return err_set(err, ERR_DECISION, 0,
                       "group '%s' carries no mark and the outputs hold no record of job '%s': "
                       "there is nothing to make a ledger from; start the service, which makes a "
                       "new one",
                       mend->broker.config->group_id, mend->broker.config->job_name);
    }
    if (!evidence_conclude(&mend->scan.evidence, &of, mend->places, mend->place_count,
                           &mend->result, err) ||
        !mend_take_unknown(mend, err) || !judge_silent(it, err) ||
        (mend->result.settled < mend->result.batch && !mend_check_fit(mend, err))) {
        return false;
    }
    snprintf(it->words, sizeof(it->words),
             "a lost ledger is made anew from %s: batch %" PRId64 " settled%s",
             mend->mark.batch < 0 ? "the outputs, without a mark" : "the marks and the outputs",
             mend->result.settled,
             mend->result.settled < mend->result.batch
                 ? ", and the one after it in doubt: the next start finishes it"
                 : "");
    return true;
}

/* The uuid of the mark; else the digits that the headers have, and new ones. */
static bool choose_uuid(struct mend *mend, struct err *err)
{
    unsigned char random[UUID_SIZE / 2];
    char digits[UUID_SIZE];

    if (mend->uuid[0] != '\0') {
        return true;
    }
    if (getrandom(random, sizeof(random), 0) != (ssize_t)sizeof(random)) {
        return err_set(err, ERR_FAILED, errno, "no random numbers: %s", strerror(errno));
    }
    for (size_t i = 0; i < sizeof(random); i++) {
        snprintf(digits + 2 * i, 3, "%02x", random[i]);
    }
    memcpy(mend->uuid, digits, UUID_SIZE);
    memcpy(mend->uuid, mend->scan.uuid, strlen(mend->scan.uuid));
    return true;
}

static bool make(struct rebuilding *it, const char *path, struct err *err)
{
    struct mend *mend = &it->mend;
    struct ledger *ledger = NULL;
    const struct ledger_options options = {
        .path = path, .job = mend->broker.config->job_name, .create = true, .uuid = mend->uuid};
    bool ok = choose_uuid(mend, err) && nothing_there(path, err) &&
              ledger_open(&options, &ledger, err) && mend_apply(mend, ledger, it->words, err);

    ledger_close(ledger);
    return ok;
}

static void print(const struct rebuilding *it, const struct recover_arguments *arguments,
                  const struct err *refusal)
{
    bool done = arguments->yes && refusal == NULL;

    if (arguments->json) {
        printf("{\"verdict\":\"%s\",\"done\":%s,\"text\":", refusal != NULL ? "refused" : "lost",
               done ? "true" : "false");
        mend_print_json_text(refusal != NULL ? refusal->text : it->words);
        putchar(',');
        mend_print(&it->mend, true);
        puts("}");
        return;
    }
    mend_print(&it->mend, false);
    if (refusal == NULL) {
        printf("%s: %s\n", done ? "done" : "would do", it->words);
        if (!done) {
            puts("nothing was made; --yes does it");
        }
    }
}

static bool run(struct rebuilding *it, const struct recover_arguments *arguments, struct err *err)
{
    bool ok;

    if (!nothing_there(arguments->ledger, err) ||
        !mend_ask(&it->mend, arguments->second, NULL, err)) {
        return false;
    }
    ok = conclude(it, err) && (!arguments->yes || make(it, arguments->ledger, err));
    if (ok || err->kind == ERR_DECISION) {
        print(it, arguments, ok ? NULL : err);
    }
    return ok;
}

int cmd_rebuild(int argc, char **argv)
{
    struct recover_arguments arguments;
    struct rebuilding it = {0};
    struct err err = {0};
    bool ok;

    recover_parse(argc, argv, &USAGE, &arguments);
    ok = run(&it, &arguments, &err);
    mend_deinit(&it.mend);
    return ok ? 0 : recover_failed(&err);
}
