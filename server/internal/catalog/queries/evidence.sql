-- name: MetaValue :one
SELECT value FROM meta WHERE name = sqlc.arg(name);

-- name: SetMeta :exec
INSERT INTO meta (name, value) VALUES (sqlc.arg(name), sqlc.arg(value))
ON CONFLICT (name) DO UPDATE SET value = excluded.value;

-- name: AdvanceMeta :execrows
INSERT INTO meta (name, value) VALUES (sqlc.arg(name), sqlc.arg(value))
ON CONFLICT (name) DO UPDATE SET value = excluded.value WHERE meta.value = sqlc.arg(was);

-- name: PutDevice :exec
INSERT INTO devices (device, class, model, ak, ek, ek_cert, maker, vouched, tls_key, counter, enrolled_at, enrolled_index,
    revoked_index, suspect_since, chain, next_seq, head, seen_index)
VALUES (sqlc.arg(device), sqlc.arg(class), sqlc.arg(model), sqlc.arg(ak), sqlc.arg(ek), sqlc.arg(ek_cert), sqlc.arg(maker), sqlc.arg(vouched),
    sqlc.arg(tls_key), sqlc.arg(counter), sqlc.arg(enrolled_at), sqlc.arg(enrolled_index), NULL, NULL, '', 0, sqlc.arg(head), NULL)
ON CONFLICT (device) DO UPDATE SET model = excluded.model, ek = excluded.ek, ek_cert = excluded.ek_cert, maker = excluded.maker,
    vouched = excluded.vouched, counter = excluded.counter, enrolled_at = excluded.enrolled_at, enrolled_index = excluded.enrolled_index;

-- name: DeviceByID :one
SELECT * FROM devices WHERE device = sqlc.arg(device);

-- name: DeviceByTLSKey :one
SELECT * FROM devices WHERE tls_key = sqlc.arg(tls_key);

-- name: Devices :many
SELECT * FROM devices ORDER BY enrolled_index, device;

-- name: SetChain :exec
UPDATE devices SET chain = sqlc.arg(chain), next_seq = sqlc.arg(next_seq), head = sqlc.arg(head), seen_index = sqlc.arg(seen_index)
WHERE device = sqlc.arg(device);

-- name: RevokeDevice :exec
UPDATE devices SET revoked_index = sqlc.arg(revoked_index), suspect_since = sqlc.arg(suspect_since)
WHERE device = sqlc.arg(device) AND revoked_index IS NULL;

-- name: InsertBatch :exec
INSERT INTO batches (device, first_seq, upto, head, key, version, size, hash, log_index, leaf)
VALUES (sqlc.arg(device), sqlc.arg(first_seq), sqlc.arg(upto), sqlc.arg(head), sqlc.arg(key), sqlc.arg(version), sqlc.arg(size),
    sqlc.arg(hash), sqlc.arg(log_index), sqlc.arg(leaf));

-- name: BatchAt :one
SELECT * FROM batches WHERE device = sqlc.arg(device) AND upto >= sqlc.arg(seq) ORDER BY upto LIMIT 1;

-- name: BatchesBetween :many
SELECT * FROM batches WHERE device = sqlc.arg(device) AND upto >= sqlc.arg(first) AND first_seq <= sqlc.arg(last) ORDER BY upto;

-- name: InsertPart :exec
INSERT INTO parts (device, rec, first_seq, upto, key, version, size, hash)
VALUES (sqlc.arg(device), sqlc.arg(rec), sqlc.arg(first_seq), sqlc.arg(upto), sqlc.arg(key), sqlc.arg(version), sqlc.arg(size), sqlc.arg(hash))
ON CONFLICT (device, rec, first_seq) DO UPDATE SET upto = excluded.upto, key = excluded.key, version = excluded.version, size = excluded.size,
    hash = excluded.hash;

-- name: PartsOf :many
SELECT * FROM parts WHERE device = sqlc.arg(device) AND rec = sqlc.arg(rec) AND upto >= sqlc.arg(first) AND first_seq <= sqlc.arg(last)
ORDER BY first_seq;

-- name: InsertAnchor :exec
INSERT INTO anchors (device, seq) VALUES (sqlc.arg(device), sqlc.arg(seq));

-- name: AnchorBefore :one
SELECT seq FROM anchors WHERE device = sqlc.arg(device) AND seq < sqlc.arg(before) ORDER BY seq DESC LIMIT 1;

