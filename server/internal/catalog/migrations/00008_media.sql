-- What is made from originals for looking at.

-- +goose Up
CREATE INDEX recordings_by_stored ON recordings (stored_index) WHERE stored_closed = 1;

-- Derived copies that were asked for, and made. From custody events.
CREATE TABLE derived (
    device      TEXT NOT NULL,
    rec         TEXT NOT NULL,
    asked_at    BIGINT NOT NULL, -- the server's clock
    asked_by    TEXT NOT NULL,
    asked_index BIGINT NOT NULL, -- log index of the custody event
    made_at     BIGINT NOT NULL, -- 0: not made yet
    made_index  BIGINT, -- log index of the custody event
    hash        TEXT NOT NULL, -- of the copy, and the end of its key in the vault
    size        BIGINT NOT NULL,
    media_type  TEXT NOT NULL,
    tool        TEXT NOT NULL,
    settings    TEXT NOT NULL,
    from_hash   TEXT NOT NULL, -- of the original
    PRIMARY KEY (device, rec)
);
CREATE INDEX derived_wanted ON derived (asked_index) WHERE made_index IS NULL;

-- What was found in originals and made of them. A cache: nothing of it comes from the log, and all of it can be made again.
CREATE TABLE media (
    device         TEXT NOT NULL,
    rec            TEXT NOT NULL,
    stored_chunks  BIGINT NOT NULL, -- of the recording when it was looked at
    kind           TEXT NOT NULL, -- video, sound, photo; empty: nothing to look at or listen to was found
    container      TEXT NOT NULL,
    video          TEXT NOT NULL, -- codec
    audio          TEXT NOT NULL, -- codec
    duration       BIGINT NOT NULL, -- milliseconds; 0: not known
    width          BIGINT NOT NULL, -- pixels, as shown
    height         BIGINT NOT NULL,
    rate           BIGINT NOT NULL, -- pictures in 1000 seconds
    playable       BIGINT NOT NULL, -- 1 if browsers can show it
    poster         BIGINT NOT NULL, -- 1 if it was made
    strip          BIGINT NOT NULL,
    wave           BIGINT NOT NULL,
    bytes          BIGINT NOT NULL, -- of the files in the cache; 0: they were removed, or there were none
    used_at        BIGINT NOT NULL, -- about when they were used last
    failure        TEXT NOT NULL, -- why something was not made, in a word; empty: nothing went wrong
    detail         TEXT NOT NULL, -- of the failure
    tries          BIGINT NOT NULL,
    next_at        BIGINT, -- when it is to be tried again, or made again
    derive_failure TEXT NOT NULL,
    derive_detail  TEXT NOT NULL,
    derive_tries   BIGINT NOT NULL,
    derive_next    BIGINT NOT NULL, -- not before
    PRIMARY KEY (device, rec)
);
CREATE INDEX media_due ON media (next_at) WHERE next_at IS NOT NULL;
CREATE INDEX media_used ON media (used_at) WHERE bytes > 0;

-- +goose Down
DROP TABLE media;
DROP TABLE derived;
DROP INDEX recordings_by_stored;
