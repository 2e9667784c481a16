/* The protocol's moves and conclusions, pure (rules and models in tests/model).
 *
 * A batch's life. The moves on the right-hand side are recovery's; a batch comes there from a crash
 * (find) or from a producer whose outcome is unknown (fail), and goes back to DELIVERING with what
 * arrived known.
 *
 *               plan                 find (at start)
 *      IDLE ───────────► PLANNED   ─────────────────────────────► IN_DOUBT ◄──────────┐
 *       ▲                   │ deliver                                │ read back      │ destroy
 *       │                   ▼             fail                       ▼                │
 *       │               DELIVERING ─────────────────────► BROKEN     READ             │
 *       │                   │    ▲                          └────────│────────────────┘
 *       │                   │    └──────────── deliver ──────────────┘
 *       │                   │ acknowledge
 *       │  settle           ▼            check
 *       ├────────────── DELIVERED ──────────────► CHECKED (recovered batches must pass here)
 *       └────────────────────────────────────────────┘ settle
 *
 * A transactional batch goes the same way. It is DELIVERING through all its slices; whatever goes
 * wrong in a transaction, an abort and an unclean answer included, is `fail` (T2, T3): the producer
 * is destroyed, a new one fences it and aborts what was open, and the mark, read after that, tells
 * which slices are there (`read back`). Nothing is checked before it is settled: the mark decides.
 *
 * What can go wrong has a move of its own; there is no other way from one state to another, and
 * protocol_next asserts it. A crash is no move: whatever the state was, the next process begins
 * with `find`. */
#include "protocol.h"

#include <assert.h>
#include <string.h>

static const struct {
    enum protocol_state from;
    enum protocol_move move;
    enum protocol_state to;
} MOVES[] = {
    {PROTOCOL_IDLE, PROTOCOL_PLAN, PROTOCOL_PLANNED},
    {PROTOCOL_IDLE, PROTOCOL_FIND, PROTOCOL_IN_DOUBT},
    {PROTOCOL_PLANNED, PROTOCOL_DELIVER, PROTOCOL_DELIVERING},
    {PROTOCOL_DELIVERING, PROTOCOL_FAIL, PROTOCOL_BROKEN},
    {PROTOCOL_DELIVERING, PROTOCOL_ACKNOWLEDGE, PROTOCOL_DELIVERED},
    {PROTOCOL_BROKEN, PROTOCOL_DESTROY, PROTOCOL_IN_DOUBT},
    {PROTOCOL_IN_DOUBT, PROTOCOL_READ_BACK, PROTOCOL_READ},
    {PROTOCOL_READ, PROTOCOL_DELIVER, PROTOCOL_DELIVERING},
    {PROTOCOL_DELIVERED, PROTOCOL_CHECK, PROTOCOL_CHECKED},
    {PROTOCOL_DELIVERED, PROTOCOL_SETTLE, PROTOCOL_IDLE},
    {PROTOCOL_CHECKED, PROTOCOL_SETTLE, PROTOCOL_IDLE},
};

enum { MOVE_ROWS = sizeof(MOVES) / sizeof(MOVES[0]), NO_ROW = -1 };

static int row_of(enum protocol_state state, enum protocol_move move, bool checked)
{
    if (state == PROTOCOL_DELIVERED && move == (checked ? PROTOCOL_SETTLE : PROTOCOL_CHECK)) {
        /* R5: a batch whose outputs were read back, and no other, is read once more before it is
         * settled */
        return NO_ROW;
    }
    for (int row = 0; row < MOVE_ROWS; row++) {
        if (MOVES[row].from == state && MOVES[row].move == move) {
            return row;
        }
    }
    return NO_ROW;
}

bool protocol_allows(enum protocol_state state, enum protocol_move move, bool checked)
{
    return row_of(state, move, checked) != NO_ROW;
}

enum protocol_state protocol_next(enum protocol_state state, enum protocol_move move, bool checked)
{
    int row = row_of(state, move, checked);

    assert(row != NO_ROW);
    return MOVES[row].to;
}

const char *protocol_state_name(enum protocol_state state)
{
    static const char *const NAMES[PROTOCOL_STATE_COUNT] = {
        [PROTOCOL_IDLE] = "idle",
        [PROTOCOL_PLANNED] = "planned",
        [PROTOCOL_DELIVERING] = "delivering",
        [PROTOCOL_BROKEN] = "broken",
        [PROTOCOL_IN_DOUBT] = "in doubt",
        [PROTOCOL_READ] = "read back",
        [PROTOCOL_DELIVERED] = "delivered",
        [PROTOCOL_CHECKED] = "checked",
    };

    return NAMES[state];
}