-- name: PutRecording :exec
INSERT INTO recordings (device, rec, name, media_type, mode, opened_at, open_seq, open_digest, first_index, last_seq, last_n, chunks, size,
    closed_at, close_seq, close_digest, hash, why, faults, absent, stored_chunks, stored_until, stored_closed, stored_absent, stored_index,
    stored_leaf, serial, volume, path, source_size, modified, original, standing, shown, kind, footage, sequence, sequence_index, header_first_at,
    header_at, spoken, department, officers, cause, header_time, place, activity, case_number, confirmed, note, marks, released, num, at,
    grade, seen_ms, last_at, last_index, continues)
VALUES (sqlc.arg(device), sqlc.arg(rec), sqlc.arg(name), sqlc.arg(media_type), sqlc.arg(mode), sqlc.arg(opened_at), sqlc.arg(open_seq),
    sqlc.arg(open_digest), sqlc.arg(first_index), sqlc.arg(last_seq), sqlc.arg(last_n), sqlc.arg(chunks), sqlc.arg(size), sqlc.arg(closed_at),
    sqlc.arg(close_seq), sqlc.arg(close_digest), sqlc.arg(hash), sqlc.arg(why), sqlc.arg(faults), sqlc.arg(absent), sqlc.arg(stored_chunks),
    sqlc.arg(stored_until), sqlc.arg(stored_closed), sqlc.arg(stored_absent), sqlc.arg(stored_index), sqlc.arg(stored_leaf), sqlc.arg(serial),
    sqlc.arg(volume), sqlc.arg(path), sqlc.arg(source_size), sqlc.arg(modified), sqlc.arg(original), sqlc.arg(standing), sqlc.arg(shown),
    sqlc.arg(kind), sqlc.arg(footage), sqlc.arg(sequence), sqlc.arg(sequence_index), sqlc.arg(header_first_at), sqlc.arg(header_at),
    sqlc.arg(spoken), sqlc.arg(department), sqlc.arg(officers), sqlc.arg(cause), sqlc.arg(header_time), sqlc.arg(place), sqlc.arg(activity),
    sqlc.arg(case_number), sqlc.arg(confirmed), sqlc.arg(note), sqlc.arg(marks), sqlc.arg(released),
    sqlc.arg(num), sqlc.arg(at), sqlc.arg(grade), sqlc.arg(seen_ms), sqlc.arg(last_at), sqlc.arg(last_index), sqlc.arg(continues))
ON CONFLICT (device, rec) DO UPDATE SET last_seq = excluded.last_seq, last_n = excluded.last_n, chunks = excluded.chunks, size = excluded.size,
    closed_at = excluded.closed_at, close_seq = excluded.close_seq, close_digest = excluded.close_digest, hash = excluded.hash, why = excluded.why,
    faults = excluded.faults, absent = excluded.absent, stored_chunks = excluded.stored_chunks, stored_until = excluded.stored_until,
    stored_closed = excluded.stored_closed, stored_absent = excluded.stored_absent, stored_index = excluded.stored_index,
    stored_leaf = excluded.stored_leaf, standing = excluded.standing, header_first_at = excluded.header_first_at, header_at = excluded.header_at,
    spoken = excluded.spoken, department = excluded.department, officers = excluded.officers, cause = excluded.cause,
    header_time = excluded.header_time, place = excluded.place, activity = excluded.activity, case_number = excluded.case_number,
    confirmed = excluded.confirmed, note = excluded.note, marks = excluded.marks, released = excluded.released,
    seen_ms = excluded.seen_ms, last_at = excluded.last_at, last_index = excluded.last_index;

-- name: SetShown :exec
UPDATE recordings SET shown = CASE WHEN EXISTS (
    SELECT 1 FROM recordings AS better WHERE better.original = recordings.original
        AND (better.standing > recordings.standing
            OR better.standing = recordings.standing AND better.first_index < recordings.first_index
            OR better.standing = recordings.standing AND better.first_index = recordings.first_index AND better.rec < recordings.rec)
        AND NOT (better.standing >= 2 AND recordings.standing >= 2 AND better.hash <> recordings.hash)
) THEN 0 ELSE 1 END
WHERE recordings.original = sqlc.arg(original);

-- name: RecordingByID :one
SELECT * FROM recordings WHERE device = sqlc.arg(device) AND rec = sqlc.arg(rec);

-- name: RecordingsWithID :many
SELECT * FROM recordings WHERE rec = sqlc.arg(rec) ORDER BY device;

-- name: RecordingsAfter :many
SELECT sqlc.embed(recordings), devices.class FROM recordings JOIN devices ON devices.device = recordings.device
WHERE recordings.opened_at < sqlc.arg(opened_at)
    OR (recordings.opened_at = sqlc.arg(opened_at) AND recordings.rec > sqlc.arg(rec))
