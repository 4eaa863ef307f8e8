SELECT lease_id FROM runpod_folders WHERE place = :place AND closed_at IS NULL;
