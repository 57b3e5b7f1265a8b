-- Finding recordings. After it the whole log is applied anew.

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

ALTER TABLE recordings ADD COLUMN num BIGINT NOT NULL DEFAULT 0; -- running number in the order of the log, from 1 on
ALTER TABLE recordings ADD COLUMN at BIGINT NOT NULL DEFAULT 0; -- when it was filmed, as the file says, else when sealing began; fixed when opened
ALTER TABLE recordings ADD COLUMN grade TEXT NOT NULL DEFAULT ''; -- verify.Grade; fixed when opened
CREATE INDEX recordings_by_num ON recordings (num, shown);
CREATE INDEX recordings_by_at ON recordings (shown, at, num);

-- What a recording can be found by: facets such as dept:…, which follow the row, and words, which stay.
CREATE TABLE tokens (
    token TEXT /*postgres COLLATE "C" */ NOT NULL,
    at    BIGINT NOT NULL, -- of the recording
    num   BIGINT NOT NULL,
    PRIMARY KEY (token, at, num)
) /*sqlite3 WITHOUT ROWID*/;

-- The text that the words come from, for phrases.
CREATE TABLE texts (
    num  BIGINT NOT NULL,
    seq  BIGINT NOT NULL, -- of the statement that says it
    body TEXT NOT NULL, -- runs of letters, digits or Han characters, lower case, a space around each
    PRIMARY KEY (num, seq)
) /*sqlite3 WITHOUT ROWID*/;

-- Searches that people keep. Not from the log.
CREATE TABLE saved_searches (
    id      TEXT PRIMARY KEY,
    account TEXT NOT NULL,
    name    TEXT NOT NULL,
    query   TEXT NOT NULL, -- of the address
    at      BIGINT NOT NULL
);
CREATE INDEX saved_searches_of ON saved_searches (account, at, id);

-- +goose Down
DROP TABLE saved_searches;
DROP TABLE texts;
DROP TABLE tokens;
