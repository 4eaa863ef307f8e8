INSERT INTO files (
    id, name, media_type, size, sha256, blob, kind, owner, public, created_at, expires_at, job_id, lease_id
) VALUES (
    :id, :name, :media_type, :size, :sha256, :blob, :kind, :owner, :public, :created_at, :expires_at, :job_id,
    :lease_id
);
