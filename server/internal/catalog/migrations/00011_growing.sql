-- How far recordings that still grow are known. After it the whole log is applied anew.

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
DELETE FROM stored_receipts;
DELETE FROM retention_classes;
DELETE FROM retained;
DELETE FROM disposals;
DELETE FROM words_gone;
DELETE FROM derived;
DELETE FROM damages;

ALTER TABLE recordings ADD COLUMN seen_ms BIGINT NOT NULL DEFAULT 0; -- milliseconds of footage that the statements speak of; 0: they don't say
ALTER TABLE recordings ADD COLUMN last_at BIGINT NOT NULL DEFAULT 0; -- the device's clock at the newest statement
ALTER TABLE recordings ADD COLUMN last_index BIGINT NOT NULL DEFAULT 0; -- log index of the seen leaf that covers it
ALTER TABLE recordings ADD COLUMN continues TEXT NOT NULL DEFAULT ''; -- id of the recording of the same device that it goes on from; empty: none
CREATE INDEX recordings_continuing ON recordings (continues, device) WHERE continues <> '';
CREATE INDEX recordings_growing ON recordings (last_index) WHERE closed_at IS NULL AND mode = 'capture';

-- What a recorder was told to do, and who watched it: much of that is about no recording.
CREATE INDEX custody_on_duty ON custody (device, log_index)
    WHERE act IN ('commanded', 'command-done', 'command-refused', 'command-expired', 'watched-live', 'watched-live-end');

-- +goose Down
DROP INDEX custody_on_duty;
DROP INDEX recordings_growing;
DROP INDEX recordings_continuing;
