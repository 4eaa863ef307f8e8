DELETE FROM jobs WHERE id = :id AND state IN ('completed', 'failed', 'cancelled');
