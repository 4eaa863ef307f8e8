SELECT delivery_id, at, seconds, status, error FROM attempts
WHERE delivery_id IN (SELECT id FROM deliveries WHERE job_id = :job_id)
ORDER BY delivery_id, number;
