-- The ledger's first layout. README.md in this directory says what each table and view promises.
--
-- Every table and index of ours begins with oncesink_, so that a user's tables can live in the same file. Columns end
-- in their unit; `…_ms` are milliseconds since 1970 on the job's clock, `…_wall_ms` on the wall clock (labels only).
-- A state that must not exist is refused here, whoever writes: CHECK, unique indexes and triggers come before code.

-- Who this is, how far it is, and what it has done since it was made. One row.
CREATE TABLE oncesink_ledger (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    uuid TEXT NOT NULL CHECK (length(uuid) = 32 AND uuid NOT GLOB '*[^0-9a-f]*'),
    job TEXT NOT NULL CHECK (length(job) > 0),
    created_wall_ms INTEGER NOT NULL CHECK (created_wall_ms >= 0),
    incarnation TEXT CHECK (length(incarnation) = 8 AND incarnation NOT GLOB '*[^0-9a-f]*'),
    batch INTEGER NOT NULL DEFAULT 0 CHECK (batch >= 0),
    settled INTEGER NOT NULL DEFAULT 0 CHECK (settled = batch OR settled = batch - 1),
    pruned INTEGER NOT NULL DEFAULT 0 CHECK (pruned BETWEEN 0 AND settled),
    last_ms INTEGER NOT NULL DEFAULT 0 CHECK (last_ms >= 0),
    total_batches INTEGER NOT NULL DEFAULT 0 CHECK (total_batches >= 0),
    total_recovered INTEGER NOT NULL DEFAULT 0 CHECK (total_recovered BETWEEN 0 AND total_batches),
    total_planned INTEGER NOT NULL DEFAULT 0 CHECK (total_planned >= 0),
    total_records INTEGER NOT NULL DEFAULT 0 CHECK (total_records BETWEEN 0 AND total_planned),
    total_outputs INTEGER NOT NULL DEFAULT 0 CHECK (total_outputs >= 0),
    total_found INTEGER NOT NULL DEFAULT 0 CHECK (total_found BETWEEN 0 AND total_outputs),
    total_set_aside INTEGER NOT NULL DEFAULT 0 CHECK (total_set_aside >= 0)
) STRICT;

