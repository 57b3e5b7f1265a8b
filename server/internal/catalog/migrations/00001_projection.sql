-- The catalog is a projection of the log and the vault; `camseal-server reindex` makes it anew from them.
-- Digests, device and recording ids are lower-case hexadecimal text; times are milliseconds since 1970 UTC.

-- +goose Up
CREATE TABLE meta (
    name  TEXT PRIMARY KEY,
    value TEXT NOT NULL
);

CREATE TABLE devices (
    device           TEXT PRIMARY KEY,
    class            TEXT NOT NULL,
    ak               TEXT NOT NULL, -- base64 of the TPMT_PUBLIC
    tls_key          TEXT NOT NULL UNIQUE, -- SHA-256 of the SubjectPublicKeyInfo
    registered_at    BIGINT NOT NULL,
    registered_index BIGINT NOT NULL,
    revoked_index    BIGINT,
    chain            TEXT NOT NULL, -- verify.State; empty before the first batch
    next_seq         BIGINT NOT NULL, -- of the statement that must come next
    head             TEXT NOT NULL,
    seen_index       BIGINT -- log index of the newest seen leaf
);

CREATE TABLE batches (
    device    TEXT NOT NULL,
    first_seq BIGINT NOT NULL,
    upto      BIGINT NOT NULL,
    head      TEXT NOT NULL,
    key       TEXT NOT NULL, -- of the skeleton in the vault
    version   TEXT NOT NULL,
    size      BIGINT NOT NULL,
    hash      TEXT NOT NULL,
    log_index BIGINT NOT NULL,
    leaf      TEXT NOT NULL,
    PRIMARY KEY (device, upto)
);

CREATE TABLE parts (
    device    TEXT NOT NULL,
    rec       TEXT NOT NULL, -- zeros for the device itself
    first_seq BIGINT NOT NULL,
    upto      BIGINT NOT NULL, -- of the batch it belongs to
    key       TEXT NOT NULL,
    version   TEXT NOT NULL,
    size      BIGINT NOT NULL,
    hash      TEXT NOT NULL,
    PRIMARY KEY (device, rec, first_seq)
);

CREATE TABLE anchors (
    device TEXT NOT NULL,
    seq    BIGINT NOT NULL,
    PRIMARY KEY (device, seq)
);

CREATE TABLE recordings (
    device        TEXT NOT NULL,
    rec           TEXT NOT NULL,
    name          TEXT NOT NULL,
    media_type    TEXT NOT NULL,
    mode          TEXT NOT NULL,
    opened_at     BIGINT NOT NULL,
    open_seq      BIGINT NOT NULL,
    open_digest   TEXT NOT NULL,
    first_index   BIGINT NOT NULL, -- log index of the first seen leaf
    last_seq      BIGINT NOT NULL,
    last_n        BIGINT NOT NULL,
    chunks        BIGINT NOT NULL, -- sealed so far
    size          BIGINT NOT NULL, -- bytes sealed so far
    closed_at     BIGINT,
    close_digest  TEXT NOT NULL, -- empty while the recording is open
    hash          TEXT NOT NULL, -- of the whole file, as closed
    why           TEXT NOT NULL,
    faults        BIGINT NOT NULL,
    absent        TEXT NOT NULL, -- indexes of chunks declared lost, in JSON
    stored_chunks BIGINT NOT NULL,
    stored_until  BIGINT NOT NULL,
    stored_closed BIGINT NOT NULL, -- 1 if the stored leaf names the close statement
    stored_index  BIGINT, -- log index of the newest stored leaf
    stored_leaf   TEXT NOT NULL,
    PRIMARY KEY (device, rec)
);
CREATE INDEX recordings_by_time ON recordings (opened_at DESC, rec);
CREATE INDEX recordings_by_rec ON recordings (rec);

CREATE TABLE custody (
    log_index BIGINT PRIMARY KEY,
    at        BIGINT NOT NULL,
    actor     TEXT NOT NULL,
    act       TEXT NOT NULL,
    device    TEXT NOT NULL, -- empty if about none
    rec       TEXT NOT NULL, -- zeros if about none
    event     TEXT NOT NULL  -- SHA-256 of the event, and the end of its key
);
CREATE INDEX custody_by_rec ON custody (rec, log_index);

-- +goose Down
DROP TABLE custody;
DROP TABLE recordings;
DROP TABLE anchors;
DROP TABLE parts;
DROP TABLE batches;
DROP TABLE devices;
DROP TABLE meta;
