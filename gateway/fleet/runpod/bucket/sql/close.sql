UPDATE runpod_folders SET closed_at = :now, look_at = :now, life_s = min(life_s, :life_s)
WHERE lease_id = :lease_id AND place = :place;
