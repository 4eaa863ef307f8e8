"""Where finished pictures go: a bucket, the gateway's file store, the result itself, or a folder."""
