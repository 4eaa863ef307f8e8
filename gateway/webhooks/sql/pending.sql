SELECT * FROM deliveries WHERE state = 'pending';
