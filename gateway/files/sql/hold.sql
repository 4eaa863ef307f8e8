INSERT OR IGNORE INTO holds (job_id, file_id) VALUES (:job_id, :file_id);
