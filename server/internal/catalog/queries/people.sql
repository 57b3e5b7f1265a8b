-- name: InsertAccount :exec
INSERT INTO accounts (id, login, name, role, body, certificate, disabled, made_at, changed_index)
VALUES (sqlc.arg(id), sqlc.arg(login), sqlc.arg(name), sqlc.arg(role), sqlc.arg(body), sqlc.arg(certificate), 0, sqlc.arg(made_at), sqlc.arg(changed_index))
ON CONFLICT DO NOTHING;

-- name: ChangeAccount :exec
UPDATE accounts SET name = sqlc.arg(name), role = sqlc.arg(role), body = sqlc.arg(body), certificate = sqlc.arg(certificate),
    changed_index = sqlc.arg(changed_index)
WHERE id = sqlc.arg(id);

-- name: DisableAccount :exec
UPDATE accounts SET disabled = sqlc.arg(disabled), changed_index = sqlc.arg(changed_index) WHERE id = sqlc.arg(id);

-- name: PersonByID :one
SELECT sqlc.embed(accounts), COALESCE(credentials.hash, '') AS hash, COALESCE(credentials.version, 0) AS version, COALESCE(credentials.language, '') AS language
FROM accounts LEFT JOIN credentials ON credentials.account = accounts.id
WHERE accounts.id = sqlc.arg(id);

-- name: PersonByLogin :one
SELECT sqlc.embed(accounts), COALESCE(credentials.hash, '') AS hash, COALESCE(credentials.version, 0) AS version, COALESCE(credentials.language, '') AS language
FROM accounts LEFT JOIN credentials ON credentials.account = accounts.id
WHERE accounts.login = sqlc.arg(login);

-- name: People :many
SELECT sqlc.embed(accounts), COALESCE(credentials.hash, '') AS hash, COALESCE(credentials.version, 0) AS version, COALESCE(credentials.language, '') AS language
FROM accounts LEFT JOIN credentials ON credentials.account = accounts.id
WHERE accounts.login > sqlc.arg(login)
ORDER BY accounts.login LIMIT sqlc.arg(page);

-- name: CountWithRole :one
SELECT COUNT(*) FROM accounts WHERE role = sqlc.arg(role) AND disabled = 0;

-- name: SetPassword :exec
INSERT INTO credentials (account, hash, version, language) VALUES (sqlc.arg(account), sqlc.arg(hash), 1, '')
ON CONFLICT (account) DO UPDATE SET hash = excluded.hash, version = credentials.version + 1;

-- name: SetLanguage :exec
INSERT INTO credentials (account, hash, version, language) VALUES (sqlc.arg(account), '', 0, sqlc.arg(language))
ON CONFLICT (account) DO UPDATE SET language = excluded.language;

-- name: InsertLink :exec
INSERT INTO links (token, account, valid_until) VALUES (sqlc.arg(token), sqlc.arg(account), sqlc.arg(valid_until));

-- name: LinkByToken :one
SELECT * FROM links WHERE token = sqlc.arg(token);

-- name: TakeLink :execrows
DELETE FROM links WHERE token = sqlc.arg(token);

-- name: DeleteLinksOf :exec
DELETE FROM links WHERE account = sqlc.arg(account);

-- name: InsertSession :exec
INSERT INTO sessions (token, data, began, seen) VALUES (sqlc.arg(token), sqlc.arg(data), sqlc.arg(began), sqlc.arg(seen));

-- name: SessionByToken :one
SELECT * FROM sessions WHERE token = sqlc.arg(token);

-- name: ChangeSession :exec
UPDATE sessions SET data = sqlc.arg(data) WHERE token = sqlc.arg(token);

-- name: TouchSession :exec
UPDATE sessions SET seen = sqlc.arg(seen) WHERE token = sqlc.arg(token);

-- name: DeleteSession :exec
DELETE FROM sessions WHERE token = sqlc.arg(token);

-- name: DeleteSessionsBefore :exec
DELETE FROM sessions WHERE seen < sqlc.arg(seen);

-- name: PutLook :exec
INSERT INTO looks (session, rec, purpose, chosen, viewed) VALUES (sqlc.arg(session), sqlc.arg(rec), sqlc.arg(purpose), sqlc.arg(chosen), 0)
ON CONFLICT (session, rec) DO UPDATE SET purpose = excluded.purpose, chosen = excluded.chosen, viewed = 0;

-- name: LookOf :one
SELECT * FROM looks WHERE session = sqlc.arg(session) AND rec = sqlc.arg(rec);

-- name: SetViewed :exec
UPDATE looks SET viewed = sqlc.arg(viewed) WHERE session = sqlc.arg(session) AND rec = sqlc.arg(rec);

-- name: DeleteLooksBefore :exec
DELETE FROM looks WHERE chosen < sqlc.arg(chosen);
