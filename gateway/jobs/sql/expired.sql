SELECT id FROM jobs
WHERE expires_at <= :now
    AND NOT EXISTS (SELECT 1 FROM deliveries WHERE job_id = jobs.id AND deliveries.state = 'pending')
ORDER BY expires_at LIMIT :limit;
