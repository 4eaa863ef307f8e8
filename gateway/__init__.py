"""The HTTP gateway: doors for clients, one durable queue, and the workers that empty it."""
