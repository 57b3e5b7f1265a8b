-- name: FleetDevices :many
SELECT sqlc.embed(devices),
    CAST(COALESCE((SELECT boots.software FROM boots WHERE boots.device = devices.device ORDER BY boots.seq DESC LIMIT 1), '') AS TEXT) AS software,
    CAST(COALESCE((SELECT boots.at FROM boots WHERE boots.device = devices.device ORDER BY boots.seq DESC LIMIT 1), 0) AS BIGINT) AS booted_at,
    (SELECT COUNT(*) FROM boots WHERE boots.device = devices.device AND boots.changed IS NOT NULL) AS changes,
    (SELECT COUNT(*) FROM gaps WHERE gaps.device = devices.device) AS gaps,
    (SELECT COUNT(*) FROM forks WHERE forks.device = devices.device) AS forks
FROM devices
WHERE COALESCE(devices.seen_index, -1) > CAST(sqlc.arg(after) AS BIGINT) OR (COALESCE(devices.seen_index, -1) = CAST(sqlc.arg(after) AS BIGINT) AND devices.device > sqlc.arg(after_device))
ORDER BY COALESCE(devices.seen_index, -1), devices.device LIMIT sqlc.arg(page);

-- name: CountFleet :one
SELECT COUNT(*) AS devices, CAST(COALESCE(SUM(CASE WHEN revoked_index IS NULL THEN 0 ELSE 1 END), 0) AS BIGINT) AS revoked FROM devices;

-- name: DeviceWork :one
SELECT COUNT(*) AS recordings, CAST(COALESCE(SUM(size), 0) AS BIGINT) AS bytes, CAST(COALESCE(MAX(opened_at), 0) AS BIGINT) AS newest,
    CAST(COALESCE(SUM(CASE WHEN modified > 0 AND opened_at - modified > sqlc.arg(export_within) THEN 1 ELSE 0 END), 0) AS BIGINT) AS late,
    CAST(COALESCE(SUM(CASE WHEN header_first_at IS NOT NULL AND header_first_at - opened_at > CAST(sqlc.arg(header_within) AS BIGINT) THEN 1
        WHEN header_first_at IS NULL AND footage = 1 AND shown = 1 AND sqlc.arg(now) - opened_at > CAST(sqlc.arg(header_within) AS BIGINT) THEN 1 ELSE 0 END), 0) AS BIGINT) AS headers_late
FROM recordings WHERE device = sqlc.arg(device) AND opened_at >= sqlc.arg(since);

-- name: LateExports :many
SELECT * FROM recordings
WHERE device = sqlc.arg(device) AND opened_at >= sqlc.arg(since) AND modified > 0 AND opened_at - modified > sqlc.arg(export_within)
ORDER BY opened_at DESC, rec LIMIT sqlc.arg(page);

-- name: BootsOf :many
SELECT * FROM boots WHERE device = sqlc.arg(device) ORDER BY seq DESC LIMIT sqlc.arg(page);

-- name: CustodyOnDuty :many
SELECT * FROM custody
WHERE device = sqlc.arg(device) AND act IN ('commanded', 'command-done', 'command-refused', 'command-expired', 'watched-live', 'watched-live-end')
ORDER BY log_index DESC LIMIT sqlc.arg(page);
