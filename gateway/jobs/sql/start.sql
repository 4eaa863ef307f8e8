UPDATE jobs SET state = 'running', attempts = attempts + 1, worker = :worker, started_at = :now
WHERE id = :id AND state IN (SELECT value FROM json_each(:sources))
RETURNING *;
