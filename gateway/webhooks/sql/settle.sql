UPDATE deliveries
SET state = :state, attempts = attempts + 1, next_at = :next_at, last_status = :status, last_error = :error
WHERE id = :id;
