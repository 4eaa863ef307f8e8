SELECT count(*) FROM deliveries WHERE state = 'pending';
