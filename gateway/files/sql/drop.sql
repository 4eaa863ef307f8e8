delete from files where id = :id returning blob
