DELETE FROM files
WHERE id IN (
    SELECT id FROM files
    WHERE expires_at <= :now AND NOT EXISTS (SELECT 1 FROM holds WHERE file_id = files.id)
    LIMIT :limit
)
RETURNING blob;
