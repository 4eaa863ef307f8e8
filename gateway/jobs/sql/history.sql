SELECT * FROM jobs
WHERE owner = :owner AND (:door IS NULL OR door = :door)
    AND seq < coalesce((SELECT seq FROM jobs WHERE id = :before), 9223372036854775807)
ORDER BY seq DESC LIMIT :limit;