-- Every start of the process, every producer that replaced another in a running one, and those that were found in marks
-- and outputs when a person mended the ledger; never pruned (a mark or a record that names an unknown one isn't ours).
CREATE TABLE oncesink_incarnation (
    incarnation TEXT PRIMARY KEY CHECK (length(incarnation) = 8 AND incarnation NOT GLOB '*[^0-9a-f]*'),
    began_with TEXT NOT NULL CHECK (began_with IN ('start', 'producer', 'found')),
    began_wall_ms INTEGER NOT NULL CHECK (began_wall_ms >= 0)
) STRICT, WITHOUT ROWID;

-- Input partitions: where the next batch begins.
CREATE TABLE oncesink_input (
    topic TEXT NOT NULL CHECK (length(topic) BETWEEN 1 AND 249),
    partition INTEGER NOT NULL CHECK (partition >= 0),
    topic_id TEXT NOT NULL DEFAULT '',
    first_offset INTEGER NOT NULL CHECK (first_offset >= 0),
    next_offset INTEGER NOT NULL CHECK (next_offset >= 0),
    leader_epoch INTEGER NOT NULL DEFAULT -1 CHECK (leader_epoch >= -1),
    end_offset INTEGER CHECK (end_offset >= 0),
    end_ms INTEGER CHECK ((end_ms IS NULL) = (end_offset IS NULL)),
    records INTEGER NOT NULL DEFAULT 0 CHECK (records >= 0),
    PRIMARY KEY (topic, partition)
) STRICT, WITHOUT ROWID;

-- Where an input partition's next offset was moved other than by settling a batch: data lost, or a person's act.
CREATE TABLE oncesink_jump (
    jump INTEGER PRIMARY KEY,
    batch INTEGER NOT NULL CHECK (batch >= 0),
    topic TEXT NOT NULL,
    partition INTEGER NOT NULL,
    from_offset INTEGER NOT NULL CHECK (from_offset >= 0),
    to_offset INTEGER NOT NULL CHECK (to_offset >= 0 AND to_offset <> from_offset)
) STRICT;

-- Output partitions: where the next batch's records can appear at the earliest.
CREATE TABLE oncesink_output (
    topic TEXT NOT NULL CHECK (length(topic) BETWEEN 1 AND 249),
    partition INTEGER NOT NULL CHECK (partition >= 0),
    topic_id TEXT NOT NULL DEFAULT '',
    next_offset INTEGER NOT NULL CHECK (next_offset >= 0),
    refreshed_wall_ms INTEGER NOT NULL CHECK (refreshed_wall_ms >= 0),
    records INTEGER NOT NULL DEFAULT 0 CHECK (records >= 0),
    PRIMARY KEY (topic, partition)
) STRICT, WITHOUT ROWID;

-- Definitions: what a batch does. Never changed, so that a batch is finished as it was begun.
CREATE TABLE oncesink_pipeline (
    pipeline INTEGER PRIMARY KEY,
    delivery TEXT NOT NULL CHECK (delivery IN ('idempotent', 'transactional')),
    provenance TEXT NOT NULL CHECK (provenance IN ('headers', 'positions', 'none')),
    partitioner TEXT NOT NULL CHECK (partitioner IN ('same', 'key')),
    isolation TEXT NOT NULL CHECK (isolation IN ('read_committed', 'read_uncommitted')),
    on_data_loss TEXT NOT NULL CHECK (on_data_loss IN ('stop', 'continue')),
    on_bad_record TEXT NOT NULL CHECK (on_bad_record IN ('stop', 'set-aside'))
) STRICT;

CREATE TABLE oncesink_pipeline_output (
    pipeline INTEGER NOT NULL REFERENCES oncesink_pipeline (pipeline),
    topic TEXT NOT NULL CHECK (length(topic) BETWEEN 1 AND 249),
    topic_id TEXT NOT NULL,
    partitions INTEGER NOT NULL CHECK (partitions > 0),
    PRIMARY KEY (pipeline, topic)
) STRICT, WITHOUT ROWID;

CREATE TABLE oncesink_pipeline_input (
    pipeline INTEGER NOT NULL REFERENCES oncesink_pipeline (pipeline),
    topic TEXT NOT NULL CHECK (length(topic) BETWEEN 1 AND 249),
    topic_id TEXT NOT NULL,
    output_topic TEXT NOT NULL,
    error_topic TEXT NOT NULL,
    PRIMARY KEY (pipeline, topic),
    FOREIGN KEY (pipeline, output_topic) REFERENCES oncesink_pipeline_output (pipeline, topic)
) STRICT, WITHOUT ROWID;

CREATE TRIGGER oncesink_pipeline_kept BEFORE UPDATE ON oncesink_pipeline
BEGIN SELECT RAISE(ABORT, 'a stored definition never changes'); END;
CREATE TRIGGER oncesink_pipeline_output_kept BEFORE UPDATE ON oncesink_pipeline_output
BEGIN SELECT RAISE(ABORT, 'a stored definition never changes'); END;
CREATE TRIGGER oncesink_pipeline_input_kept BEFORE UPDATE ON oncesink_pipeline_input
BEGIN SELECT RAISE(ABORT, 'a stored definition never changes'); END;

-- Batches. What a plan holds is fixed when it is stored; the outcome comes with the state `settled`.
CREATE TABLE oncesink_batch (
    batch INTEGER PRIMARY KEY CHECK (batch >= 1),
    pipeline INTEGER NOT NULL REFERENCES oncesink_pipeline (pipeline),
    incarnation TEXT NOT NULL REFERENCES oncesink_incarnation (incarnation),
    state TEXT NOT NULL CHECK (state IN ('planned', 'staged', 'settled')),
    tick_ms INTEGER NOT NULL,
    started_ms INTEGER NOT NULL,
    planned_wall_ms INTEGER NOT NULL,
    planned INTEGER NOT NULL CHECK (planned > 0),
    rate REAL CHECK (rate > 0),
    limited_by TEXT NOT NULL CHECK (limited_by IN ('none', 'cap', 'initial', 'estimator', 'minimum', 'records', 'memory')),
    outcome TEXT CHECK (outcome IN ('ok', 'recovered')),
    ended_ms INTEGER,
    settled_wall_ms INTEGER,
    scheduling_ms INTEGER CHECK (scheduling_ms >= 0),
    processing_ms INTEGER CHECK (processing_ms >= 0),
    records INTEGER CHECK (records BETWEEN 0 AND planned),
    outputs INTEGER CHECK (outputs >= 0),
    found INTEGER CHECK (found BETWEEN 0 AND outputs),
    CHECK ((state = 'settled') = (outcome IS NOT NULL)),
    CHECK ((outcome IS NULL) = (ended_ms IS NULL)),
    CHECK ((outcome IS NULL) = (settled_wall_ms IS NULL)),
    CHECK ((outcome IS NULL) = (scheduling_ms IS NULL)),
    CHECK ((outcome IS NULL) = (processing_ms IS NULL)),
    CHECK ((outcome IS NULL) = (records IS NULL)),
    CHECK ((outcome IS NULL) = (outputs IS NULL)),
    CHECK ((outcome IS NULL) = (found IS NULL))
) STRICT;

-- At most one batch is unsettled.
CREATE UNIQUE INDEX oncesink_batch_unsettled ON oncesink_batch (state <> 'settled') WHERE state <> 'settled';

CREATE TRIGGER oncesink_batch_plan_kept
BEFORE UPDATE OF batch, pipeline, incarnation, tick_ms, started_ms, planned_wall_ms, planned, rate, limited_by
ON oncesink_batch
BEGIN SELECT RAISE(ABORT, 'a stored plan never changes'); END;
-- ROLLBACK, since ABORT would make SQLite keep a statement journal at each settling: a tenth of its time.
CREATE TRIGGER oncesink_batch_outcome_kept BEFORE UPDATE ON oncesink_batch WHEN OLD.state = 'settled'
BEGIN SELECT RAISE(ROLLBACK, 'a settled batch never changes'); END;

-- What a batch reads: offsets [from, until) of an input partition. `records` comes with settling.
CREATE TABLE oncesink_batch_range (
    batch INTEGER NOT NULL REFERENCES oncesink_batch (batch),
    topic TEXT NOT NULL,
    partition INTEGER NOT NULL,
    from_offset INTEGER NOT NULL CHECK (from_offset >= 0),
    until_offset INTEGER NOT NULL CHECK (until_offset > from_offset),
    end_offset INTEGER NOT NULL CHECK (end_offset >= until_offset),
    leader_epoch INTEGER NOT NULL CHECK (leader_epoch >= -1),
    records INTEGER CHECK (records BETWEEN 0 AND until_offset - from_offset),
    PRIMARY KEY (batch, topic, partition),
    FOREIGN KEY (topic, partition) REFERENCES oncesink_input (topic, partition)
) STRICT, WITHOUT ROWID;

CREATE TRIGGER oncesink_batch_range_kept
BEFORE UPDATE OF batch, topic, partition, from_offset, until_offset ON oncesink_batch_range
BEGIN SELECT RAISE(ABORT, 'a stored plan never changes'); END;

-- Where a batch's records can appear: at or above the fence. `records` and `until_offset` come with settling.
CREATE TABLE oncesink_batch_output (
    batch INTEGER NOT NULL REFERENCES oncesink_batch (batch),
    topic TEXT NOT NULL,
    partition INTEGER NOT NULL CHECK (partition >= 0),
    fence_offset INTEGER NOT NULL CHECK (fence_offset >= 0),
    checkpoint_offset INTEGER CHECK (checkpoint_offset >= fence_offset),
    until_offset INTEGER CHECK (until_offset >= fence_offset),
    records INTEGER CHECK (records >= 0),
    PRIMARY KEY (batch, topic, partition),
    CHECK ((records IS NULL) = (until_offset IS NULL))
) STRICT, WITHOUT ROWID;

CREATE TRIGGER oncesink_batch_output_kept
BEFORE UPDATE OF batch, topic, partition, fence_offset ON oncesink_batch_output
BEGIN SELECT RAISE(ABORT, 'a stored fence never changes'); END;

-- The unsettled batch's last checkpoint: up to which input offset a source has been delivered to an output partition,
-- and how many records that were.
CREATE TABLE oncesink_batch_progress (
    batch INTEGER NOT NULL REFERENCES oncesink_batch (batch),
    topic TEXT NOT NULL,
    partition INTEGER NOT NULL,
    output_topic TEXT NOT NULL,
    output_partition INTEGER NOT NULL,
    offset INTEGER NOT NULL CHECK (offset >= 0),
    records INTEGER NOT NULL CHECK (records >= 0),
    PRIMARY KEY (batch, topic, partition, output_topic, output_partition)
) STRICT, WITHOUT ROWID;

-- Records that were put aside, with their bytes; never pruned.
CREATE TABLE oncesink_set_aside (
    set_aside INTEGER PRIMARY KEY,
    batch INTEGER NOT NULL CHECK (batch >= 1),
    topic TEXT NOT NULL,
    partition INTEGER NOT NULL CHECK (partition >= 0),
    offset INTEGER NOT NULL CHECK (offset >= 0),
    timestamp_ms INTEGER NOT NULL,
    key BLOB,
    value BLOB,
    headers BLOB,
    reason TEXT NOT NULL,
    error_topic TEXT NOT NULL,
    error_partition INTEGER NOT NULL CHECK (error_partition >= 0),
    wall_ms INTEGER NOT NULL,
    UNIQUE (batch, topic, partition, offset)
) STRICT;

-- What happened beside the batches.
CREATE TABLE oncesink_event (
    event INTEGER PRIMARY KEY,
    wall_ms INTEGER NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('start', 'stop', 'recovery', 'refusal', 'double', 'gap', 'topic', 'ticks',
                                       'bad-record', 'mark', 'producer', 'operator')),
    batch INTEGER CHECK (batch >= 1),
    incarnation TEXT,
    text TEXT NOT NULL
) STRICT;

