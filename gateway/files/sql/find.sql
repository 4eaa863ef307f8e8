SELECT * FROM files
WHERE id = :id
    AND (expires_at IS NULL OR expires_at > :now OR EXISTS (SELECT 1 FROM holds WHERE file_id = files.id));
