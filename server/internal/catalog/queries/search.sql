-- name: LastNum :one
SELECT CAST(COALESCE(MAX(num), 0) AS BIGINT) FROM recordings;

-- name: RecordingsNumbered :many
SELECT sqlc.embed(recordings), devices.class FROM recordings JOIN devices ON devices.device = recordings.device
WHERE recordings.num IN (sqlc.arg(n0), sqlc.arg(n1), sqlc.arg(n2), sqlc.arg(n3), sqlc.arg(n4), sqlc.arg(n5), sqlc.arg(n6), sqlc.arg(n7), sqlc.arg(n8), sqlc.arg(n9))
ORDER BY recordings.at DESC, recordings.num DESC;

-- name: SharedOriginals :many
SELECT original FROM recordings
WHERE original IN (sqlc.arg(o0), sqlc.arg(o1), sqlc.arg(o2), sqlc.arg(o3), sqlc.arg(o4), sqlc.arg(o5), sqlc.arg(o6), sqlc.arg(o7), sqlc.arg(o8), sqlc.arg(o9))
    AND original <> ''
GROUP BY original HAVING COUNT(*) > 1;

-- name: InsertTokens :exec
INSERT INTO tokens (token, at, num) VALUES
    (sqlc.arg(t0), sqlc.arg(at), sqlc.arg(num)), (sqlc.arg(t1), sqlc.arg(at), sqlc.arg(num)), (sqlc.arg(t2), sqlc.arg(at), sqlc.arg(num)), (sqlc.arg(t3), sqlc.arg(at), sqlc.arg(num)),
    (sqlc.arg(t4), sqlc.arg(at), sqlc.arg(num)), (sqlc.arg(t5), sqlc.arg(at), sqlc.arg(num)), (sqlc.arg(t6), sqlc.arg(at), sqlc.arg(num)), (sqlc.arg(t7), sqlc.arg(at), sqlc.arg(num)),
    (sqlc.arg(t8), sqlc.arg(at), sqlc.arg(num)), (sqlc.arg(t9), sqlc.arg(at), sqlc.arg(num)), (sqlc.arg(t10), sqlc.arg(at), sqlc.arg(num)), (sqlc.arg(t11), sqlc.arg(at), sqlc.arg(num)),
    (sqlc.arg(t12), sqlc.arg(at), sqlc.arg(num)), (sqlc.arg(t13), sqlc.arg(at), sqlc.arg(num)), (sqlc.arg(t14), sqlc.arg(at), sqlc.arg(num)), (sqlc.arg(t15), sqlc.arg(at), sqlc.arg(num))
ON CONFLICT DO NOTHING;

-- name: DeleteToken :exec
DELETE FROM tokens WHERE token = sqlc.arg(token) AND at = sqlc.arg(at) AND num = sqlc.arg(num);

-- name: InsertText :exec
INSERT INTO texts (num, seq, body) VALUES (sqlc.arg(num), sqlc.arg(seq), sqlc.arg(body)) ON CONFLICT DO NOTHING;

-- name: CountToken :one
SELECT COUNT(*) FROM (
    SELECT 1 FROM tokens WHERE token = sqlc.arg(token) AND at >= sqlc.arg(since) AND at <= sqlc.arg(upto) LIMIT sqlc.arg(page)
) AS few;

-- name: TokenAfter :many
SELECT token FROM tokens WHERE token > sqlc.arg(after) AND token < sqlc.arg(before) ORDER BY token LIMIT 1;

-- name: DeviceNames :many
SELECT device, model FROM devices ORDER BY enrolled_index DESC, device LIMIT sqlc.arg(page);

-- name: SaveSearch :exec
INSERT INTO saved_searches (id, account, name, query, at)
VALUES (sqlc.arg(id), sqlc.arg(account), sqlc.arg(name), sqlc.arg(query), sqlc.arg(at));

-- name: SavedSearches :many
SELECT * FROM saved_searches WHERE account = sqlc.arg(account) ORDER BY at, id LIMIT sqlc.arg(page);

-- name: CountSavedSearches :one
SELECT COUNT(*) FROM saved_searches WHERE account = sqlc.arg(account);

-- name: DeleteSavedSearch :execrows
DELETE FROM saved_searches WHERE id = sqlc.arg(id) AND account = sqlc.arg(account);
