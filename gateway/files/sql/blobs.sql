select id, blob from files
