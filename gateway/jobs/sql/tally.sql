SELECT count(*) FROM jobs
WHERE owner = :owner AND door = :door AND state IN (SELECT value FROM json_each(:states));
