create table files (
    id text primary key,
    name text not null,
    media_type text not null,
    size integer not null,
    sha256 text not null,
    blob text not null unique,
    kind text not null,
    owner text not null,
    public integer not null,
    created_at real not null,
    expires_at real,
    job_id text,
    lease_id text
) strict, without rowid;

create unique index files_of_lease on files (lease_id, name) where lease_id is not null;
create index files_of_job on files (job_id) where job_id is not null;
create index files_expiry on files (expires_at) where expires_at is not null;

-- Files that a job's input refers to: none of them goes while the job is there.
create table file_uses (
    job_id text not null,
    file_id text not null,
    primary key (job_id, file_id)
) strict, without rowid;

create index file_uses_of_file on file_uses (file_id);
