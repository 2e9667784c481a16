/* The estimator's state: one row, or none while no batch has counted. A double comes back bit for
 * bit. */
#include "ledger_internal.h"

#include <assert.h>
#include <inttypes.h>

static const char RATE_LOAD_SQL[] = "SELECT ended_ms, rate, error, published FROM oncesink_rate";
static const char RATE_PUT_SQL[] =
    "INSERT INTO oncesink_rate (id, batch, ended_ms, rate, error, published) "
    "VALUES (1, ?1, ?2, ?3, ?4, ?5) ON CONFLICT (id) DO UPDATE SET "
    "batch = ?1, ended_ms = ?2, rate = ?3, error = ?4, published = ?5";

bool ledger_rate_load(struct ledger *ledger, struct rate_estimate *estimate_out, struct err *err)
{
    enum { ENDED, RATE, ERROR, PUBLISHED };
    sqlite3_stmt *row = ledger_prepare(ledger, STATEMENT_RATE_LOAD, RATE_LOAD_SQL, err);
    struct rate_estimate estimate;
    bool found;

    if (row == NULL || !ledger_step(ledger, row, &found, err)) {
        return err_wrap(err, "cannot load the rate");
    }
    rate_estimate_init(&estimate);
    if (found) {
        estimate = (struct rate_estimate){
            .time_ms = sqlite3_column_int64(row, ENDED),
            .rate = sqlite3_column_double(row, RATE),
            .error = sqlite3_column_double(row, ERROR),
            .published = sqlite3_column_int64(row, PUBLISHED),
        };
        sqlite3_reset(row);
    }
    if (!rate_estimate_is_sound(&estimate)) {
        return ledger_damaged(ledger, err, "the row of oncesink_rate");
    }
    *estimate_out = estimate;
    return true;
}

bool ledger_rate_put(struct ledger *ledger, int64_t batch, const struct rate_estimate *estimate,
                     struct err *err)
{
    enum { BATCH = 1, ENDED, RATE, ERROR, PUBLISHED };
    sqlite3_stmt *put = ledger_prepare(ledger, STATEMENT_RATE_PUT, RATE_PUT_SQL, err);

    assert(ledger->in_transaction);
    assert(!estimate->first && rate_estimate_is_sound(estimate));
    if (put == NULL) {
        return false;
    }
    ledger_bind_integer(put, BATCH, batch);
    ledger_bind_integer(put, ENDED, estimate->time_ms);
    ledger_bind_real(put, RATE, estimate->rate);
    ledger_bind_real(put, ERROR, estimate->error);
    ledger_bind_integer(put, PUBLISHED, estimate->published);
    return ledger_run(ledger, put, err);
}
