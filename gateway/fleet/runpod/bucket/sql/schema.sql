-- Folders of a bucket, one for each lease that went to an endpoint by it. `closed_at` is empty while the job is there;
-- then the folder is emptied at `look_at`, again and again until `life_s` is over: a straggler may still write.
CREATE TABLE runpod_folders (
    lease_id TEXT PRIMARY KEY,
    place TEXT NOT NULL,
    life_s REAL NOT NULL,
    closed_at REAL,
    look_at REAL
) STRICT, WITHOUT ROWID;
CREATE INDEX runpod_folders_due ON runpod_folders (look_at) WHERE look_at IS NOT NULL;
