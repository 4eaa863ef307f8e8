DELETE FROM runpod_jobs WHERE lease_id = :lease_id;
