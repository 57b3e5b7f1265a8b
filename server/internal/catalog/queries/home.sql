-- name: Incomplete :many
SELECT sqlc.embed(recordings), devices.class FROM recordings JOIN devices ON devices.device = recordings.device
WHERE recordings.shown = 1 AND (recordings.faults > 0 OR (recordings.closed_at IS NOT NULL AND recordings.why <> 'complete') OR length(recordings.absent) > 2)
ORDER BY recordings.opened_at DESC, recordings.rec
LIMIT sqlc.arg(page);

-- name: CountIncomplete :one
SELECT COUNT(*) FROM recordings
WHERE shown = 1 AND (faults > 0 OR (closed_at IS NOT NULL AND why <> 'complete') OR length(absent) > 2);

-- name: CountLateHeaders :one
SELECT COUNT(*) FROM recordings WHERE shown = 1 AND footage = 1 AND header_first_at IS NULL AND opened_at < sqlc.arg(before);

-- name: AllGaps :many
SELECT * FROM gaps ORDER BY device, before_seq DESC LIMIT sqlc.arg(page);

-- name: AllForks :many
SELECT * FROM forks ORDER BY log_index DESC LIMIT sqlc.arg(page);
