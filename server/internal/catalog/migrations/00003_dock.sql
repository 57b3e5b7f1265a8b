-- What recordings are about, where they were found, and who the officers are. After it the whole log is applied anew.

-- +goose Up
DELETE FROM meta WHERE name = 'log-size';
DELETE FROM devices;
DELETE FROM batches;
DELETE FROM parts;
DELETE FROM anchors;
DELETE FROM custody;
DELETE FROM counted;
DELETE FROM gaps;
DELETE FROM boots;
DELETE FROM pcr_sets;
DELETE FROM forks;
DROP TABLE recordings;

-- Texts that people wrote are fit to be shown: one line, at most 4096 bytes. As they were said they stand in table said, and in the vault.
CREATE TABLE recordings (
    device          TEXT NOT NULL,
    rec             TEXT NOT NULL,
    name            TEXT NOT NULL,
    media_type      TEXT NOT NULL,
    mode            TEXT NOT NULL,
    opened_at       BIGINT NOT NULL,
    open_seq        BIGINT NOT NULL,
    open_digest     TEXT NOT NULL,
    first_index     BIGINT NOT NULL, -- log index of the first seen leaf
    last_seq        BIGINT NOT NULL,
    last_n          BIGINT NOT NULL,
    chunks          BIGINT NOT NULL, -- sealed so far
    size            BIGINT NOT NULL, -- bytes sealed so far
    closed_at       BIGINT,
    close_seq       BIGINT,
    close_digest    TEXT NOT NULL, -- empty while the recording is open
    hash            TEXT NOT NULL, -- of the whole file, as closed
    why             TEXT NOT NULL,
    faults          BIGINT NOT NULL,
    absent          TEXT NOT NULL, -- indexes of chunks declared lost, in JSON
    stored_chunks   BIGINT NOT NULL,
    stored_until    BIGINT NOT NULL,
    stored_closed   BIGINT NOT NULL, -- 1 if the stored leaf names the close statement
    stored_absent   BIGINT NOT NULL, -- chunks that the stored leaf calls absent
    stored_index    BIGINT, -- log index of the newest stored leaf
    stored_leaf     TEXT NOT NULL,
    serial          TEXT NOT NULL, -- of the recorder
    volume          TEXT NOT NULL,
    path            TEXT NOT NULL, -- on its volume: base64 of the bytes as found
    source_size     BIGINT NOT NULL, -- bytes, when it was opened
    modified        BIGINT NOT NULL, -- the file's own time; 0: not known
    original        TEXT NOT NULL, -- the same for every attempt to take in one file of one recorder; empty: can't be told
    standing        BIGINT NOT NULL, -- 3: stored whole; 2: closed whole; 1: stored in part; 0: neither
    shown           BIGINT NOT NULL, -- 1 for the one recording that stands for its original
    kind            TEXT NOT NULL, -- video, sound, photo, other
    footage         BIGINT NOT NULL, -- 1 if it needs a case header
    sequence        TEXT NOT NULL, -- id; empty if it is in none
    sequence_index  BIGINT NOT NULL,
    header_first_at BIGINT, -- the device's clock, of the first header
    header_at       BIGINT, -- of the newest
    spoken          BIGINT NOT NULL, -- 1 if any of its headers was spoken
    department      TEXT NOT NULL,
    officers        TEXT NOT NULL, -- certificate and name of each, in JSON
    cause           TEXT NOT NULL,
    header_time     TEXT NOT NULL,
    place           TEXT NOT NULL,
    activity        TEXT NOT NULL,
    case_number     TEXT NOT NULL,
    confirmed       TEXT NOT NULL, -- by whom
    note            TEXT NOT NULL,
    marks           BIGINT NOT NULL,
    released        BIGINT NOT NULL, -- 1 if it was released from the recorder
    PRIMARY KEY (device, rec)
);
CREATE INDEX recordings_by_time ON recordings (opened_at DESC, rec);
CREATE INDEX recordings_shown ON recordings (shown, opened_at DESC, rec);
CREATE INDEX recordings_by_rec ON recordings (rec);
CREATE INDEX recordings_by_original ON recordings (original);
CREATE INDEX recordings_by_sequence ON recordings (sequence, device, sequence_index);
CREATE INDEX recordings_without_header ON recordings (shown, footage, opened_at, rec) WHERE header_first_at IS NULL;

-- Headers, notes, marks and releases as they were said: nothing is ever replaced.
CREATE TABLE said (
    device TEXT NOT NULL,
    rec    TEXT NOT NULL,
    seq    BIGINT NOT NULL,
    at     BIGINT NOT NULL, -- the device's clock, a claim
    kind   TEXT NOT NULL,
    body   TEXT NOT NULL, -- the statement's, in JSON
    PRIMARY KEY (device, rec, seq)
);

-- Acts that were not recorded, and why.
CREATE TABLE unrecorded (
    device    TEXT NOT NULL,
    rec       TEXT NOT NULL,
    at        BIGINT NOT NULL, -- the device's clock, a claim
    activity  TEXT NOT NULL,
    said_by   TEXT NOT NULL,
    reason    TEXT NOT NULL,
    log_index BIGINT NOT NULL, -- of the seen leaf
    PRIMARY KEY (device, rec)
);
CREATE INDEX unrecorded_by_time ON unrecorded (at DESC, rec);

-- Registers of officers, the newest last. What one says lies in the vault.
CREATE TABLE registers (
    log_index BIGINT PRIMARY KEY, -- of the custody event
    at        BIGINT NOT NULL, -- the server's clock
    version   TEXT NOT NULL, -- SHA-256 of the object, and the end of its key
    size      BIGINT NOT NULL -- bytes of it
);

-- +goose Down
DROP TABLE registers;
DROP TABLE unrecorded;
DROP TABLE said;
