-- By hand: once more from the start, under the same id.
UPDATE deliveries SET state = 'pending', attempts = 0, next_at = :now
WHERE id = :id AND job_id = :job_id AND state <> 'pending'
RETURNING *;
