"""One package for each client's protocol; every door speaks to the same jobs and files."""
