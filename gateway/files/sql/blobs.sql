SELECT id, blob FROM files;
