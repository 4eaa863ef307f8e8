UPDATE runpod_folders SET look_at = :look_at WHERE lease_id = :lease_id AND place = :place AND closed_at IS NOT NULL;
