DELETE FROM holds WHERE job_id = :job_id;
