-- Cases, the calendar of working days, and marks that people made. After it the whole log is applied anew.

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

-- Cases as lists show them; what they are stands in case_events.
CREATE TABLE cases (
    id           TEXT PRIMARY KEY,
    number       TEXT NOT NULL,
    title        TEXT NOT NULL,
    party        TEXT NOT NULL,
    body         TEXT NOT NULL, -- the handling body
    review_body  TEXT NOT NULL,
    activity     TEXT NOT NULL,
    state        TEXT NOT NULL,
    due          BIGINT NOT NULL, -- of the round under review; 0: none
    opened_at    BIGINT NOT NULL,
    opened_index BIGINT NOT NULL,
    changed_at   BIGINT NOT NULL,
    rounds       BIGINT NOT NULL,
    held         BIGINT NOT NULL, -- 1 while a hold is on
    body_key     TEXT NOT NULL, -- the bodies' names, made one of the ways to write them
    review_key   TEXT NOT NULL,
    words        TEXT NOT NULL -- number, title and party in lower case, for looking in
);
CREATE INDEX cases_by_opening ON cases (opened_index DESC);
CREATE INDEX cases_by_state ON cases (state, opened_index DESC);
CREATE INDEX cases_by_body ON cases (body_key, opened_index DESC);

-- The custody events that a case is made of.
CREATE TABLE case_events (
    log_index BIGINT PRIMARY KEY,
    case_id   TEXT NOT NULL,
    event     TEXT NOT NULL -- canonical JSON
);
CREATE INDEX case_events_by_case ON case_events (case_id, log_index);

-- Recordings that were ever linked to a case.
CREATE TABLE case_recordings (
    case_id TEXT NOT NULL,
    device  TEXT NOT NULL,
    rec     TEXT NOT NULL,
    linked  BIGINT NOT NULL, -- 1 if it belongs to the case now
    PRIMARY KEY (case_id, device, rec)
);
CREATE INDEX case_recordings_by_rec ON case_recordings (rec, device);

-- Days off and days worked of years that the administrator entered: the newest of a year counts.
CREATE TABLE calendar_years (
    year      BIGINT PRIMARY KEY,
    off       TEXT NOT NULL, -- days, YYYY-MM-DD, with spaces between
    worked    TEXT NOT NULL,
    at        BIGINT NOT NULL,
    actor     TEXT NOT NULL,
    log_index BIGINT NOT NULL
);

-- Important moments that people marked in the browser.
CREATE TABLE viewer_marks (
    log_index BIGINT PRIMARY KEY,
    device    TEXT NOT NULL,
    rec       TEXT NOT NULL,
    moment    BIGINT NOT NULL, -- milliseconds from the begin
    text      TEXT NOT NULL,
    account   TEXT NOT NULL,
    actor     TEXT NOT NULL,
    at        BIGINT NOT NULL -- the server's clock
);
CREATE INDEX viewer_marks_by_rec ON viewer_marks (rec, device, moment, log_index);

-- +goose Down
DROP TABLE viewer_marks;
DROP TABLE calendar_years;
DROP TABLE case_recordings;
DROP TABLE case_events;
DROP TABLE cases;