bool protocol_wait_over(int64_t now_ms, int64_t began_ms, int64_t last_ours_ms, int64_t settle_ms)
{
    int64_t since = last_ours_ms > began_ms ? last_ours_ms : began_ms;

    return now_ms - since >= settle_ms;
}

static bool same_ledger(const struct protocol_self *self, const char *ledger)
{
    return strncmp(self->uuid, ledger, PROVENANCE_LEDGER_SIZE - 1) == 0;
}

enum found protocol_judge_record(const struct protocol_self *self,
                                 const struct provenance *provenance, bool incarnation_known)
{
    if (provenance == NULL || strcmp(provenance->job, self->job) != 0) {
        return FOUND_STRANGER;
    }
    if (!same_ledger(self, provenance->ledger)) {
        return FOUND_OTHER_LEDGER;
    }
    if (provenance->batch > self->settled && provenance->batch != self->in_doubt) {
        return FOUND_AHEAD;
    }
    if (!incarnation_known) {
        return FOUND_COPY;
    }
    return provenance->batch == self->in_doubt ? FOUND_IN_DOUBT : FOUND_EARLIER;
}

enum mark_verdict protocol_judge_mark(const struct protocol_self *self,
                                      const struct mark_found *mark)
{
    if (mark->any_ours) {
        if (strcmp(mark->text.uuid, self->uuid) != 0) {
            return mark->text.batch == MARK_BATCH_NONE ? MARK_BEHIND : MARK_OTHER_LEDGER;
        }
        /* Mark N is sent only after N is settled, in idempotent mode; within N's own transaction in
         * the other. */
        if (mark->text.batch > self->settled &&
            !(self->by_mark && mark->text.batch == self->in_doubt)) {
            return MARK_AHEAD;
        }
        if (!mark->incarnation_known) {
            return MARK_COPY;
        }
    }
    if (mark->present && !mark->all_ours) {
        return MARK_FOREIGN_TEXT;
    }
    if (mark->any_ours && mark->text.batch == self->settled) {
        return MARK_FINE;
    }
    return MARK_BEHIND;
}

/* No offset, or one that another ledger left before it delivered anything. */
static bool is_absent(const struct protocol_self *self, const struct mark_place *place)
{
    return place->offset < 0 || (place->ours && place->text.batch == MARK_BATCH_NONE &&
                                 strcmp(place->text.uuid, self->uuid) != 0);
}

/* What ends it whatever else is there: another ledger before a stale one before a copy. */
static bool judge_strangers(const struct protocol_self *self, const struct mark_place *places,
                            size_t count, enum marks_verdict *verdict_out, size_t *place_out)
{
    int64_t known = self->in_doubt > self->settled ? self->in_doubt : self->settled;
    bool stop = false;

    for (size_t i = 0; i < count; i++) {
        const struct mark_text *text = &places[i].text;
        enum marks_verdict verdict = MARKS_SETTLED;

        if (is_absent(self, &places[i]) || !places[i].ours) {
            continue;
        }
        if (strcmp(text->uuid, self->uuid) != 0) {
            verdict = MARKS_OTHER_LEDGER;
        } else if (text->batch > known) {
            verdict = MARKS_AHEAD;
        } else if (!places[i].incarnation_known) {
            verdict = MARKS_COPY;
        }
        if (verdict != MARKS_SETTLED && (!stop || verdict < *verdict_out)) {
            stop = true;
            *verdict_out = verdict;
            *place_out = i;
        }
    }
    return stop;
}

/* At least one partition carries the mark of the batch in doubt: all that it reads must carry the
 * same, each within its range, and at its end when the slice is the last. */
static enum marks_verdict judge_begun(const struct protocol_self *self,
                                      const struct mark_place *places, size_t count, size_t begun,
                                      size_t *place_out)
{
    const struct mark_text *mark = &places[begun].text;

    for (size_t i = 0; i < count; i++) {
        const struct mark_place *place = &places[i];
        bool same = !is_absent(self, place) && place->ours && place->text.batch == mark->batch &&
                    place->text.slice == mark->slice && place->text.slices == mark->slices;

        *place_out = i;
        if (!same && place->planned) {
            return MARKS_MIXED;
        }
        if (same && (place->offset < place->from || place->offset > place->until ||
                     (mark->slices > 0 && place->offset != place->until))) {
            return MARKS_MOVED;
        }
    }
    *place_out = begun;
    return mark->slices > 0 ? MARKS_WHOLE : MARKS_PART;
}

