INSERT INTO jobs (
    id, owner, door, app, state, low_priority, max_attempts, created_at, start_within_s, end_within_s,
    execution_timeout_s, result_ttl_s, file_ttl_s, webhooks, extra, input, idempotency_key, body_hash
) VALUES (
    :id, :owner, :door, :app, 'queued', :low_priority, :max_attempts, :created_at, :start_within_s,
    :end_within_s, :execution_timeout_s, :result_ttl_s, :file_ttl_s, :webhooks, :extra, :input, :idempotency_key, :body_hash
) RETURNING *;
