-- New content under an id that is known already.
update files set media_type = :media_type, size = :size, sha256 = :sha256, blob = :blob where id = :id
