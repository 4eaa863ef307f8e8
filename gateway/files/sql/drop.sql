DELETE FROM files WHERE id = :id RETURNING blob;
