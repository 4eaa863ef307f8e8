SELECT id FROM jobs WHERE owner = :owner AND door = :door AND state = 'queued';
