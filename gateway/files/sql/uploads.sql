SELECT id FROM uploads;
