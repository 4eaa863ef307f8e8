-- Kept files. `blob` is the content's name on disk. `lease_id` is set while nobody knows whether the attempt that made
-- the file becomes the job's result. Times are Unix seconds; no `expires_at`: no end of its own.
CREATE TABLE files (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    media_type TEXT NOT NULL,
    size INTEGER NOT NULL,
    sha256 TEXT NOT NULL,
    blob TEXT NOT NULL UNIQUE,
    kind TEXT NOT NULL,
    owner TEXT NOT NULL,
    public INTEGER NOT NULL,
    created_at REAL NOT NULL,
    expires_at REAL,
    job_id TEXT,
    lease_id TEXT
) STRICT, WITHOUT ROWID;

CREATE UNIQUE INDEX files_of_lease ON files (lease_id, name) WHERE lease_id IS NOT NULL;
CREATE INDEX files_of_job ON files (job_id) WHERE job_id IS NOT NULL;
CREATE INDEX files_expiry ON files (expires_at) WHERE expires_at IS NOT NULL;

-- Files that a job's input refers to: none of them goes while the job is there.
CREATE TABLE holds (
    job_id TEXT NOT NULL,
    file_id TEXT NOT NULL,
    PRIMARY KEY (job_id, file_id)
) STRICT, WITHOUT ROWID;

CREATE INDEX holds_of_file ON holds (file_id);

-- Files announced but not there yet; `id` becomes the file's. `ttl_s` counts from the arrival.
CREATE TABLE uploads (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    owner TEXT NOT NULL,
    ttl_s REAL NOT NULL,
    expires_at REAL NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX uploads_expiry ON uploads (expires_at);
