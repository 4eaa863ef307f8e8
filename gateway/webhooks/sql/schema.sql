-- What became of each attempt of a delivery (table `deliveries` is the queue's: rows come with a job's end).
CREATE TABLE attempts (
    delivery_id TEXT NOT NULL,
    number INTEGER NOT NULL,
    at REAL NOT NULL,
    seconds REAL NOT NULL,
    status INTEGER,
    error TEXT,
    PRIMARY KEY (delivery_id, number)
) STRICT, WITHOUT ROWID;

CREATE TRIGGER attempts_go_with_their_delivery AFTER DELETE ON deliveries
BEGIN
    DELETE FROM attempts WHERE delivery_id = old.id;
END;