-- For people: short names, times as ISO-8601 in UTC.

CREATE VIEW batches AS
SELECT b.batch,
       strftime('%Y-%m-%dT%H:%M:%fZ', b.tick_ms / 1000.0, 'unixepoch') AS tick,
       b.state, b.planned, b.records, b.rate, b.limited_by, b.scheduling_ms, b.processing_ms,
       b.ended_ms AS time_ms, b.outcome, b.outputs, b.found,
       (SELECT count(*) FROM oncesink_set_aside s WHERE s.batch = b.batch) AS set_aside,
       b.incarnation,
       strftime('%Y-%m-%dT%H:%M:%fZ', b.planned_wall_ms / 1000.0, 'unixepoch') AS planned_at,
       strftime('%Y-%m-%dT%H:%M:%fZ', b.settled_wall_ms / 1000.0, 'unixepoch') AS settled_at
FROM oncesink_batch b
ORDER BY b.batch DESC;

CREATE VIEW in_doubt AS
SELECT batch,
       strftime('%Y-%m-%dT%H:%M:%fZ', tick_ms / 1000.0, 'unixepoch') AS tick,
       state, planned, incarnation,
       strftime('%Y-%m-%dT%H:%M:%fZ', planned_wall_ms / 1000.0, 'unixepoch') AS planned_at
