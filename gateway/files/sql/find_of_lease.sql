SELECT * FROM files WHERE lease_id = :lease_id AND name = :name;
