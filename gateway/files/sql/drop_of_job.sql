delete from files where job_id = :job_id returning blob
