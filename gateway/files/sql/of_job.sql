select * from files where job_id = :job_id
