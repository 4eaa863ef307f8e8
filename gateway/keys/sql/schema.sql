-- Keys as they are kept: `hash` is the SHA-256 of the whole key, which itself is shown once and never stored.
CREATE TABLE keys (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    hash BLOB NOT NULL,
    jobs_per_minute INTEGER,
    max_waiting INTEGER,
    created_at REAL NOT NULL,
    revoked_at REAL
) STRICT;