/* The mark is the last settled batch's, or of the last batch that read an input which wasn't read
 * since; and nothing moved. */
static bool is_where_it_was(const struct protocol_self *self, const struct mark_place *place)
{
    return place->ours && place->text.batch <= self->settled && place->text.slices > 0 &&
           place->offset == place->from;
}

/* No partition carries a mark of a batch in doubt. T7: before a transactional batch there is a
 * transaction's mark, so an idempotent one can only have landed late, and says nothing. */
static enum marks_verdict judge_settled(const struct protocol_self *self,
                                        const struct mark_place *places, size_t count,
                                        bool settled_by_mark, size_t *place_out)
{
    bool strict = settled_by_mark || self->in_doubt > 0;
    bool behind = false;
    size_t present = 0;

    for (size_t i = 0; i < count; i++) {
        const struct mark_place *place = &places[i];
        bool idempotent = place->ours && place->text.delivery == DELIVERY_IDEMPOTENT;

        if (is_absent(self, place) || (strict && idempotent)) {
            behind = true; /* a partition added since, or all of them */
            continue;
        }
        present++;
        if (is_where_it_was(self, place)) {
            behind |= idempotent || place->text.batch < self->settled;
            continue;
        }
        *place_out = i;
        if (strict) {
            return MARKS_MOVED;
        }
        behind = true;
    }
    if (present == 0) {
        return MARKS_ABSENT;
    }
    return behind && self->in_doubt == 0 ? MARKS_BEHIND : MARKS_SETTLED;
}

enum marks_verdict protocol_judge_marks(const struct protocol_self *self,
                                        const struct mark_place *places, size_t count,
                                        bool settled_by_mark, size_t *place_out)
{
    enum marks_verdict verdict = MARKS_SETTLED;

    *place_out = 0;
    if (judge_strangers(self, places, count, &verdict, place_out)) {
        return verdict;
    }
    for (size_t i = 0; i < count && self->in_doubt > 0; i++) {
        if (!is_absent(self, &places[i]) && places[i].ours &&
            places[i].text.batch == self->in_doubt) {
            return judge_begun(self, places, count, i, place_out);
        }
    }
    return judge_settled(self, places, count, settled_by_mark, place_out);
}

bool protocol_fenced_again(struct protocol_fenced *fenced, int64_t now_ms)
{
    bool often = fenced->count == PROTOCOL_FENCED_MAX &&
                 now_ms - fenced->at_ms[PROTOCOL_FENCED_MAX - 1] < PROTOCOL_FENCED_MS;

    for (size_t i = PROTOCOL_FENCED_MAX - 1; i > 0; i--) {
        fenced->at_ms[i] = fenced->at_ms[i - 1];
    }
    fenced->at_ms[0] = now_ms;
    fenced->count += fenced->count < PROTOCOL_FENCED_MAX ? 1 : 0;
    return !often;
}

enum output_verdict protocol_judge_output(const struct output_found *found)
{
    if (!found->exists) {
        return OUTPUT_MISSING;
    }
    if (found->other_id) {
        return found->in_doubt ? OUTPUT_RECREATED : OUTPUT_RENEWED;
    }
    if (found->place < 0) {
        return OUTPUT_FINE;
    }
    if (found->log_end < found->place) {
        return OUTPUT_SHORT;
    }
    if (found->exact && found->log_end > found->place) {
        return OUTPUT_AHEAD;
    }
    if (found->log_start > found->place) {
        return found->in_doubt && !found->told ? OUTPUT_LOG_START : OUTPUT_GONE_BEFORE;
    }
    return OUTPUT_FINE;
}

enum input_verdict protocol_judge_input(const struct input_found *found)
{
    if (found->diverged || found->log_end < found->position) {
        return INPUT_TRUNCATED;
    }
    if (found->log_start > found->position) {
        return found->policy == ON_DATA_LOSS_CONTINUE ? INPUT_SKIP : INPUT_LOST;
    }
    return INPUT_FINE;
}
