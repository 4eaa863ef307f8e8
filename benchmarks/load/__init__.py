"""How much the gateway bears: durable submits, polls of many clients, a long queue, memory over many jobs."""
