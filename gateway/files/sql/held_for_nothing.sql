-- Jobs whose inputs are held although their records are gone.
SELECT DISTINCT job_id FROM holds WHERE NOT EXISTS (SELECT 1 FROM jobs WHERE jobs.id = holds.job_id);
