/* The invariants, one query each. */
#include "ledger_verify.h"

#include "ledger_internal.h"
#include "mem.h"

#include <stdlib.h>

struct check {
    const char *name;
    const char *sql; /* one column `finding` */
};

/* Must come first: nothing else can be trusted where it finds something. */
static const struct check FILE_CHECKS[] = {
    {"file",
     "SELECT integrity_check AS finding FROM pragma_integrity_check WHERE integrity_check <> 'ok'"},
};

/* The life of an input partition, as steps that must fit to each other: ranges of batches, and
 * jumps between them. */
#define STEPS                                                                                      \
    "step AS (SELECT topic, partition, batch, 0 AS kind, 0 AS jump, from_offset AS start, "        \
    "until_offset AS stop, records IS NULL AS open FROM oncesink_batch_range UNION ALL "           \
    "SELECT topic, partition, batch, 1, jump, from_offset, to_offset, 0 FROM oncesink_jump "       \
    "WHERE batch >= (SELECT pruned FROM oncesink_ledger))"

static const struct check CHECKS[] = {
    {"references", "SELECT printf('a row of %s names a row of %s that isn''t there (rowid %s)', "
                   "\"table\", parent, "
                   "coalesce(rowid, '-')) AS finding FROM pragma_foreign_key_check WHERE \"table\" "
                   "GLOB 'oncesink_*'"},
    {"ledger",
     "SELECT printf('oncesink_ledger has %d rows', count(*)) AS finding FROM oncesink_ledger "
     "HAVING count(*) <> 1 UNION ALL "
     "SELECT printf('incarnation %s is not among those that began', incarnation) FROM "
     "oncesink_ledger "
     "WHERE incarnation IS NOT NULL AND incarnation NOT IN (SELECT incarnation FROM "
     "oncesink_incarnation)"},
    {"numbers",
     "SELECT printf('%d batches are in doubt', count(*)) AS finding FROM oncesink_batch "
     "WHERE state <> 'settled' HAVING count(*) > 1 UNION ALL "
     "SELECT printf('batch %d is in doubt, but the last batch is %d and the last settled %d', "
     "b.batch, l.batch, "
     "l.settled) FROM oncesink_batch b, oncesink_ledger l "
     "WHERE b.state <> 'settled' AND (b.batch <> l.batch OR b.batch <= l.settled) UNION ALL "
     "SELECT printf('batch %d should be there and isn''t', p.batch + 1) FROM "
     "(SELECT pruned AS batch FROM oncesink_ledger UNION ALL SELECT batch FROM oncesink_batch) p, "
     "oncesink_ledger l "
     "WHERE p.batch >= l.pruned AND p.batch < l.batch AND p.batch + 1 NOT IN (SELECT batch FROM "
     "oncesink_batch) "
     "UNION ALL SELECT printf('batch %d should not be there (pruned up to %d, last %d)', b.batch, "
     "l.pruned, l.batch) "
     "FROM oncesink_batch b, oncesink_ledger l WHERE b.batch <= l.pruned OR b.batch > l.batch"},
    {"chain",
     "WITH " STEPS ", linked AS (SELECT *, lag(stop) OVER life AS before FROM step "
     "WINDOW life AS (PARTITION BY topic, partition ORDER BY batch, kind, jump)) "
     "SELECT printf('''%s''[%d]: %s %d begins at %d, but what came before ended at %d', topic, "
     "partition, "
     "iif(kind = 0, 'batch', 'a jump after batch'), batch, start, before) AS finding FROM linked "
     "WHERE before IS NOT NULL AND before <> start UNION ALL "
     "SELECT printf('''%s''[%d]: the first batch %d begins at %d, but the job''s first offset is "
     "%d', l.topic, "
     "l.partition, l.batch, l.start, i.first_offset) FROM linked l JOIN oncesink_input i USING "
     "(topic, partition) "
     "WHERE l.before IS NULL AND l.start <> i.first_offset AND (SELECT pruned FROM "
     "oncesink_ledger) = 0"},
    {"next offset",
     "WITH " STEPS
     ", last AS (SELECT topic, partition, stop, row_number() OVER (PARTITION BY topic, partition "
     "ORDER BY batch DESC, kind DESC, jump DESC) AS place FROM step WHERE NOT open) "
     "SELECT printf('''%s''[%d]: the next offset is %d, but what is settled ends at %d', i.topic, "
     "i.partition, "
     "i.next_offset, l.stop) AS finding FROM last l JOIN oncesink_input i USING (topic, partition) "
     "WHERE l.place = 1 AND l.stop <> i.next_offset UNION ALL "
     "SELECT printf('''%s''[%d]: the next offset is %d, but batch %d in doubt begins at %d', "
     "i.topic, i.partition, "
     "i.next_offset, r.batch, r.from_offset) FROM oncesink_batch b JOIN oncesink_batch_range r "
     "USING (batch) "
     "JOIN oncesink_input i USING (topic, partition) WHERE b.state <> 'settled' AND r.from_offset "
     "<> i.next_offset "
     "UNION ALL SELECT printf('''%s''[%d]: nothing was read, but the next offset is %d and the "
     "first %d', i.topic, "
     "i.partition, i.next_offset, i.first_offset) FROM oncesink_input i "
     "WHERE i.next_offset <> i.first_offset AND (SELECT pruned FROM oncesink_ledger) = 0 "
     "AND NOT EXISTS (SELECT 1 FROM step s WHERE s.topic = i.topic AND s.partition = i.partition "
     "AND NOT s.open)"},
    {"batch sums",
     "SELECT printf('batch %d plans %d records, its ranges have %d', b.batch, b.planned, "
     "coalesce(sum(r.until_offset - r.from_offset), 0)) AS finding FROM oncesink_batch b "
     "LEFT JOIN oncesink_batch_range r USING (batch) GROUP BY b.batch "
     "HAVING b.planned <> coalesce(sum(r.until_offset - r.from_offset), 0) UNION ALL "
     "SELECT printf('batch %d has %d records, its ranges have %d', b.batch, b.records, "
     "coalesce(sum(r.records), 0)) "
     "FROM oncesink_batch b LEFT JOIN oncesink_batch_range r USING (batch) WHERE b.state = "
     "'settled' "
     "GROUP BY b.batch HAVING b.records <> coalesce(sum(r.records), 0) OR count(*) <> "
     "count(r.records) UNION ALL "
     "SELECT printf('batch %d has %d output records, its output partitions have %d', b.batch, "
     "b.outputs, "
     "coalesce(sum(o.records), 0)) FROM oncesink_batch b LEFT JOIN oncesink_batch_output o USING "
     "(batch) "
     "WHERE b.state = 'settled' GROUP BY b.batch HAVING b.outputs <> coalesce(sum(o.records), 0) "
     "UNION ALL "
     "SELECT printf('batch %d is in doubt, but a range of it is settled', b.batch) FROM "
     "oncesink_batch b "
     "JOIN oncesink_batch_range r USING (batch) WHERE b.state <> 'settled' AND r.records IS NOT "
     "NULL GROUP BY b.batch"},
    {"totals",
     "WITH there AS (SELECT count(*) AS batches, coalesce(sum(outcome = 'recovered'), 0) AS "
     "recovered, "
     "coalesce(sum(planned), 0) AS planned, coalesce(sum(records), 0) AS records, "
     "coalesce(sum(outputs), 0) AS outputs, coalesce(sum(found), 0) AS found "
     "FROM oncesink_batch WHERE state = 'settled'), "
     "pair AS (SELECT 'batches' AS what, total_batches AS total, batches AS rows FROM "
     "oncesink_ledger, there "
     "UNION ALL SELECT 'recovered', total_recovered, recovered FROM oncesink_ledger, there "
     "UNION ALL SELECT 'planned', total_planned, planned FROM oncesink_ledger, there "
     "UNION ALL SELECT 'records', total_records, records FROM oncesink_ledger, there "
     "UNION ALL SELECT 'outputs', total_outputs, outputs FROM oncesink_ledger, there "
     "UNION ALL SELECT 'found', total_found, found FROM oncesink_ledger, there) "
     "SELECT printf('the total of %s is %d, the batches that are there have %d', what, total, "
     "rows) AS finding "
     "FROM pair WHERE total < rows OR (total > rows AND (SELECT pruned FROM oncesink_ledger) = 0) "
     "UNION ALL "
     "SELECT printf('the total of records set aside is %d, there are %d', total_set_aside, "
     "(SELECT count(*) FROM oncesink_set_aside)) FROM oncesink_ledger "
     "WHERE total_set_aside <> (SELECT count(*) FROM oncesink_set_aside)"},
    {"partition totals",
     "WITH sums AS (SELECT topic, partition, sum(records) AS rows FROM oncesink_batch_range GROUP "
     "BY 1, 2), "
     "out AS (SELECT topic, partition, sum(records) AS rows FROM oncesink_batch_output GROUP BY 1, "
     "2) "
     "SELECT printf('input ''%s''[%d] counts %d records, its ranges %d', i.topic, i.partition, "
     "i.records, s.rows) "
     "AS finding FROM oncesink_input i JOIN sums s USING (topic, partition) WHERE i.records < "
     "s.rows "
     "OR (i.records > s.rows AND (SELECT pruned FROM oncesink_ledger) = 0) UNION ALL "
     "SELECT printf('output ''%s''[%d] counts %d records, its batches %d', o.topic, o.partition, "
     "o.records, s.rows) "
     "FROM oncesink_output o JOIN out s USING (topic, partition) WHERE o.records < s.rows "
     "OR (o.records > s.rows AND (SELECT pruned FROM oncesink_ledger) = 0)"},
    {"fences", "SELECT printf('batch %d: the fence of ''%s''[%d] is %d, its next offset %d', "
               "b.batch, b.topic, b.partition, "
               "b.fence_offset, o.next_offset) AS finding FROM oncesink_batch_output b "
               "JOIN oncesink_output o USING (topic, partition) "
               "JOIN oncesink_batch USING (batch) "
               "JOIN oncesink_pipeline_output p USING (pipeline, topic) "
               "WHERE b.fence_offset > o.next_offset AND b.records IS NOT NULL "
               /* made anew since, or taken as it is by a person */
               "AND (p.topic_id = o.topic_id OR p.topic_id = '' OR o.topic_id = '') "
               "AND NOT EXISTS (SELECT 1 FROM oncesink_event WHERE kind = 'operator') UNION ALL "
               "SELECT printf('batch %d: delivered to ''%s''[%d], which has no row', b.batch, "
               "b.topic, b.partition) "
               "FROM oncesink_batch_output b LEFT JOIN oncesink_output o USING (topic, partition) "
               "WHERE b.records > 0 AND o.topic IS NULL"},
    {"definitions",
     "SELECT printf('batch %d reads ''%s'', its definition %d doesn''t', r.batch, r.topic, "
     "b.pipeline) AS finding "
     "FROM oncesink_batch_range r JOIN oncesink_batch b USING (batch) WHERE NOT EXISTS "
     "(SELECT 1 FROM oncesink_pipeline_input i WHERE i.pipeline = b.pipeline AND i.topic = "
     "r.topic) UNION ALL "
     "SELECT printf('batch %d writes ''%s''[%d], its definition %d doesn''t', o.batch, o.topic, "
     "o.partition, "
     "b.pipeline) FROM oncesink_batch_output o JOIN oncesink_batch b USING (batch) WHERE NOT "
     "EXISTS "
     "(SELECT 1 FROM oncesink_pipeline_output p WHERE p.pipeline = b.pipeline AND p.topic = "
     "o.topic "
     "AND o.partition < p.partitions) AND NOT EXISTS "
     "(SELECT 1 FROM oncesink_pipeline_input i WHERE i.pipeline = b.pipeline AND i.error_topic = "
     "o.topic)"},
    {"set aside",
     "SELECT printf('a record set aside, ''%s''[%d]@%d, is in no range of batch %d', s.topic, "
     "s.partition, s.offset, "
     "s.batch) AS finding FROM oncesink_set_aside s JOIN oncesink_batch b USING (batch) WHERE NOT "
     "EXISTS "
     "(SELECT 1 FROM oncesink_batch_range r WHERE r.batch = s.batch AND r.topic = s.topic "
     "AND r.partition = s.partition AND s.offset >= r.from_offset AND s.offset < r.until_offset) "
     "UNION ALL "
     "SELECT printf('a record set aside, ''%s''[%d]@%d: batch %d has no fence for ''%s''[%d]', "
     "s.topic, s.partition, "
     "s.offset, s.batch, s.error_topic, s.error_partition) FROM oncesink_set_aside s "
     "JOIN oncesink_batch b USING (batch) WHERE NOT EXISTS (SELECT 1 FROM oncesink_batch_output o "
     "WHERE o.batch = s.batch AND o.topic = s.error_topic AND o.partition = s.error_partition)"},
    {"rate",
     "SELECT printf('the rate comes from batch %d, but the last one settled is %d', r.batch, "
     "l.settled) AS finding FROM oncesink_rate r, oncesink_ledger l WHERE r.batch > l.settled "
     "UNION ALL "
     "SELECT printf('the rate comes from the end of batch %d at %d, but that ended at %d (%s)', "
     "r.batch, r.ended_ms, b.ended_ms, b.outcome) FROM oncesink_rate r JOIN oncesink_batch b "
     "USING (batch) WHERE b.outcome <> 'ok' OR b.ended_ms <> r.ended_ms UNION ALL "
     "SELECT printf('the published rate is %d, the rate %g', published, rate) FROM oncesink_rate "
     "WHERE published <> CAST(rate AS INTEGER) AND (published <> 0 OR error <> 0)"},
    {"progress", "SELECT printf('progress of ''%s''[%d] up to %d belongs to no range in doubt "
                 "(batch %d)', p.topic, p.partition, "
                 "p.offset, p.batch) AS finding FROM oncesink_batch_progress p WHERE NOT EXISTS "
                 "(SELECT 1 FROM oncesink_batch b JOIN oncesink_batch_range r USING (batch) WHERE "
                 "b.batch = p.batch "
                 "AND b.state <> 'settled' AND r.topic = p.topic AND r.partition = p.partition "
                 "AND p.offset >= r.from_offset AND p.offset < r.until_offset)"},
};

