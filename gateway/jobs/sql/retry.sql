UPDATE jobs SET
    state = 'queued', worker = NULL, started_at = NULL, ended_at = NULL, expires_at = NULL, output = NULL,
    failure = NULL, logs = NULL, strikes = 0, start_within_s = NULL,
    end_within_s = NULL
WHERE id = :id AND state IN (SELECT value FROM json_each(:sources))
RETURNING *;
