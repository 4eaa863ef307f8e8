SELECT * FROM jobs
WHERE owner = :owner AND (:door IS NULL OR door = :door)
    AND state IN (SELECT value FROM json_each(:states))
    AND seq < coalesce((SELECT seq FROM jobs WHERE id = :before), 9223372036854775807)
ORDER BY seq DESC LIMIT :limit OFFSET :offset;
