"""Fooocus-API's requests and answers, as its clients send and expect them."""
