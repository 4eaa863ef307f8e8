"""Jobs: their states, the durable store, and the queue doors and workers share."""
