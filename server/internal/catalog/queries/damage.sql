-- name: PutDamage :exec
INSERT INTO damages (device, rec, part, gone, at, log_index)
VALUES (sqlc.arg(device), sqlc.arg(rec), sqlc.arg(part), sqlc.arg(gone), sqlc.arg(at), sqlc.arg(log_index))
ON CONFLICT (device, rec, part) DO UPDATE SET gone = excluded.gone;

-- name: DeleteDamage :exec
DELETE FROM damages WHERE device = sqlc.arg(device) AND rec = sqlc.arg(rec) AND part = sqlc.arg(part);

-- name: DeleteDamages :exec
DELETE FROM damages WHERE device = sqlc.arg(device) AND rec = sqlc.arg(rec);

-- name: DamagesOf :many
SELECT * FROM damages WHERE device = sqlc.arg(device) AND rec = sqlc.arg(rec) ORDER BY part LIMIT sqlc.arg(page);

-- name: Damaged :many
SELECT sqlc.embed(recordings), devices.class, damages.part, damages.at AS found_at FROM damages
JOIN recordings ON recordings.device = damages.device AND recordings.rec = damages.rec
JOIN devices ON devices.device = damages.device
ORDER BY damages.log_index DESC, damages.part LIMIT sqlc.arg(page);

-- name: DamagedRecordings :many
SELECT DISTINCT rec FROM damages LIMIT sqlc.arg(page);
