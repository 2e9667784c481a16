/* Figures for metrics: what the ledger has counted, and the last settled batch.
 *
 * Three short queries at most, so that it can be asked after every batch: events are counted from
 * where the last count ended, starts only when there were events. */
#include "ledger_internal.h"

#include <assert.h>

static const char TOTALS_SQL[] =
    "SELECT l.total_batches, l.total_recovered, l.total_records, l.total_outputs, l.total_found, "
    "l.total_set_aside, b.settled_wall_ms, b.processing_ms, b.scheduling_ms, b.records, "
    "b.rate, b.limited_by FROM oncesink_ledger l LEFT JOIN oncesink_batch b ON b.batch = l.settled";
static const char EVENTS_SQL[] =
    "SELECT max(event), sum(kind = 'double'), sum(kind = 'recovery'), sum(kind = 'refusal'), "
    "sum(kind = 'gap'), sum(kind = 'topic'), sum(kind = 'mark'), sum(kind = 'failure') FROM "
    "oncesink_event "
    "WHERE event > ?";
static const char STARTS_SQL[] =
    "SELECT sum(began_with = 'start'), sum(began_with = 'producer') FROM oncesink_incarnation";

static bool totals(struct ledger *ledger, struct ledger_figures *figures, struct err *err)
{
    enum { BATCHES, RECOVERED, RECORDS, OUTPUTS, FOUND, SET_ASIDE, WALL, PROCESSING, SCHEDULING };
    enum { LAST_RECORDS = SCHEDULING + 1, RATE, LIMITED_BY };
    sqlite3_stmt *row = ledger_prepare(ledger, STATEMENT_FIGURES, TOTALS_SQL, err);
    bool found = false;

    if (row == NULL || !ledger_step(ledger, row, &found, err)) {
        return false;
    }
    if (!found) {
        return ledger_damaged(ledger, err, "no row in oncesink_ledger");
    }
    figures->batches = sqlite3_column_int64(row, BATCHES);
    figures->recovered = sqlite3_column_int64(row, RECOVERED);
    figures->records = sqlite3_column_int64(row, RECORDS);
    figures->outputs = sqlite3_column_int64(row, OUTPUTS);
    figures->found = sqlite3_column_int64(row, FOUND);
    figures->set_aside = sqlite3_column_int64(row, SET_ASIDE);
    figures->last_wall_ms = sqlite3_column_int64(row, WALL);
    figures->last_processing_ms = sqlite3_column_int64(row, PROCESSING);
    figures->last_scheduling_ms = sqlite3_column_int64(row, SCHEDULING);
    figures->last_records = sqlite3_column_int64(row, LAST_RECORDS);
    figures->last_rate = sqlite3_column_int64(row, RATE);
    if (!ledger_text_copy(row, LIMITED_BY, figures->last_limited_by,
                          sizeof(figures->last_limited_by))) {
        sqlite3_reset(row);
        return ledger_damaged(ledger, err, "limited_by in oncesink_batch");
    }
    sqlite3_reset(row);
    return true;
}

static bool events(struct ledger *ledger, struct ledger_figures *figures, bool *more_out,
                   struct err *err)
{
    sqlite3_stmt *row = ledger_prepare(ledger, STATEMENT_FIGURES_EVENTS, EVENTS_SQL, err);
    bool found = false;

    if (row == NULL) {
        return false;
    }
    ledger_bind_integer(row, 1, figures->last_event);
    if (!ledger_step(ledger, row, &found, err)) {
        return false;
    }
    assert(found);
    *more_out = sqlite3_column_type(row, 0) != SQLITE_NULL;
    if (*more_out) {
        figures->last_event = sqlite3_column_int64(row, 0);
        for (int i = 0; i < LEDGER_FIGURE_EVENTS; i++) {
            figures->events[i] += sqlite3_column_int64(row, 1 + i);
        }
    }
    sqlite3_reset(row);
    return true;
}

static bool starts(struct ledger *ledger, struct ledger_figures *figures, struct err *err)
{
    sqlite3_stmt *row = ledger_prepare(ledger, STATEMENT_FIGURES_STARTS, STARTS_SQL, err);
    bool found = false;

    if (row == NULL || !ledger_step(ledger, row, &found, err)) {
        return false;
    }
    assert(found);
    figures->starts = sqlite3_column_int64(row, 0);
    figures->producers = sqlite3_column_int64(row, 1);
    sqlite3_reset(row);
    return true;
}

bool ledger_figures(struct ledger *ledger, struct ledger_figures *figures, struct err *err)
{
    bool more;

    if (ledger->in_transaction) {
        return true;
    }
    return totals(ledger, figures, err) && events(ledger, figures, &more, err) &&
           (!more || starts(ledger, figures, err));
}

const char *ledger_library(void)
{
    return sqlite3_libversion();
}
