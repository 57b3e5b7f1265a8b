-- name: InsertDerived :exec
INSERT INTO derived (device, rec, asked_at, asked_by, asked_index, made_at, made_index, hash, size, media_type, tool, settings, from_hash)
VALUES (sqlc.arg(device), sqlc.arg(rec), sqlc.arg(asked_at), sqlc.arg(asked_by), sqlc.arg(asked_index), 0, NULL, '', 0, '', '', '', '')
ON CONFLICT (device, rec) DO NOTHING;

-- name: DerivedMade :exec
UPDATE derived SET made_at = sqlc.arg(made_at), made_index = sqlc.arg(made_index), hash = sqlc.arg(hash), size = sqlc.arg(size),
    media_type = sqlc.arg(media_type), tool = sqlc.arg(tool), settings = sqlc.arg(settings), from_hash = sqlc.arg(from_hash)
WHERE device = sqlc.arg(device) AND rec = sqlc.arg(rec) AND made_index IS NULL;

-- name: DerivedOf :one
SELECT * FROM derived WHERE device = sqlc.arg(device) AND rec = sqlc.arg(rec);

-- name: DerivedWanted :many
SELECT recordings.* FROM derived
JOIN recordings ON recordings.device = derived.device AND recordings.rec = derived.rec
LEFT JOIN media ON media.device = derived.device AND media.rec = derived.rec
WHERE derived.made_index IS NULL
    AND (media.rec IS NULL OR media.derive_tries < sqlc.arg(tries) AND media.derive_next <= sqlc.arg(now))
ORDER BY derived.asked_index LIMIT sqlc.arg(page);

-- name: MediaOf :one
SELECT * FROM media WHERE device = sqlc.arg(device) AND rec = sqlc.arg(rec);

-- name: MediaMissing :many
SELECT recordings.* FROM recordings
LEFT JOIN media ON media.device = recordings.device AND media.rec = recordings.rec
WHERE recordings.stored_index > sqlc.arg(after) AND recordings.stored_closed = 1
    AND (media.rec IS NULL OR media.stored_chunks <> recordings.stored_chunks)
ORDER BY recordings.stored_index DESC LIMIT sqlc.arg(page);

-- name: MediaDue :many
SELECT recordings.* FROM media
JOIN recordings ON recordings.device = media.device AND recordings.rec = media.rec
WHERE media.next_at <= sqlc.arg(now) AND recordings.stored_closed = 1
ORDER BY media.next_at LIMIT sqlc.arg(page);

-- name: PutMedia :exec
INSERT INTO media (device, rec, stored_chunks, kind, container, video, audio, duration, width, height, rate, playable, poster, strip, wave, bytes,
    used_at, failure, detail, tries, next_at, derive_failure, derive_detail, derive_tries, derive_next)
VALUES (sqlc.arg(device), sqlc.arg(rec), sqlc.arg(stored_chunks), sqlc.arg(kind), sqlc.arg(container), sqlc.arg(video), sqlc.arg(audio),
    sqlc.arg(duration), sqlc.arg(width), sqlc.arg(height), sqlc.arg(rate), sqlc.arg(playable), sqlc.arg(poster), sqlc.arg(strip), sqlc.arg(wave),
    sqlc.arg(bytes), sqlc.arg(used_at), sqlc.arg(failure), sqlc.arg(detail), sqlc.arg(tries), sqlc.arg(next_at), '', '', 0, 0)
ON CONFLICT (device, rec) DO UPDATE SET stored_chunks = excluded.stored_chunks, kind = excluded.kind, container = excluded.container,
    video = excluded.video, audio = excluded.audio, duration = excluded.duration, width = excluded.width, height = excluded.height,
    rate = excluded.rate, playable = excluded.playable, poster = excluded.poster, strip = excluded.strip, wave = excluded.wave,
    bytes = excluded.bytes, used_at = excluded.used_at, failure = excluded.failure, detail = excluded.detail, tries = excluded.tries,
    next_at = excluded.next_at;

-- name: MediaAgain :exec
UPDATE media SET next_at = 0, tries = 0 WHERE device = sqlc.arg(device) AND rec = sqlc.arg(rec) AND next_at IS NULL;

-- name: MediaUsed :exec
UPDATE media SET used_at = sqlc.arg(used_at) WHERE device = sqlc.arg(device) AND rec = sqlc.arg(rec);

-- name: MediaRemoved :exec
UPDATE media SET bytes = 0 WHERE device = sqlc.arg(device) AND rec = sqlc.arg(rec);

-- name: MediaOldest :many
SELECT * FROM media WHERE bytes > 0 ORDER BY used_at LIMIT sqlc.arg(page);

-- name: MediaBytes :one
SELECT CAST(COALESCE(SUM(bytes), 0) AS BIGINT) AS total FROM media;

-- name: PutDeriveTry :exec
INSERT INTO media (device, rec, stored_chunks, kind, container, video, audio, duration, width, height, rate, playable, poster, strip, wave, bytes,
    used_at, failure, detail, tries, next_at, derive_failure, derive_detail, derive_tries, derive_next)
VALUES (sqlc.arg(device), sqlc.arg(rec), -1, '', '', '', '', 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, '', '', 0, NULL, sqlc.arg(derive_failure),
    sqlc.arg(derive_detail), sqlc.arg(derive_tries), sqlc.arg(derive_next))
ON CONFLICT (device, rec) DO UPDATE SET derive_failure = excluded.derive_failure, derive_detail = excluded.derive_detail,
    derive_tries = excluded.derive_tries, derive_next = excluded.derive_next;
