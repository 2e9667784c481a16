/* oncesink-recover resolve LEDGER CONF: the service has stopped (77) since an output can't be read
 * back as far as it must be, with a batch in doubt: its log begins above the fence (retention,
 * DeleteRecords), it was made anew, or it ends too early (unclean election). What of the batch is
 * there can't be told any more, and a person decides:
 *
 *     delivered   it was there and is gone by somebody's wish: not sent again. If it wasn't, it is
 *                 lost
 *     missing     it wasn't there, or is to be there again: sent again. If it was there and
 *                 somebody has read it, he reads it twice
 *
 * In transactional mode the group's marks tell, so an output that was made anew or ends too early
 * is taken as it is. When there is no mark and no output tells, it is decided as above.
 *
 * With output.provenance=positions the service also stops at an output that it can't compare with
 * the input (somebody else's record, or input that is gone); that one is decided when it is named:
 * of its records nothing tells, so `missing` doubles what was there.
 *
 * What can be told is told, and not decided (resolve_look.c). The decision is put into the ledger
 * as a long batch's checkpoint is: progress by source and output, and a fence behind what was read;
 * the next start finishes the batch by its ordinary recovery. An output that merely ends too early,
 * with nothing in doubt, is taken as it is: what is gone of settled batches isn't sent again. */
#include "resolve.h"

#include "ledger_repair.h"
#include "mem.h"
#include "mend.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct recover_usage USAGE = {
    .doc =
        "Decides what can't be told of a batch in doubt, because an output has lost records, was "
        "made anew, or (transactional mode) neither marks nor outputs tell. CONF is the "
        "service's settings file. The service must not run.\v"
        "--assume delivered: what can't be told counts as delivered and is not sent again; if it "
        "wasn't there, it is lost. --assume missing: it is sent again; if it was there, it may "
        "have been read twice. It holds for all outputs, or for those of --output; decide "
        "others in another call. What can be told is not touched by it.\n\n"
        "Without --yes nothing is changed. Then start the service, which finishes the batch. "
        "Exit: 0 shown, or done; 64 --assume is missing; 75 the service runs, or no broker "
        "answers; 77 something else has to be done first; 65, 78 ledger or settings can't be "
        "used.",
    .second = "CONF",
    .changes = true,
    .assumes = true,
};

static const char *case_of(const struct resolve_output *output)
{
    switch (output->verdict) {
    case OUTPUT_LOG_START:
        return "begins-above-fence";
    case OUTPUT_RECREATED:
        return "made-anew";
    case OUTPUT_SHORT:
        return "ends-too-early";
    case OUTPUT_AHEAD:
    case OUTPUT_FINE:
    case OUTPUT_GONE_BEFORE:
    case OUTPUT_RENEWED:
    case OUTPUT_MISSING:
        break;
    }
    return "readable";
}

/* ---- what to decide ---- */

static bool choose(struct resolve *it, const struct recover_arguments *arguments, struct err *err)
{
    for (size_t i = 0; i < it->output_count && arguments->output_count == 0; i++) {
        it->outputs[i].chosen = resolve_is_stuck(&it->outputs[i]);
    }
    for (size_t a = 0; a < arguments->output_count; a++) {
        bool found = false;

        for (size_t i = 0; i < it->output_count; i++) {
            char name[TOPIC_NAME_MAX + 16];

            snprintf(name, sizeof(name), "%s[%d]", it->outputs[i].topic,
                     (int)it->outputs[i].partition);
            if (strcmp(name, arguments->outputs[a]) == 0 && resolve_may_name(it, &it->outputs[i])) {
                it->outputs[i].chosen = found = true;
            }
        }
        if (!found) {
            return err_set(err, ERR_USAGE, 0,
                           "--output %s: there is nothing to decide; without --yes all outputs "
                           "that need a decision are shown",
                           arguments->outputs[a]);
        }
    }
    return true;
}

