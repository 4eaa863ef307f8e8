select * from files where lease_id = :lease_id and name = :name
