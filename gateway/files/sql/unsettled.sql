-- Jobs whose files wait to be settled, with the last lease that made some (attempts are compared as numbers).
SELECT job_id, job_id || '-a' || max(CAST(substr(lease_id, length(job_id) + 3) AS INTEGER)) AS last_lease
FROM files WHERE lease_id IS NOT NULL GROUP BY job_id;
