-- How long recordings are kept, and what was disposed of. After it the whole log is applied anew.

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
DELETE FROM accounts;
DELETE FROM cases;
DELETE FROM case_events;
DELETE FROM case_recordings;
DELETE FROM calendar_years;
DELETE FROM viewer_marks;
DELETE FROM tokens;
DELETE FROM texts;

-- Every stored leaf; table recordings knows the newest alone.
CREATE TABLE stored_receipts (
    log_index BIGINT PRIMARY KEY,
    device    TEXT NOT NULL,
    rec       TEXT NOT NULL,
    chunks    BIGINT NOT NULL,
    until_at  BIGINT NOT NULL,
    leaf      TEXT NOT NULL
);
CREATE INDEX stored_receipts_by_rec ON stored_receipts (device, rec, log_index);

-- Retention classes. A term is only ever lengthened.
CREATE TABLE retention_classes (
    name      TEXT PRIMARY KEY,
    days      BIGINT NOT NULL,
    set_at    BIGINT NOT NULL, -- the server's clock
    set_by    TEXT NOT NULL,
    log_index BIGINT NOT NULL -- of the custody event
);

-- The class of a recording; one that has none is kept for the configured retention.
CREATE TABLE retained (
    device    TEXT NOT NULL,
    rec       TEXT NOT NULL,
    class     TEXT NOT NULL,
    base_at   BIGINT NOT NULL, -- from when on the term counts
    until_at  BIGINT NOT NULL, -- only ever later
    set_by    TEXT NOT NULL,
    log_index BIGINT NOT NULL, -- of the newest custody event
    PRIMARY KEY (device, rec)
);
CREATE INDEX retained_by_class ON retained (class);
CREATE INDEX recordings_by_until ON recordings (stored_until, rec) WHERE stored_index IS NOT NULL;

-- What each device did lately, without reading whole rows.
CREATE INDEX recordings_of_device ON recordings (device, opened_at, modified, header_first_at, footage, shown, size);
CREATE INDEX forks_by_device ON forks (device);

-- What is proposed for disposal, being disposed of, or gone. From the confirmation on it stands for the recording.
CREATE TABLE disposals (
    device           TEXT NOT NULL,
    rec              TEXT NOT NULL,
    state            TEXT NOT NULL, -- proposed, confirmed, disposed
    reason           TEXT NOT NULL,
    name             TEXT NOT NULL,
    hash             TEXT NOT NULL, -- SHA-256 of the whole original; empty if it was never closed
    size             BIGINT NOT NULL,
    chunks           BIGINT NOT NULL,
    opened_at        BIGINT NOT NULL, -- the device's clock, a claim
    last_seq         BIGINT NOT NULL, -- of the newest statement when it was proposed
    stored_index     BIGINT NOT NULL, -- log index of the last stored leaf
    proposed_at      BIGINT NOT NULL, -- the server's clock
    proposed_by      TEXT NOT NULL,
    proposed_account TEXT NOT NULL,
    proposed_index   BIGINT NOT NULL,
    confirmed_at     BIGINT NOT NULL, -- 0: not yet
    confirmed_by     TEXT NOT NULL,
    confirmed_index  BIGINT NOT NULL,
    confirmed_event  TEXT NOT NULL,
    total            BIGINT NOT NULL, -- objects in the vault when it was confirmed
    total_bytes      BIGINT NOT NULL,
    disposed_at      BIGINT NOT NULL, -- 0: not yet
    disposed_index   BIGINT NOT NULL,
    objects          BIGINT NOT NULL, -- removed from the vault so far
    bytes            BIGINT NOT NULL,
    kept             BIGINT NOT NULL, -- objects whose own lock lasts longer
    kept_until       BIGINT NOT NULL,
    PRIMARY KEY (device, rec)
);
CREATE INDEX disposals_by_state ON disposals (state, proposed_at, rec);
CREATE INDEX disposals_by_rec ON disposals (rec);

-- Recordings whose statements were not in the vault when the log was applied anew, with the disposal that the vault holds for them. The
-- log's own word for it follows and takes the row away: one that stays is a loss.
CREATE TABLE words_gone (
    device TEXT NOT NULL,
    rec    TEXT NOT NULL,
    event  TEXT NOT NULL, -- SHA-256 of the event disposal-confirmed
    PRIMARY KEY (device, rec)
);

-- +goose Down
DROP TABLE words_gone;
DROP TABLE disposals;
DROP INDEX forks_by_device;
DROP INDEX recordings_of_device;
DROP INDEX recordings_by_until;
DROP TABLE retained;
DROP TABLE retention_classes;
DROP TABLE stored_receipts;
