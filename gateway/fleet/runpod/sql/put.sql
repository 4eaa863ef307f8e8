INSERT OR REPLACE INTO runpod_jobs (lease_id, endpoint, remote_id, at) VALUES (:lease_id, :endpoint, :remote_id, :at);