static void sum_up(struct resolve *it, const struct recover_arguments *arguments)
{
    static const char *const ASSUMED[] = {
        [ASSUME_NOTHING] = "needs --assume delivered|missing",
        [ASSUME_DELIVERED] = "assumed delivered, not sent again",
        [ASSUME_MISSING] = "assumed missing, sent again",
    };
    size_t chosen = 0;
    size_t untold = 0;
    size_t told = 0;

    for (size_t i = 0; i < it->output_count; i++) {
        chosen += it->outputs[i].chosen ? 1 : 0;
        untold += it->outputs[i].chosen ? it->outputs[i].untold : 0;
        told += it->outputs[i].chosen ? it->outputs[i].told : 0;
    }
    it->nothing = chosen == 0;
    if (it->nothing) {
        snprintf(it->words, sizeof(it->words), "nothing has to be decided: start the service%s",
                 it->batch.definition.provenance == PROVENANCE_POSITIONS && it->in_doubt
                     ? "; an output that can't be compared is decided when it is named (--output)"
                     : "");
    } else if (it->by_mark) {
        snprintf(it->words, sizeof(it->words),
                 "batch %" PRId64 " is in doubt, and %zu output partitions were made anew or end "
                 "before what it has delivered: taken as they are; the group's marks tell what of "
                 "it was delivered, and what is gone isn't sent again",
                 it->batch.number, chosen);
    } else if (!it->in_doubt) {
        snprintf(it->words, sizeof(it->words),
                 "%zu output partitions end before what was delivered and settled: taken as they "
                 "are, what is gone isn't sent again",
                 chosen);
    } else {
        snprintf(it->words, sizeof(it->words),
                 "batch %" PRId64 " is in doubt, and of %zu output partitions that must be read "
                 "back a part is gone: %zu sources can be told from what is left, %zu can't%s%s",
                 it->batch.number, chosen, told, untold, untold == 0 ? "" : ": ",
                 untold == 0 ? "" : ASSUMED[arguments->assume]);
    }
}

static bool must_assume(const struct resolve *it)
{
    for (size_t i = 0; i < it->output_count; i++) {
        if (it->outputs[i].chosen && it->outputs[i].untold > 0) {
            return true;
        }
    }
    return false;
}

/* ---- doing it ---- */

/* The batch's progress as it is, with what was seen or assumed in the chosen outputs. */
static struct progress *make_progress(const struct resolve *it, enum recover_assume assume,
                                      size_t *count_out)
{
    struct delivered all;
    struct progress *progress;
    size_t count = 0;

    delivered_init(&all, it->batch.range_count, it->output_count);
    for (size_t i = 0; i < it->batch.progress_count; i++) {
        const struct progress *old = &it->batch.progress[i];

        for (size_t o = 0; o < it->output_count; o++) {
            if (it->outputs[o].partition == old->partition &&
                strcmp(it->outputs[o].topic, old->topic) == 0) {
                delivered_put(&all, old->range, o,
                              (struct delivered_entry){.offset = old->offset,
                                                       .records = (uint32_t)old->records});
            }
        }
    }
    progress = mem_array(all.ranges * all.outputs, sizeof(*progress));
    for (size_t r = 0; r < all.ranges; r++) {
        for (size_t o = 0; o < all.outputs; o++) {
            struct delivered_entry entry = *delivered_at(&all, r, o);
            const struct delivered_entry *seen = delivered_at(&it->delivered, r, o);
            const struct resolve_output *output = &it->outputs[o];

            if (output->chosen && seen->offset > entry.offset) {
                entry.offset = seen->offset;
                entry.records += seen->records;
            } else if (output->chosen && output->fenced && seen->offset < 0 &&
                       assume == ASSUME_DELIVERED && resolve_reaches(it, r, output)) {
                entry.offset = it->batch.ranges[r].until - 1;
            }
            if (entry.offset >= 0) {
                progress[count++] = (struct progress){.range = (uint32_t)r,
                                                      .topic = output->topic,
                                                      .partition = output->partition,
                                                      .offset = entry.offset,
                                                      .records = entry.records};
            }
        }
    }
    delivered_deinit(&all);
    *count_out = count;
    return progress;
}

static bool move_output(struct resolve *it, const struct resolve_output *output, struct err *err)
{
    const struct topic_fact *fact = topic_facts_find(it->broker.facts, output->topic);
    const struct fence fence = {
        .topic = output->topic, .partition = output->partition, .offset = output->log_end};
    struct ledger_output row = {
        .topic = output->topic,
        .partition = output->partition,
        .next_offset = output->log_end,
        .refreshed_wall_ms = broker_wall_ms(),
    };

    if (fact != NULL) {
        memcpy(row.topic_id, fact->topic_id, TOPIC_ID_SIZE);
    }
    return ledger_output_put(it->ledger, &row, err) &&
           (!output->fenced || ledger_fence_move(it->ledger, it->batch.number, &fence, err)) &&
           ledger_event(it->ledger, EVENT_OPERATOR, it->in_doubt ? it->batch.number : 0,
                        row.refreshed_wall_ms, err,
                        "output '%s'[%d] %s (fence %" PRId64 ", log %" PRId64 " to %" PRId64
                        "): going on behind its end",
                        output->topic, (int)output->partition, case_of(output), output->fence,
                        output->log_start, output->log_end);
}

