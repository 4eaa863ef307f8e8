UPDATE files SET lease_id = NULL, expires_at = :expires_at WHERE job_id = :job_id AND lease_id = :lease_id;
