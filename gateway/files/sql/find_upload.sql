SELECT * FROM uploads WHERE id = :id AND expires_at > :now;
