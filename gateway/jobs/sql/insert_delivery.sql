INSERT INTO deliveries (id, job_id, url, dialect, next_at, created_at)
VALUES (:id, :job_id, :url, :dialect, :now, :now);