static bool act(struct resolve *it, enum recover_assume assume, struct err *err)
{
    size_t count = 0;
    struct progress *progress = it->in_doubt ? make_progress(it, assume, &count) : NULL;
    bool ok = ledger_begin(it->ledger, err);

    for (size_t i = 0; ok && i < it->output_count; i++) {
        ok = !it->outputs[i].chosen || move_output(it, &it->outputs[i], err);
    }
    ok = ok &&
         (!it->in_doubt ||
          ledger_checkpoint(it->ledger, &it->batch, NULL, 0, progress, count, err)) &&
         ledger_event(it->ledger, EVENT_OPERATOR, it->in_doubt ? it->batch.number : 0,
                      broker_wall_ms(), err, "%s", it->words) &&
         ledger_commit(it->ledger, err);
    if (!ok) {
        ledger_rollback(it->ledger);
    }
    free(progress);
    return ok;
}

/* ---- showing ---- */

static void print_output(const struct resolve_output *output, bool json, bool first)
{
    if (json) {
        printf("%s{\"topic\":\"%s\",\"partition\":%d,\"case\":\"%s\",\"fence\":%" PRId64
               ",\"next\":%" PRId64 ",\"log_start\":%" PRId64 ",\"log_end\":%" PRId64
               ",\"sources_told\":%zu,\"sources_untold\":%zu}",
               first ? "" : ",", output->topic, (int)output->partition, case_of(output),
               output->fence, output->next, output->log_start, output->log_end, output->told,
               output->untold);
        return;
    }
    printf("%s[%d]: %s: fence %" PRId64 ", next offset %" PRId64 ", its log has %" PRId64
           " to %" PRId64 "; of %zu sources records of the batch are left, of %zu none\n",
           output->topic, (int)output->partition, case_of(output), output->fence, output->next,
           output->log_start, output->log_end, output->told, output->untold);
}

static void print(const struct resolve *it, const struct recover_arguments *arguments)
{
    bool done = arguments->yes && !it->nothing;
    bool first = true;

    if (arguments->json) {
        printf(
            "{\"done\":%s,\"nothing\":%s,\"batch\":%" PRId64 ",\"text\":", done ? "true" : "false",
            it->nothing ? "true" : "false", it->in_doubt ? it->batch.number : 0);
        mend_print_json_text(it->words);
        printf(",\"outputs\":[");
    }
    for (size_t i = 0; i < it->output_count; i++) {
        if (it->outputs[i].chosen || resolve_is_stuck(&it->outputs[i])) {
            print_output(&it->outputs[i], arguments->json, first);
            first = false;
        }
    }
    if (arguments->json) {
        puts("]}");
        return;
    }
    printf("%s%s\n", it->nothing ? "" : done ? "done: " : "would do: ", it->words);
    if (!done && !it->nothing) {
        puts("nothing was changed; --yes does it");
    }
}

/* ---- the command ---- */

static bool open_all(struct resolve *it, const struct recover_arguments *arguments, struct err *err)
{
    if (!broker_open(arguments->second, &it->broker, err) ||
        !broker_open_ledger(&it->broker, arguments->ledger, &it->ledger, err)) {
        return false;
    }
    ledger_identity(it->ledger, &it->identity);
    if (!ledger_unsettled(it->ledger, &it->batch, &it->in_doubt, err)) {
        return false;
    }
    it->by_mark = it->in_doubt && it->batch.definition.delivery == DELIVERY_TRANSACTIONAL;
    return broker_ask(&it->broker, it->in_doubt ? &it->batch.definition : NULL, err);
}

static void close_all(struct resolve *it)
{
    for (size_t i = 0; i < it->output_count; i++) {
        free(it->outputs[i].topic);
    }
    free(it->outputs);
    delivered_deinit(&it->delivered);
    batch_deinit(&it->batch);
    ledger_close(it->ledger);
    broker_close(&it->broker);
}

static bool resolve_outputs(struct resolve *it, const struct recover_arguments *arguments,
                            struct err *err)
{
    if (!resolve_look(it, err) || !choose(it, arguments, err)) {
        return false;
    }
    sum_up(it, arguments);
    if (!arguments->yes || it->nothing) {
        return true;
    }
    if (must_assume(it) && arguments->assume == ASSUME_NOTHING) {
        return err_set(err, ERR_USAGE, 0, "%s", it->words);
    }
    return act(it, it->by_mark ? ASSUME_NOTHING : arguments->assume, err);
}

int cmd_resolve(int argc, char **argv)
{
    struct recover_arguments arguments;
    struct resolve it = {0};
    struct err err = {0};
    bool ok;

    recover_parse(argc, argv, &USAGE, &arguments);
    ok = open_all(&it, &arguments, &err) && resolve_outputs(&it, &arguments, &err);
    if (ok && it.by_mark && it.nothing) {
        it.nothing = false;
        ok = resolve_marks(&it, &arguments, &err);
    }
    if (ok) {
        print(&it, &arguments);
    }
    close_all(&it);
    return ok ? 0 : recover_failed(&err);
}
