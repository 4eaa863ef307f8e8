INSERT OR REPLACE INTO runpod_folders (lease_id, place, life_s) VALUES (:lease_id, :place, :life_s);
