INSERT INTO keys (id, name, hash, jobs_per_minute, max_waiting, created_at)
VALUES (:id, :name, :hash, :jobs_per_minute, :max_waiting, :created_at);
