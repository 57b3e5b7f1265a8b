-- Who may sign in. After it the whole log is applied anew.

-- +goose Up
DELETE FROM meta WHERE name = 'log-size';
DELETE FROM devices;
DELETE FROM batches;
DELETE FROM parts;
DELETE FROM anchors;
DELETE FROM recordings;
DELETE FROM custody;
DELETE FROM counted;
DELETE FROM gaps;
DELETE FROM boots;
DELETE FROM pcr_sets;
DELETE FROM forks;
DELETE FROM said;
DELETE FROM unrecorded;
DELETE FROM registers;

CREATE TABLE accounts (
    id            TEXT PRIMARY KEY, -- 32 hexadecimal digits
    login         TEXT NOT NULL UNIQUE,
    name          TEXT NOT NULL,
    role          TEXT NOT NULL,
    body          TEXT NOT NULL, -- as the register's departments are called
    certificate   TEXT NOT NULL, -- empty: none
    disabled      BIGINT NOT NULL, -- 1: may not sign in
    made_at       BIGINT NOT NULL, -- the server's clock
    changed_index BIGINT NOT NULL -- log index of the newest custody event about it
);

-- The three tables below are no evidence and not in the vault: reindex takes them over from the catalog before.

-- What is needed beside an account to sign in with a password, and how its owner likes the pages.
CREATE TABLE credentials (
    account  TEXT PRIMARY KEY,
    hash     TEXT NOT NULL, -- argon2id, PHC string; empty: no password yet
    version  BIGINT NOT NULL, -- of the password
    language TEXT NOT NULL -- empty: the browser's
);

CREATE TABLE sessions (
    token TEXT PRIMARY KEY, -- SHA-256 of the cookie's
    data  TEXT NOT NULL, -- base64
    began BIGINT NOT NULL,
    seen  BIGINT NOT NULL -- the newest request, to the minute
);
CREATE INDEX sessions_by_seen ON sessions (seen);

-- One-time links with which somebody sets a password.
CREATE TABLE links (
    token       TEXT PRIMARY KEY, -- SHA-256
    account     TEXT NOT NULL, -- empty: makes the first administrator
    valid_until BIGINT NOT NULL
);

-- For what a session looks at recordings. Not taken over by reindex: people are asked again.
CREATE TABLE looks (
    session TEXT NOT NULL, -- the session's own number
    rec     TEXT NOT NULL,
    purpose TEXT NOT NULL,
    chosen  BIGINT NOT NULL,
    viewed  BIGINT NOT NULL, -- the newest custody event; 0: none yet
    PRIMARY KEY (session, rec)
);
CREATE INDEX looks_by_chosen ON looks (chosen);

-- +goose Down
DROP TABLE looks;
DROP TABLE links;
DROP TABLE sessions;
DROP TABLE credentials;
DROP TABLE accounts;
