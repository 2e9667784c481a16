-- Two more kinds of events: 'attempt' (a reading of an input partition that got nothing for fetch.timeout.ms) and
-- 'failure' (the last attempt of one: the batch failed, was kept and began again). The table is made anew, since a
-- CHECK can't be changed; views that read it, also a user's own, stay as they are.
PRAGMA legacy_alter_table = ON;
CREATE TABLE oncesink_event_new (
    event INTEGER PRIMARY KEY,
    wall_ms INTEGER NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('start', 'stop', 'recovery', 'refusal', 'double', 'gap', 'topic', 'ticks',
                                       'bad-record', 'mark', 'producer', 'operator', 'attempt', 'failure')),
    batch INTEGER CHECK (batch >= 1),
    incarnation TEXT,
    text TEXT NOT NULL
) STRICT;
INSERT INTO oncesink_event_new SELECT event, wall_ms, kind, batch, incarnation, text FROM oncesink_event;
DROP TABLE oncesink_event;
ALTER TABLE oncesink_event_new RENAME TO oncesink_event;
PRAGMA legacy_alter_table = OFF;
