INSERT INTO uploads (id, name, owner, ttl_s, expires_at) VALUES (:id, :name, :owner, :ttl_s, :expires_at);
