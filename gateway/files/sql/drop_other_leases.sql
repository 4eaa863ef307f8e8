delete from files where job_id = :job_id and lease_id is not null and lease_id is not :kept returning blob
