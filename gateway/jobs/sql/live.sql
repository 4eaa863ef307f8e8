SELECT id, seq, owner, door, low_priority, execution_timeout_s, start_within_s, end_within_s, created_at, started_at, state,
    worker, attempts
FROM jobs WHERE state IN ('queued', 'running') ORDER BY seq;
