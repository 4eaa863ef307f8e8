SELECT id, name, hash, jobs_per_minute, max_waiting, created_at, revoked_at FROM keys ORDER BY created_at, id;