struct looking {
    struct ledger *ledger;
    ledger_verify_found *found;
    void *arg;
    int64_t count;
};

static bool look(struct looking *looking, const struct check *check, struct err *err)
{
    enum { FINDING, JSON };
    char *sql = mem_print("SELECT finding, json_object('check', ?, 'finding', finding) FROM (%s)",
                          check->sql);
    sqlite3_stmt *rows = NULL;
    bool row = true;
    bool good = sqlite3_prepare_v2(looking->ledger->db, sql, -1, &rows, NULL) == SQLITE_OK;

    free(sql);
    if (!good) {
        return ledger_error(looking->ledger, err, "cannot check '%s'", check->name);
    }
    ledger_bind_text(rows, 1, check->name);
    while ((good = ledger_step(looking->ledger, rows, &row, err)) && row) {
        looking->count++;
        looking->found(looking->arg, check->name, ledger_text(rows, FINDING),
                       ledger_text(rows, JSON));
    }
    sqlite3_finalize(rows);
    return good || err_wrap(err, "cannot check '%s'", check->name);
}

static bool look_at_all(struct looking *looking, const struct check *checks, size_t count,
                        struct err *err)
{
    for (size_t i = 0; i < count; i++) {
        if (!look(looking, &checks[i], err)) {
            return false;
        }
    }
    return true;
}

bool ledger_verify(struct ledger *ledger, ledger_verify_found *found, void *arg, int64_t *count_out,
                   struct err *err)
{
    struct looking looking = {.ledger = ledger, .found = found, .arg = arg};
    bool good;

    if (!ledger_begin(ledger, err)) {
        return false;
    }
    good = look_at_all(&looking, FILE_CHECKS, sizeof(FILE_CHECKS) / sizeof(FILE_CHECKS[0]), err);
    if (good && looking.count == 0) {
        good = look_at_all(&looking, CHECKS, sizeof(CHECKS) / sizeof(CHECKS[0]), err);
    }
    ledger_rollback(ledger);
    if (good) {
        *count_out = looking.count;
    }
    return good;
}
