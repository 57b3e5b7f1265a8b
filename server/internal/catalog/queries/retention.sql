-- name: InsertStoredReceipt :exec
INSERT INTO stored_receipts (log_index, device, rec, chunks, until_at, leaf)
VALUES (sqlc.arg(log_index), sqlc.arg(device), sqlc.arg(rec), sqlc.arg(chunks), sqlc.arg(until_at), sqlc.arg(leaf));

-- name: StoredReceiptsOf :many
SELECT * FROM stored_receipts WHERE device = sqlc.arg(device) AND rec = sqlc.arg(rec) AND log_index > sqlc.arg(after)
ORDER BY log_index LIMIT sqlc.arg(page);

-- name: SeenOf :many
SELECT batches.* FROM parts JOIN batches ON batches.device = parts.device AND batches.upto = parts.upto
WHERE parts.device = sqlc.arg(device) AND parts.rec = sqlc.arg(rec) AND batches.log_index > sqlc.arg(after)
ORDER BY batches.log_index LIMIT sqlc.arg(page);

-- name: CustodyPage :many
SELECT * FROM custody WHERE rec = sqlc.arg(rec) AND device = sqlc.arg(device) AND log_index > sqlc.arg(after)
ORDER BY log_index LIMIT sqlc.arg(page);

-- name: SaidPage :many
SELECT said.*, batches.log_index FROM said JOIN batches ON batches.device = said.device
    AND batches.upto = (SELECT MIN(later.upto) FROM batches AS later WHERE later.device = said.device AND later.upto >= said.seq)
WHERE said.device = sqlc.arg(device) AND said.rec = sqlc.arg(rec) AND said.seq > sqlc.arg(after)
ORDER BY said.seq LIMIT sqlc.arg(page);

-- name: CountLife :one
SELECT (SELECT COUNT(*) FROM custody WHERE custody.rec = sqlc.arg(rec) AND custody.device = sqlc.arg(device))
    + (SELECT COUNT(*) FROM stored_receipts WHERE stored_receipts.device = sqlc.arg(device) AND stored_receipts.rec = sqlc.arg(rec))
    + (SELECT COUNT(*) FROM said WHERE said.device = sqlc.arg(device) AND said.rec = sqlc.arg(rec))
    + (SELECT COUNT(*) FROM parts WHERE parts.device = sqlc.arg(device) AND parts.rec = sqlc.arg(rec)) AS lines;

-- name: PutClass :exec
INSERT INTO retention_classes (name, days, set_at, set_by, log_index)
VALUES (sqlc.arg(name), sqlc.arg(days), sqlc.arg(set_at), sqlc.arg(set_by), sqlc.arg(log_index))
ON CONFLICT (name) DO UPDATE SET days = excluded.days, set_at = excluded.set_at, set_by = excluded.set_by, log_index = excluded.log_index
WHERE retention_classes.days < excluded.days;

-- name: LengthenClass :exec
UPDATE retained SET until_at = base_at + sqlc.arg(term) WHERE class = sqlc.arg(class) AND until_at < base_at + sqlc.arg(term);

-- name: Classes :many
SELECT * FROM retention_classes ORDER BY days, name;

-- name: Class :one
SELECT * FROM retention_classes WHERE name = sqlc.arg(name);

-- name: PutRetained :exec
INSERT INTO retained (device, rec, class, base_at, until_at, set_by, log_index)
VALUES (sqlc.arg(device), sqlc.arg(rec), sqlc.arg(class), sqlc.arg(base_at), sqlc.arg(until_at), sqlc.arg(set_by), sqlc.arg(log_index))
ON CONFLICT (device, rec) DO UPDATE SET class = excluded.class, base_at = excluded.base_at, set_by = excluded.set_by, log_index = excluded.log_index,
    until_at = CASE WHEN retained.until_at > excluded.until_at THEN retained.until_at ELSE excluded.until_at END;

-- name: RetainedOf :one
SELECT * FROM retained WHERE device = sqlc.arg(device) AND rec = sqlc.arg(rec);

-- name: DeleteRetained :exec
DELETE FROM retained WHERE device = sqlc.arg(device) AND rec = sqlc.arg(rec);

-- name: LocksBehind :many
SELECT sqlc.embed(recordings), retained.until_at FROM retained
    JOIN recordings ON recordings.device = retained.device AND recordings.rec = retained.rec
WHERE retained.until_at > recordings.stored_until AND recordings.stored_index IS NOT NULL
ORDER BY retained.device, retained.rec;

-- name: EndingBetween :many
SELECT * FROM recordings
WHERE recordings.stored_index IS NOT NULL AND recordings.stored_until >= sqlc.arg(begins) AND recordings.stored_until < sqlc.arg(ends)
    AND (recordings.stored_until > sqlc.arg(after) OR (recordings.stored_until = sqlc.arg(after) AND recordings.rec > sqlc.arg(after_rec)))
    AND NOT EXISTS (SELECT 1 FROM retained WHERE retained.device = recordings.device AND retained.rec = recordings.rec AND retained.until_at >= sqlc.arg(ends))
    AND NOT EXISTS (SELECT 1 FROM disposals WHERE disposals.device = recordings.device AND disposals.rec = recordings.rec)
