SELECT count(*) FROM runpod_folders WHERE place <> :place;
