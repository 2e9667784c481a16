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

static int row_of(enum protocol_state state, enum protocol_move move, bool recovered)
{
    if (state == PROTOCOL_DELIVERED && move == (recovered ? PROTOCOL_SETTLE : PROTOCOL_CHECK)) {
        /* R5: a recovered batch, and no other, is read once more before it is settled */
        return NO_ROW;
    }
    for (int row = 0; row < MOVE_ROWS; row++) {
        if (MOVES[row].from == state && MOVES[row].move == move) {
            return row;
        }
    }
    return NO_ROW;
}

bool protocol_allows(enum protocol_state state, enum protocol_move move, bool recovered)
{
    return row_of(state, move, recovered) != NO_ROW;
}

enum protocol_state protocol_next(enum protocol_state state, enum protocol_move move,
                                  bool recovered)
{
    int row = row_of(state, move, recovered);

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
            return MARK_OTHER_LEDGER;
        }
        if (mark->text.batch > self->settled) {
            return MARK_AHEAD; /* mark N is sent only after N is settled, in idempotent mode */
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
    if (found->log_start > found->place) {
        return found->in_doubt ? OUTPUT_LOG_START : OUTPUT_GONE_BEFORE;
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
