DELETE FROM files WHERE job_id = :job_id RETURNING blob;
