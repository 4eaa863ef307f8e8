"""Files of the gateway: results, uploads and inputs, kept under the data directory and served at `/files`."""
