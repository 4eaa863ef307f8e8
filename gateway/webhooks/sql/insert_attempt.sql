INSERT INTO attempts (delivery_id, number, at, seconds, status, error)
SELECT :delivery_id, coalesce(max(number), 0) + 1, :at, :seconds, :status, :error
FROM attempts WHERE delivery_id = :delivery_id;
