-- What needs a person is found at once, however many recordings there are.

-- +goose Up
CREATE INDEX recordings_incomplete ON recordings (opened_at DESC, rec)
    WHERE shown = 1 AND (faults > 0 OR (closed_at IS NOT NULL AND why <> 'complete') OR length(absent) > 2);

-- +goose Down
DROP INDEX recordings_incomplete;
