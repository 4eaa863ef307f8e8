-- Jobs. `attempts` counts hand-outs and only grows: with the id it names a lease, so posts of an earlier one are told
-- apart. `strikes` counts the workers lost on the job. Times are Unix seconds; `expires_at` is set at the end.
CREATE TABLE jobs (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    owner TEXT NOT NULL,
    door TEXT NOT NULL,
    app TEXT NOT NULL,
    state TEXT NOT NULL,
    low_priority INTEGER NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0,
    strikes INTEGER NOT NULL DEFAULT 0,
    max_attempts INTEGER NOT NULL,
    created_at REAL NOT NULL,
    started_at REAL,
    ended_at REAL,
    expires_at REAL,
    worker TEXT,
    start_within_s REAL,
    execution_timeout_s REAL NOT NULL,
    result_ttl_s REAL NOT NULL,
    file_ttl_s REAL NOT NULL,
    webhooks TEXT NOT NULL,
    extra TEXT NOT NULL,
    input TEXT NOT NULL,
    output TEXT,
    failure TEXT,
    logs TEXT,
    idempotency_key TEXT,
    body_hash BLOB
) STRICT;

CREATE UNIQUE INDEX jobs_idempotency ON jobs (owner, idempotency_key) WHERE idempotency_key IS NOT NULL;
CREATE INDEX jobs_of_owner ON jobs (owner, seq);
CREATE INDEX jobs_live ON jobs (seq) WHERE state IN ('queued', 'running');
CREATE INDEX jobs_expiry ON jobs (expires_at) WHERE expires_at IS NOT NULL;

-- The outbox: one row per webhook of a job, written in the transaction of the job's end. State: pending, delivered, failed.
CREATE TABLE deliveries (
    id TEXT PRIMARY KEY,
    job_id TEXT NOT NULL,
    url TEXT NOT NULL,
    dialect TEXT NOT NULL,
    state TEXT NOT NULL DEFAULT 'pending',
    attempts INTEGER NOT NULL DEFAULT 0,
    next_at REAL NOT NULL,
    last_status INTEGER,
    last_error TEXT,
    created_at REAL NOT NULL
) STRICT;

CREATE INDEX deliveries_of_job ON deliveries (job_id);
CREATE INDEX deliveries_due ON deliveries (next_at) WHERE state = 'pending';
