SELECT lease_id, endpoint, remote_id FROM runpod_jobs ORDER BY at;
