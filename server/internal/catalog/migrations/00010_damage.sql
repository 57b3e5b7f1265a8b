-- What was found changed or missing in the vault, until it was found right again. No event of an older server speaks of it.

-- +goose Up
CREATE TABLE damages (
    device    TEXT NOT NULL,
    rec       TEXT NOT NULL,
    part      BIGINT NOT NULL, -- index of the chunk
    gone      BIGINT NOT NULL, -- 1 if it was not there at all
    at        BIGINT NOT NULL, -- the server's clock, when it was found first
    log_index BIGINT NOT NULL, -- of the custody event
    PRIMARY KEY (device, rec, part)
);
CREATE INDEX damages_by_index ON damages (log_index DESC);

-- +goose Down
DROP TABLE damages;
