-- What devices are, what their counters account for, and what they boot. After it the whole log is applied anew.

-- +goose Up
DELETE FROM meta WHERE name = 'log-size';
DELETE FROM custody;
DELETE FROM recordings;
DELETE FROM anchors;
DELETE FROM parts;
DELETE FROM batches;
DROP TABLE devices;

CREATE TABLE devices (
    device         TEXT PRIMARY KEY,
    class          TEXT NOT NULL,
    model          TEXT NOT NULL, -- as the enrolment token said; may be empty
    ak             TEXT NOT NULL, -- base64 of the TPMT_PUBLIC
    ek             TEXT NOT NULL, -- base64 of the TPMT_PUBLIC; empty in class software
    ek_cert        TEXT NOT NULL, -- base64 of the maker's certificate; empty if there is none
    maker          TEXT NOT NULL, -- who issued that certificate
    vouched        TEXT NOT NULL, -- by whom the TPM is vouched for: maker, trial, nobody; software if there is none
    tls_key        TEXT NOT NULL UNIQUE, -- SHA-256 of the SubjectPublicKeyInfo
    counter        TEXT NOT NULL, -- evidence.CounterRef; empty if the TPM offers none
    enrolled_at    BIGINT NOT NULL,
    enrolled_index BIGINT NOT NULL, -- log index of the newest enrolment's custody event
    revoked_index  BIGINT,
    suspect_since  BIGINT,
    chain          TEXT NOT NULL, -- verify.State; empty before the first batch
    next_seq       BIGINT NOT NULL, -- of the statement that must come next
    head           TEXT NOT NULL,
    seen_index     BIGINT -- log index of the newest seen leaf
);

CREATE TABLE counted (
    device    TEXT NOT NULL,
    seq       BIGINT NOT NULL,
    kind      TEXT NOT NULL,
    value     TEXT NOT NULL, -- of the counter, decimal, as the statement says; empty for enrol
    at        BIGINT NOT NULL, -- the device's clock, a claim
    log_index BIGINT NOT NULL, -- of the seen leaf
    PRIMARY KEY (device, seq)
);

CREATE TABLE gaps (
    device     TEXT NOT NULL,
    after_seq  BIGINT NOT NULL, -- the last counted statement before
    before_seq BIGINT NOT NULL, -- the one that found it
    from_value TEXT NOT NULL, -- the first counter value that never arrived, decimal
    to_value   TEXT NOT NULL,
    PRIMARY KEY (device, before_seq)
);

CREATE TABLE boots (
    device    TEXT NOT NULL,
    seq       BIGINT NOT NULL,
    at        BIGINT NOT NULL, -- the device's clock, a claim
    software  TEXT NOT NULL,
    pcrs      TEXT NOT NULL, -- PCRs 0-7 in JSON; empty in class software
    changed   BIGINT, -- seq of the boot before, if that one had other PCRs
    own_last  BIGINT, -- the device's own last seq, if it went on behind the server's head
    log_index BIGINT NOT NULL, -- of the seen leaf
    told      BIGINT, -- log index of the custody event that says software-changed
    PRIMARY KEY (device, seq)
);
CREATE INDEX boots_untold ON boots (device, seq) WHERE changed IS NOT NULL AND told IS NULL;

CREATE TABLE pcr_sets (
    model     TEXT NOT NULL,
    pcrs      TEXT NOT NULL, -- PCRs 0-7 in JSON
    device    TEXT NOT NULL, -- where they were seen
    source    TEXT NOT NULL, -- first-seen or allowed
    at        BIGINT NOT NULL, -- first-seen: the device's clock; allowed: the server's
    log_index BIGINT NOT NULL,
    PRIMARY KEY (model, pcrs)
);

CREATE TABLE forks (
    log_index BIGINT PRIMARY KEY, -- of the custody event
    device    TEXT NOT NULL,
    seq       BIGINT NOT NULL, -- two statements under this number
    known     TEXT NOT NULL, -- digest of the accepted one
    sent      TEXT NOT NULL, -- digest of the refused one
    at        BIGINT NOT NULL -- the server's clock
);

-- +goose Down
DROP TABLE forks;
DROP TABLE pcr_sets;
DROP TABLE boots;
DROP TABLE gaps;
DROP TABLE counted;
