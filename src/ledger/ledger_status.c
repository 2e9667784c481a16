/* Status: a page of what the views say, at one moment.
 *
 * The text is a list of blocks, each one query whose rows are printed as lines; the JSON is one
 * query, so that SQLite does the quoting. Both know three things that no table holds: the path, the
 * owner's pid, the WAL's size. */
#include "ledger_status.h"

#include "ledger_internal.h"

#include <inttypes.h>

/* Parameters of every query here. */
enum { PATH = 1, OWNER, WAL_BYTES };

static const char *const TEXT_SQL[] = {
    "SELECT printf('ledger       %s (job %s, uuid %s)', ?1, job, uuid) FROM oncesink_ledger",
    "SELECT iif(?2 > 0, printf('owner        process %d, incarnation %s', ?2, incarnation), "
    "iif(?2 < 0, 'owner        a process whose pid isn''t known', "
    "printf('owner        none is running, the last incarnation was %s', coalesce(incarnation, "
    "'none')))) "
    "FROM oncesink_ledger",
    "SELECT printf('size         %.1f MiB, WAL %.1f MiB%s', p.page_count * s.page_size / "
    "1048576.0, "
    "?3 / 1048576.0, iif(?3 >= 268435456, ' (another program''s open transaction keeps it from "
    "being reused)', '')) "
    "FROM pragma_page_count p, pragma_page_size s",
    "SELECT coalesce((SELECT printf('in doubt     batch %d: %s, %,d offsets, planned %s', batch, "
    "state, planned, "
    "planned_at) FROM in_doubt), 'in doubt     nothing')",
    "SELECT printf('settled      %,d batches since %s: %,d records in, %,d out (%,d found by "
    "recovery), %,d set aside', "
    "batches, since, records, outputs, found, set_aside) FROM totals",
    "SELECT printf('lag          %s records in %d partitions', "
    "iif(count(lag) = 0, 'unknown', printf('%,d', sum(lag))), count(*)) FROM lag",
    "SELECT printf('             %s[%d] %,d behind its end as seen %s, next offset %,d', topic, "
    "partition, lag, seen, "
    "next_offset) FROM lag WHERE lag > 0 ORDER BY lag DESC LIMIT 5",
    "SELECT printf('moved        %s[%d] from %,d to %,d after batch %d', topic, partition, "
    "from_offset, to_offset, "
    "batch) FROM oncesink_jump ORDER BY jump DESC LIMIT 5",
    "SELECT printf('batch        %d  %s  %s  %,d records  %s  limited by %s', batch, tick, "
    "coalesce(outcome, state), "
    "coalesce(records, planned), iif(processing_ms IS NULL, '', printf('%,d ms', processing_ms)), "
    "limited_by || iif(rate IS NULL, '', printf(', rate %,d/s', rate))) "
    "FROM batches LIMIT 5",
    "SELECT printf('event        %s  %s  %s', time, kind, text) FROM events LIMIT 5",
};

static const char JSON_SQL[] =
    "SELECT json_object('ledger', ?1, 'job', l.job, 'uuid', l.uuid, 'incarnation', l.incarnation, "
    "'owner', iif(?2 > 0, ?2, NULL), 'running', json(iif(?2 <> 0, 'true', 'false')), "
    "'file_bytes', (SELECT p.page_count * s.page_size FROM pragma_page_count p, pragma_page_size "
    "s), "
    "'wal_bytes', ?3, 'batch', l.batch, 'settled', l.settled, "
    "'in_doubt', (SELECT json_object('batch', batch, 'tick', tick, 'state', state, 'planned', "
    "planned, "
    "'planned_at', planned_at) FROM in_doubt), "
    "'totals', (SELECT json_object('batches', batches, 'planned', planned, 'records', records, "
    "'outputs', outputs, "
    "'found', found, 'recovered', recovered, 'set_aside', set_aside, 'starts', starts, 'since', "
    "since) FROM totals), "
    "'lag', (SELECT json_group_array(json_object('topic', topic, 'partition', partition, "
    "'next_offset', next_offset, "
    "'end_offset', end_offset, 'lag', lag, 'seen', seen)) FROM lag), "
    "'batches', (SELECT json_group_array(json_object('batch', batch, 'tick', tick, 'state', state, "
    "'planned', planned, 'records', records, 'rate', rate, 'limited_by', limited_by, "
    "'scheduling_ms', "
    "scheduling_ms, "
    "'processing_ms', processing_ms, 'outcome', outcome)) FROM (SELECT * FROM batches LIMIT 5)), "
    "'events', (SELECT json_group_array(json_object('time', time, 'kind', kind, 'batch', batch, "
    "'text', text)) "
    "FROM (SELECT * FROM events LIMIT 5))) FROM oncesink_ledger l";

struct facts {
    int64_t owner;
    int64_t wal_bytes;
};

static bool print(struct ledger *ledger, FILE *out, const char *sql, const struct facts *facts,
                  struct err *err)
{
    sqlite3_stmt *rows = NULL;
    bool row = true;
    bool good;

    if (sqlite3_prepare_v2(ledger->db, sql, -1, &rows, NULL) != SQLITE_OK) {
        return ledger_error(ledger, err, "cannot read it");
    }
    const int parameters = sqlite3_bind_parameter_count(rows);
    if (parameters >= PATH) {
        ledger_bind_text(rows, PATH, ledger->path);
    }
    if (parameters >= OWNER) {
        ledger_bind_integer(rows, OWNER, facts->owner);
    }
    if (parameters >= WAL_BYTES) {
        ledger_bind_integer(rows, WAL_BYTES, facts->wal_bytes);
    }
    while ((good = ledger_step(ledger, rows, &row, err)) && row) {
        fprintf(out, "%s\n", ledger_text(rows, 0));
    }
    sqlite3_finalize(rows);
    return good;
}

bool ledger_status_print(struct ledger *ledger, FILE *out, bool json, struct err *err)
{
    const struct facts facts = {.owner = ledger_lock_owner(ledger),
                                .wal_bytes = ledger_wal_bytes(ledger)};
    bool good = true;

    if (!ledger_begin(ledger, err)) {
        return false;
    }
    if (json) {
        good = print(ledger, out, JSON_SQL, &facts, err);
    } else {
        for (size_t i = 0; good && i < sizeof(TEXT_SQL) / sizeof(TEXT_SQL[0]); i++) {
            good = print(ledger, out, TEXT_SQL[i], &facts, err);
        }
    }
    ledger_rollback(ledger);
    return good || err_wrap(err, "cannot tell the state");
}