ORDER BY recordings.opened_at DESC, recordings.rec
LIMIT sqlc.arg(page);

-- name: ShownAfter :many
SELECT sqlc.embed(recordings), devices.class FROM recordings JOIN devices ON devices.device = recordings.device
WHERE recordings.shown = 1 AND (recordings.opened_at < sqlc.arg(opened_at)
    OR (recordings.opened_at = sqlc.arg(opened_at) AND recordings.rec > sqlc.arg(rec)))
ORDER BY recordings.opened_at DESC, recordings.rec
LIMIT sqlc.arg(page);

-- name: CountShown :one
SELECT COUNT(*) FROM recordings WHERE shown = 1;

-- name: Growing :many
SELECT sqlc.embed(recordings), devices.class FROM recordings JOIN devices ON devices.device = recordings.device
WHERE recordings.closed_at IS NULL AND recordings.mode = 'capture' ORDER BY recordings.last_index, recordings.rec LIMIT sqlc.arg(page);

-- name: Continuing :many
SELECT * FROM recordings WHERE continues = sqlc.arg(rec) AND continues <> '' AND device = sqlc.arg(device) ORDER BY open_seq LIMIT sqlc.arg(page);

-- name: WithoutHeader :many
SELECT sqlc.embed(recordings), devices.class FROM recordings JOIN devices ON devices.device = recordings.device
WHERE recordings.shown = 1 AND recordings.footage = 1 AND recordings.header_first_at IS NULL
ORDER BY recordings.opened_at, recordings.rec
LIMIT sqlc.arg(page);

-- name: CountWithoutHeader :one
SELECT COUNT(*) FROM recordings WHERE shown = 1 AND footage = 1 AND header_first_at IS NULL;

-- name: WholeOriginals :many
SELECT recordings.* FROM recordings JOIN devices ON devices.device = recordings.device
WHERE recordings.original = sqlc.arg(original) AND recordings.standing = 3 AND recordings.size = recordings.source_size
    AND devices.revoked_index IS NULL
ORDER BY recordings.first_index, recordings.device, recordings.rec
LIMIT 1;

-- name: OfOriginal :many
SELECT * FROM recordings WHERE original = sqlc.arg(original) ORDER BY first_index, device, rec LIMIT sqlc.arg(page);

-- name: CountOfOriginal :one
SELECT COUNT(*) FROM recordings WHERE original = sqlc.arg(original);

-- name: BeforeInSequence :many
SELECT * FROM recordings
WHERE sequence = sqlc.arg(sequence) AND device = sqlc.arg(device) AND shown = 1 AND sequence_index < sqlc.arg(sequence_index)
ORDER BY sequence_index DESC, rec DESC LIMIT 1;

-- name: AfterInSequence :many
SELECT * FROM recordings
WHERE sequence = sqlc.arg(sequence) AND device = sqlc.arg(device) AND shown = 1 AND sequence_index > sqlc.arg(sequence_index)
ORDER BY sequence_index, rec LIMIT 1;

-- name: CountSequence :one
SELECT COUNT(*) FROM recordings WHERE sequence = sqlc.arg(sequence) AND device = sqlc.arg(device) AND shown = 1;

-- name: InsertSaid :exec
INSERT INTO said (device, rec, seq, at, kind, body)
VALUES (sqlc.arg(device), sqlc.arg(rec), sqlc.arg(seq), sqlc.arg(at), sqlc.arg(kind), sqlc.arg(body));

-- name: SaidOf :many
SELECT * FROM said WHERE device = sqlc.arg(device) AND rec = sqlc.arg(rec) AND kind = sqlc.arg(kind) ORDER BY seq LIMIT sqlc.arg(page);

-- name: LastSaidOf :many
SELECT * FROM said WHERE device = sqlc.arg(device) AND rec = sqlc.arg(rec) AND kind = sqlc.arg(kind) ORDER BY seq DESC LIMIT sqlc.arg(page);

-- name: InsertUnrecorded :exec
INSERT INTO unrecorded (device, rec, at, activity, said_by, reason, log_index)
VALUES (sqlc.arg(device), sqlc.arg(rec), sqlc.arg(at), sqlc.arg(activity), sqlc.arg(said_by), sqlc.arg(reason), sqlc.arg(log_index));