ORDER BY recordings.stored_until, recordings.rec LIMIT sqlc.arg(page);

-- name: ProposeDisposal :exec
INSERT INTO disposals (device, rec, state, reason, name, hash, size, chunks, opened_at, last_seq, stored_index, proposed_at, proposed_by,
    proposed_account, proposed_index, confirmed_at, confirmed_by, confirmed_index, confirmed_event, total, total_bytes, disposed_at, disposed_index, objects, bytes, kept, kept_until)
VALUES (sqlc.arg(device), sqlc.arg(rec), 'proposed', sqlc.arg(reason), sqlc.arg(name), sqlc.arg(hash), sqlc.arg(size), sqlc.arg(chunks),
    sqlc.arg(opened_at), sqlc.arg(last_seq), sqlc.arg(stored_index), sqlc.arg(proposed_at), sqlc.arg(proposed_by), sqlc.arg(proposed_account),
    sqlc.arg(proposed_index), 0, '', 0, '', 0, 0, 0, 0, 0, 0, 0, 0)
ON CONFLICT (device, rec) DO NOTHING;

-- name: WithdrawDisposal :exec
DELETE FROM disposals WHERE device = sqlc.arg(device) AND rec = sqlc.arg(rec) AND state = 'proposed';

-- name: ConfirmDisposal :execrows
UPDATE disposals SET state = 'confirmed', confirmed_at = sqlc.arg(at), confirmed_by = sqlc.arg(by), confirmed_index = sqlc.arg(log_index),
    confirmed_event = sqlc.arg(event), total = sqlc.arg(total), total_bytes = sqlc.arg(total_bytes)
WHERE device = sqlc.arg(device) AND rec = sqlc.arg(rec) AND state = 'proposed' AND proposed_account <> sqlc.arg(account);

-- name: Disposed :exec
UPDATE disposals SET state = 'disposed', disposed_at = sqlc.arg(at), disposed_index = sqlc.arg(log_index), objects = sqlc.arg(objects),
    bytes = sqlc.arg(bytes), kept = sqlc.arg(kept), kept_until = sqlc.arg(kept_until)
WHERE device = sqlc.arg(device) AND rec = sqlc.arg(rec) AND state <> 'proposed';

-- name: DisposalOf :one
SELECT * FROM disposals WHERE device = sqlc.arg(device) AND rec = sqlc.arg(rec);

-- name: DisposalsWithID :many
SELECT * FROM disposals WHERE rec = sqlc.arg(rec) ORDER BY device;

-- name: DisposalsIn :many
SELECT * FROM disposals WHERE state = sqlc.arg(state) AND (proposed_at > sqlc.arg(after) OR (proposed_at = sqlc.arg(after) AND rec > sqlc.arg(after_rec)))
ORDER BY proposed_at, rec LIMIT sqlc.arg(page);

-- name: DisposalsLeft :many
SELECT * FROM disposals WHERE state = 'confirmed' OR (state = 'disposed' AND kept > 0 AND kept_until < sqlc.arg(now)) ORDER BY confirmed_index;

-- name: CountGone :one
SELECT (SELECT COUNT(*) FROM disposals WHERE disposals.device = sqlc.arg(device) AND disposals.rec = sqlc.arg(rec) AND state <> 'proposed')
    + (SELECT COUNT(*) FROM words_gone WHERE words_gone.device = sqlc.arg(device) AND words_gone.rec = sqlc.arg(rec)) AS gone;

-- name: PutWordsGone :exec
INSERT INTO words_gone (device, rec, event) VALUES (sqlc.arg(device), sqlc.arg(rec), sqlc.arg(event))
ON CONFLICT (device, rec) DO NOTHING;

-- name: DeleteWordsGone :exec
DELETE FROM words_gone WHERE device = sqlc.arg(device) AND rec = sqlc.arg(rec) AND event = sqlc.arg(event);

-- name: WordsGone :many
SELECT * FROM words_gone ORDER BY device, rec LIMIT 10;

-- name: DeleteRecording :exec
DELETE FROM recordings WHERE device = sqlc.arg(device) AND rec = sqlc.arg(rec);

-- name: DeleteSaid :exec
DELETE FROM said WHERE device = sqlc.arg(device) AND rec = sqlc.arg(rec);

-- name: HeldRecordings :many
SELECT DISTINCT recordings.device, recordings.rec FROM cases
    JOIN case_recordings ON case_recordings.case_id = cases.id AND case_recordings.linked = 1
    JOIN recordings ON recordings.device = case_recordings.device AND recordings.rec = case_recordings.rec
WHERE cases.held = 1 AND recordings.stored_index IS NOT NULL AND recordings.stored_until < sqlc.arg(before)
ORDER BY recordings.device, recordings.rec;

-- name: CountOpenCases :one
SELECT COUNT(*) FROM cases JOIN case_recordings ON case_recordings.case_id = cases.id
WHERE case_recordings.rec = sqlc.arg(rec) AND case_recordings.device = sqlc.arg(device) AND case_recordings.linked = 1
    AND cases.state NOT IN (sqlc.arg(decided), sqlc.arg(refused));

-- name: DeleteViewerMarks :exec
DELETE FROM viewer_marks WHERE device = sqlc.arg(device) AND rec = sqlc.arg(rec);
