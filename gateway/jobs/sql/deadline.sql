-- How long a job may take in all, waiting and running.
ALTER TABLE jobs ADD COLUMN end_within_s REAL;
