SELECT * FROM jobs WHERE state IN ('queued', 'running') ORDER BY seq;
