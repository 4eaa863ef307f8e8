-- Jobs that files wait for: to settle their leases, or to be let go of.
SELECT job_id, max(lease_id) AS last_lease FROM files WHERE lease_id IS NOT NULL GROUP BY job_id
UNION ALL
SELECT DISTINCT job_id, NULL FROM holds;
