SELECT logs FROM jobs WHERE id = :id;
