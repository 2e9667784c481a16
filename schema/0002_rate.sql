-- The back-pressure estimator's state, so that a restart is no cold start: at most one row, written with the outcome of
-- the batch that it comes from. No row: no batch has counted yet, or back-pressure was never on.
CREATE TABLE oncesink_rate (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    batch INTEGER NOT NULL CHECK (batch >= 1),
    ended_ms INTEGER NOT NULL CHECK (ended_ms >= 0),
    rate REAL NOT NULL CHECK (rate > 0 AND rate < 9e999),
    error REAL NOT NULL CHECK (error > -9e999 AND error < 9e999),
    published INTEGER NOT NULL CHECK (published >= 0)
) STRICT;
