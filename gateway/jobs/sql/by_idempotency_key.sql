SELECT * FROM jobs WHERE owner = :owner AND idempotency_key = :key;
