-- Inputs taken out of jobs that are gone now.
DELETE FROM files
WHERE kind = 'input'
    AND id IN (SELECT file_id FROM holds WHERE job_id = :job_id)
    AND NOT EXISTS (SELECT 1 FROM holds WHERE file_id = files.id AND job_id <> :job_id)
RETURNING blob;
