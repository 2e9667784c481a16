/* What a person's decision does to a ledger.
 *
 * A ledger that was left behind has rows of batches that never were, or were finished otherwise:
 * they would contradict the numbers that are true now. So ledger_renumber drops them as pruning
 * does; what stays are positions, totals, events, incarnations and records put aside. */
#include "ledger_repair.h"

#include "ledger_internal.h"

#include <assert.h>
#include <string.h>

static const char LEARN_SQL[] =
    "INSERT INTO oncesink_incarnation (incarnation, began_with, began_wall_ms) "
    "VALUES (?, 'found', ?) ON CONFLICT DO NOTHING";
static const char DROP_ALL_SQL[] = "DELETE FROM oncesink_batch_progress;"
                                   "DELETE FROM oncesink_batch_range;"
                                   "DELETE FROM oncesink_batch_output;"
                                   "DELETE FROM oncesink_batch;";
static const char DROP_UNSETTLED_SQL[] =
    "DELETE FROM oncesink_batch_progress;"
    "DELETE FROM oncesink_batch_range WHERE batch > (SELECT settled FROM oncesink_ledger);"
    "DELETE FROM oncesink_batch_output WHERE batch > (SELECT settled FROM oncesink_ledger);"
    "DELETE FROM oncesink_batch WHERE state <> 'settled';";
static const char RENUMBER_SQL[] =
    "UPDATE oncesink_ledger SET batch = ?1, settled = ?1, "
    "pruned = CASE WHEN settled = ?1 THEN pruned ELSE ?1 END WHERE id = 1";
static const char FENCE_DROP_SQL[] =
    "DELETE FROM oncesink_batch_output WHERE batch = ? AND topic = ? AND partition = ?";

static bool set_current(struct ledger *ledger, const char *incarnation, struct err *err)
{
    sqlite3_stmt *set = ledger_prepare(
        ledger, STATEMENT_START, "UPDATE oncesink_ledger SET incarnation = ? WHERE id = 1", err);

    if (set == NULL) {
        return false;
    }
    ledger_bind_text(set, 1, incarnation);
    if (!ledger_run(ledger, set, err)) {
        return false;
    }
    memcpy(ledger->identity.incarnation, incarnation, INCARNATION_SIZE);
    return true;
}

bool ledger_learn_incarnation(struct ledger *ledger, const char *incarnation, int64_t wall_ms,
                              struct err *err)
{
    enum { INCARNATION = 1, WALL };
    sqlite3_stmt *learn = ledger_prepare(ledger, STATEMENT_LEARN, LEARN_SQL, err);

    assert(ledger->in_transaction);
    if (learn == NULL) {
        return false;
    }
    ledger_bind_text(learn, INCARNATION, incarnation);
    ledger_bind_integer(learn, WALL, wall_ms);
    if (!ledger_run(ledger, learn, err)) {
        return false;
    }
    return ledger->identity.incarnation[0] != '\0' || set_current(ledger, incarnation, err);
}

bool ledger_renumber(struct ledger *ledger, int64_t settled, struct err *err)
{
    const bool same = settled == ledger->identity.settled;
    sqlite3_stmt *set;

    assert(ledger->in_transaction && settled >= ledger->identity.settled);
    if (!ledger_exec(ledger, same ? DROP_UNSETTLED_SQL : DROP_ALL_SQL, err)) {
        return false;
    }
    set = ledger_prepare(ledger, STATEMENT_RENUMBER, RENUMBER_SQL, err);
    if (set == NULL) {
        return false;
    }
    ledger_bind_integer(set, 1, settled);
    if (!ledger_run(ledger, set, err)) {
        return false;
    }
    ledger->identity.batch = ledger->identity.settled = settled;
    return true;
}

bool ledger_fence_move(struct ledger *ledger, int64_t batch, const struct fence *fence,
                       struct err *err)
{
    enum { BATCH = 1, TOPIC, PARTITION };
    sqlite3_stmt *drop = ledger_prepare(ledger, STATEMENT_FENCE_DROP, FENCE_DROP_SQL, err);

    assert(ledger->in_transaction);
    if (drop == NULL) {
        return false;
    }
    ledger_bind_integer(drop, BATCH, batch);
    ledger_bind_text(drop, TOPIC, fence->topic);
    ledger_bind_integer(drop, PARTITION, fence->partition);
    return ledger_run(ledger, drop, err) && ledger_fence_add(ledger, batch, fence, err);
}
