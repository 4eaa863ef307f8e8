-- What was handed to a RunPod endpoint and has not been settled. `remote_id` is empty while a job is on its way there.
CREATE TABLE runpod_jobs (
    lease_id TEXT PRIMARY KEY,
    endpoint TEXT NOT NULL,
    remote_id TEXT,
    at REAL NOT NULL
) STRICT, WITHOUT ROWID;