-- name: UnrecordedAfter :many
SELECT * FROM unrecorded
WHERE at < sqlc.arg(at) OR (at = sqlc.arg(at) AND rec > sqlc.arg(rec))
ORDER BY at DESC, rec LIMIT sqlc.arg(page);

-- name: CountUnrecorded :one
SELECT COUNT(*) FROM unrecorded;

-- name: InsertRegister :exec
INSERT INTO registers (log_index, at, version, size) VALUES (sqlc.arg(log_index), sqlc.arg(at), sqlc.arg(version), sqlc.arg(size));

-- name: LastRegister :one
SELECT * FROM registers ORDER BY log_index DESC LIMIT 1;

-- name: InsertCustody :exec
INSERT INTO custody (log_index, at, actor, act, device, rec, event)
VALUES (sqlc.arg(log_index), sqlc.arg(at), sqlc.arg(actor), sqlc.arg(act), sqlc.arg(device), sqlc.arg(rec), sqlc.arg(event));

-- name: CustodyOfRecording :many
SELECT * FROM custody WHERE rec = sqlc.arg(rec) AND device = sqlc.arg(device) ORDER BY log_index;

-- name: CustodyAt :one
SELECT * FROM custody WHERE log_index = sqlc.arg(log_index);

-- name: InsertCounted :exec
INSERT INTO counted (device, seq, kind, value, at, log_index)
VALUES (sqlc.arg(device), sqlc.arg(seq), sqlc.arg(kind), sqlc.arg(value), sqlc.arg(at), sqlc.arg(log_index));

-- name: CountedAt :one
SELECT * FROM counted WHERE device = sqlc.arg(device) AND seq = sqlc.arg(seq);

-- name: InsertGap :exec
INSERT INTO gaps (device, after_seq, before_seq, from_value, to_value)
VALUES (sqlc.arg(device), sqlc.arg(after_seq), sqlc.arg(before_seq), sqlc.arg(from_value), sqlc.arg(to_value));

-- name: GapsOf :many
SELECT * FROM gaps WHERE device = sqlc.arg(device) ORDER BY before_seq;

-- name: InsertBoot :exec
INSERT INTO boots (device, seq, at, software, pcrs, changed, own_last, log_index, told)
VALUES (sqlc.arg(device), sqlc.arg(seq), sqlc.arg(at), sqlc.arg(software), sqlc.arg(pcrs), sqlc.arg(changed), sqlc.arg(own_last),
    sqlc.arg(log_index), NULL);

-- name: BootAt :one
SELECT * FROM boots WHERE device = sqlc.arg(device) AND seq = sqlc.arg(seq);

-- name: LastBoot :one
SELECT * FROM boots WHERE device = sqlc.arg(device) ORDER BY seq DESC LIMIT 1;

-- name: Recoveries :many
SELECT * FROM boots WHERE device = sqlc.arg(device) AND own_last IS NOT NULL ORDER BY seq;

-- name: SoftwareChanges :many
SELECT * FROM boots WHERE device = sqlc.arg(device) AND changed IS NOT NULL AND seq <= sqlc.arg(upto) ORDER BY seq DESC LIMIT sqlc.arg(page);

-- name: UntoldChanges :many
SELECT * FROM boots WHERE changed IS NOT NULL AND told IS NULL ORDER BY device, seq;

-- name: ToldChange :exec
UPDATE boots SET told = sqlc.arg(told) WHERE device = sqlc.arg(device) AND seq = sqlc.arg(seq);

-- name: InsertPCRSet :exec
INSERT INTO pcr_sets (model, pcrs, device, source, at, log_index)
VALUES (sqlc.arg(model), sqlc.arg(pcrs), sqlc.arg(device), sqlc.arg(source), sqlc.arg(at), sqlc.arg(log_index))
ON CONFLICT DO NOTHING;

-- name: CountPCRSets :one
SELECT COUNT(*) FROM pcr_sets WHERE model = sqlc.arg(model);

-- name: PCRSetAllowed :one
SELECT COUNT(*) FROM pcr_sets WHERE model = sqlc.arg(model) AND pcrs = sqlc.arg(pcrs);

-- name: PCRSets :many
SELECT * FROM pcr_sets ORDER BY model, log_index, pcrs;

-- name: InsertFork :exec
INSERT INTO forks (log_index, device, seq, known, sent, at)
VALUES (sqlc.arg(log_index), sqlc.arg(device), sqlc.arg(seq), sqlc.arg(known), sqlc.arg(sent), sqlc.arg(at));

-- name: ForksOf :many
SELECT * FROM forks WHERE device = sqlc.arg(device) ORDER BY log_index;
