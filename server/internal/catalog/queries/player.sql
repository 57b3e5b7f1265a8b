-- name: BootsBetween :many
SELECT * FROM boots WHERE device = sqlc.arg(device) AND seq > sqlc.arg(after) AND seq < sqlc.arg(before) ORDER BY seq LIMIT sqlc.arg(page);
