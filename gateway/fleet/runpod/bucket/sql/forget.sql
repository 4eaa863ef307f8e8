DELETE FROM runpod_folders WHERE lease_id = :lease_id AND place = :place;
