select * from files where id = :id
