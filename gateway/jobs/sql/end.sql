UPDATE jobs SET
    state = :state,
    ended_at = max(:now, coalesce(started_at, created_at)),
    expires_at = :now + result_ttl_s,
    output = :output,
    failure = :failure,
    logs = :logs
WHERE id = :id AND state IN (SELECT value FROM json_each(:sources))
    AND (:attempt IS NULL OR attempts = :attempt)
    AND (:worker IS NULL OR worker = :worker)
RETURNING *;
