UPDATE files SET media_type = :media_type, size = :size, sha256 = :sha256, blob = :blob, expires_at = :expires_at
WHERE id = :id;
