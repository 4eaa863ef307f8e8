"""Keys of clients: kept hashed, checked per request, limited."""
