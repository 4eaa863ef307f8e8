delete from files
where id in (
    select id from files
    where expires_at <= :now and not exists (select 1 from file_uses where file_id = files.id)
    limit :limit
)
returning blob
