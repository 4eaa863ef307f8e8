UPDATE jobs SET state = 'queued', worker = NULL, started_at = NULL, strikes = strikes + :strikes
WHERE id = :id AND state IN (SELECT value FROM json_each(:sources))
    AND attempts = :attempt
    AND (:worker IS NULL OR worker = :worker)
RETURNING *;