FROM oncesink_batch
WHERE state <> 'settled';

CREATE VIEW lag AS
SELECT topic, partition, next_offset, end_offset,
       max(end_offset - next_offset, 0) AS lag,
       strftime('%Y-%m-%dT%H:%M:%fZ', end_ms / 1000.0, 'unixepoch') AS seen,
       records
FROM oncesink_input
ORDER BY topic, partition;

CREATE VIEW totals AS
SELECT total_batches AS batches, total_planned AS planned, total_records AS records, total_outputs AS outputs,
       total_found AS found, total_recovered AS recovered, total_set_aside AS set_aside,
       (SELECT count(*) FROM oncesink_incarnation WHERE began_with = 'start') AS starts,
       strftime('%Y-%m-%dT%H:%M:%fZ', created_wall_ms / 1000.0, 'unixepoch') AS since
FROM oncesink_ledger;

CREATE VIEW events AS
SELECT strftime('%Y-%m-%dT%H:%M:%fZ', wall_ms / 1000.0, 'unixepoch') AS time, kind, batch, incarnation, text
FROM oncesink_event
ORDER BY event DESC;

-- A set-aside record's key and value as text where their first 1024 bytes are UTF-8 without control characters, else as
-- x'hex'; what is longer than shown ends in its size. `walk` steps from character to character and stays where there is
-- none (UNION drops the repeated row, which ends it).
CREATE VIEW oncesink_set_aside_text AS
SELECT set_aside, field,
       CASE WHEN bytes IS NULL THEN NULL
            WHEN good >= min(length(bytes), 1024) THEN CAST(substr(bytes, 1, good) AS TEXT)
            ELSE 'x''' || lower(hex(substr(bytes, 1, 1024))) || '''' END
       || CASE WHEN length(bytes) > 1024 THEN '… (' || length(bytes) || ' bytes)' ELSE '' END AS text
FROM (SELECT f.*, (
          WITH RECURSIVE walk (at) AS (
              SELECT 0
              UNION
              SELECT at + CASE
                  WHEN hex(substr(f.bytes, at + 1, 1)) GLOB '0[9AD]' THEN 1
                  WHEN hex(substr(f.bytes, at + 1, 1)) GLOB '[2-6]?' THEN 1
                  WHEN hex(substr(f.bytes, at + 1, 1)) GLOB '7[0-9A-E]' THEN 1
                  WHEN hex(substr(f.bytes, at + 1, 2)) GLOB 'C2[AB]?' THEN 2
                  WHEN hex(substr(f.bytes, at + 1, 2)) GLOB 'C[3-9A-F][89AB]?' THEN 2
                  WHEN hex(substr(f.bytes, at + 1, 2)) GLOB 'D?[89AB]?' THEN 2
                  WHEN hex(substr(f.bytes, at + 1, 3)) GLOB 'E0[AB]?[89AB]?' THEN 3
                  WHEN hex(substr(f.bytes, at + 1, 3)) GLOB 'E[1-9ABCEF][89AB]?[89AB]?' THEN 3
                  WHEN hex(substr(f.bytes, at + 1, 3)) GLOB 'ED[89]?[89AB]?' THEN 3
                  WHEN hex(substr(f.bytes, at + 1, 4)) GLOB 'F0[9AB]?[89AB]?[89AB]?' THEN 4
                  WHEN hex(substr(f.bytes, at + 1, 4)) GLOB 'F[123][89AB]?[89AB]?[89AB]?' THEN 4
                  WHEN hex(substr(f.bytes, at + 1, 4)) GLOB 'F48?[89AB]?[89AB]?' THEN 4
                  ELSE 0 END
              FROM walk WHERE at < 1024)
          SELECT max(at) FROM walk) AS good
      FROM (SELECT set_aside, 'key' AS field, key AS bytes FROM oncesink_set_aside
            UNION ALL
            SELECT set_aside, 'value', value FROM oncesink_set_aside) f);

CREATE VIEW set_aside_records AS
SELECT batch, topic, partition, offset, reason,
       (SELECT text FROM oncesink_set_aside_text t WHERE t.set_aside = s.set_aside AND t.field = 'key') AS key,
       (SELECT text FROM oncesink_set_aside_text t WHERE t.set_aside = s.set_aside AND t.field = 'value') AS value,
       CASE WHEN headers IS NULL THEN NULL ELSE 'x''' || lower(hex(headers)) || '''' END AS headers,
       timestamp_ms, error_topic, error_partition,
       strftime('%Y-%m-%dT%H:%M:%fZ', wall_ms / 1000.0, 'unixepoch') AS time
FROM oncesink_set_aside s
ORDER BY set_aside;
