SELECT lease_id, closed_at, life_s FROM runpod_folders WHERE look_at <= :now AND place = :place ORDER BY look_at LIMIT 64;
