-- name: InsertCaseEvent :exec
INSERT INTO case_events (log_index, case_id, event) VALUES (sqlc.arg(log_index), sqlc.arg(case_id), sqlc.arg(event));

-- name: CaseEvents :many
SELECT * FROM case_events WHERE case_id = sqlc.arg(case_id) ORDER BY log_index;

-- name: PutCase :exec
INSERT INTO cases (id, number, title, party, body, review_body, activity, state, due, opened_at, opened_index, changed_at, rounds, held,
    body_key, review_key, words)
VALUES (sqlc.arg(id), sqlc.arg(number), sqlc.arg(title), sqlc.arg(party), sqlc.arg(body), sqlc.arg(review_body), sqlc.arg(activity),
    sqlc.arg(state), sqlc.arg(due), sqlc.arg(opened_at), sqlc.arg(opened_index), sqlc.arg(changed_at), sqlc.arg(rounds), sqlc.arg(held),
    sqlc.arg(body_key), sqlc.arg(review_key), sqlc.arg(words))
ON CONFLICT (id) DO UPDATE SET number = excluded.number, title = excluded.title, party = excluded.party, body = excluded.body,
    review_body = excluded.review_body, activity = excluded.activity, state = excluded.state, due = excluded.due,
    changed_at = excluded.changed_at, rounds = excluded.rounds, held = excluded.held, body_key = excluded.body_key,
    review_key = excluded.review_key, words = excluded.words;

-- name: CasesBefore :many
SELECT * FROM cases
WHERE opened_index < sqlc.arg(before)
    AND (CAST(sqlc.arg(state) AS TEXT) = '' OR state = sqlc.arg(state))
    AND (CAST(sqlc.arg(body_key) AS TEXT) = '' OR body_key = sqlc.arg(body_key))
    AND (CAST(sqlc.arg(review_key) AS TEXT) = '' OR review_key = sqlc.arg(review_key))
    AND (CAST(sqlc.arg(due) AS BIGINT) = 0 OR (due > 0 AND due < sqlc.arg(due)))
    AND (CAST(sqlc.arg(pattern) AS TEXT) = '' OR words LIKE sqlc.arg(pattern) ESCAPE '!')
ORDER BY opened_index DESC LIMIT sqlc.arg(page);

-- name: CasesInState :many
SELECT * FROM cases
WHERE opened_index < sqlc.arg(before)
    AND state = sqlc.arg(state)
    AND (CAST(sqlc.arg(body_key) AS TEXT) = '' OR body_key = sqlc.arg(body_key))
    AND (CAST(sqlc.arg(review_key) AS TEXT) = '' OR review_key = sqlc.arg(review_key))
    AND (CAST(sqlc.arg(due) AS BIGINT) = 0 OR (due > 0 AND due < sqlc.arg(due)))
    AND (CAST(sqlc.arg(pattern) AS TEXT) = '' OR words LIKE sqlc.arg(pattern) ESCAPE '!')
ORDER BY opened_index DESC LIMIT sqlc.arg(page);

-- name: CasesOfBody :many
SELECT * FROM cases
WHERE opened_index < sqlc.arg(before)
    AND (CAST(sqlc.arg(state) AS TEXT) = '' OR state = sqlc.arg(state))
    AND body_key = sqlc.arg(body_key)
    AND (CAST(sqlc.arg(review_key) AS TEXT) = '' OR review_key = sqlc.arg(review_key))
    AND (CAST(sqlc.arg(due) AS BIGINT) = 0 OR (due > 0 AND due < sqlc.arg(due)))
    AND (CAST(sqlc.arg(pattern) AS TEXT) = '' OR words LIKE sqlc.arg(pattern) ESCAPE '!')
ORDER BY opened_index DESC LIMIT sqlc.arg(page);

-- name: PutCaseRecording :exec
INSERT INTO case_recordings (case_id, device, rec, linked)
VALUES (sqlc.arg(case_id), sqlc.arg(device), sqlc.arg(rec), sqlc.arg(linked))
ON CONFLICT (case_id, device, rec) DO UPDATE SET linked = excluded.linked;

-- name: CasesOfRecording :many
SELECT cases.* FROM cases JOIN case_recordings ON case_recordings.case_id = cases.id
WHERE case_recordings.rec = sqlc.arg(rec) AND case_recordings.device = sqlc.arg(device) AND case_recordings.linked = 1
ORDER BY cases.opened_index DESC LIMIT sqlc.arg(page);

-- name: HoldingCases :many
SELECT cases.id FROM cases JOIN case_recordings ON case_recordings.case_id = cases.id
WHERE case_recordings.rec = sqlc.arg(rec) AND case_recordings.device = sqlc.arg(device) AND case_recordings.linked = 1 AND cases.held = 1
ORDER BY cases.id;

-- name: InsertViewerMark :exec
INSERT INTO viewer_marks (log_index, device, rec, moment, text, account, actor, at)
VALUES (sqlc.arg(log_index), sqlc.arg(device), sqlc.arg(rec), sqlc.arg(moment), sqlc.arg(text), sqlc.arg(account), sqlc.arg(actor), sqlc.arg(at));

-- name: ViewerMarks :many
SELECT * FROM viewer_marks WHERE rec = sqlc.arg(rec) AND device = sqlc.arg(device) ORDER BY moment, log_index LIMIT sqlc.arg(page);

-- name: PutCalendarYear :exec
INSERT INTO calendar_years (year, off, worked, at, actor, log_index)
VALUES (sqlc.arg(year), sqlc.arg(off), sqlc.arg(worked), sqlc.arg(at), sqlc.arg(actor), sqlc.arg(log_index))
ON CONFLICT (year) DO UPDATE SET off = excluded.off, worked = excluded.worked, at = excluded.at, actor = excluded.actor, log_index = excluded.log_index;

-- name: CalendarYears :many
SELECT * FROM calendar_years ORDER BY year;

-- name: UnrecordedBetween :many
SELECT * FROM unrecorded WHERE at >= sqlc.arg(since) AND at < sqlc.arg(until) ORDER BY at, rec LIMIT sqlc.arg(page);
