DELETE FROM files WHERE job_id = :job_id AND lease_id IS NOT NULL AND lease_id IS NOT :kept RETURNING blob;
