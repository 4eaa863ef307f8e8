update files set lease_id = null, expires_at = :expires_at where job_id = :job_id and lease_id = :lease_id
