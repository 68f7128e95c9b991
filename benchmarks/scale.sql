-- What benchmarks/scale.py fills a vault with, beside a few rows that the real loader wrote: made-up rows of the real
-- sizes over 24 months, under keys of a day each, an audit log whose hashes are right, and a quarantine.

-- name: months
SELECT vault_etl.ensure_partition('user_logins', (now() AT TIME ZONE 'UTC' - make_interval(months => back))::date)
FROM generate_series(0, 23) AS back

-- name: keys
-- Their leases are over: of a vault that was never rotated. As many as there are thousands of rows, of each field a
-- third; one in ten has no value.
INSERT INTO vault_etl.data_keys (key_id, field, kms_key_arn, wrapped_key, fingerprint, created_at, created_by, expires_at)
SELECT i, (ARRAY['ip', 'device_id', 'quarantine'])[1 + i %% 3], real.kms_key_arn, real.wrapped_key, '8 bytes!',
    began, 'ingest', began + interval '24 hours'
FROM generate_series(30, 29 + %(keys)s) AS i,
    LATERAL (SELECT now() - interval '700 days' * (1 - (i - 30.0) / %(keys)s) - interval '2 days') AS at (began),
    (SELECT k.kms_key_arn, k.wrapped_key FROM vault_etl.data_keys AS k WHERE k.purpose = 'data' LIMIT 1) AS real

-- name: records
-- Of a part of the rows, in the order of their ids. A user has four; addresses and devices repeat, as in life.
INSERT INTO vault_etl.user_logins (
    record_id, user_id, device_type, masked_ip, masked_device_id, ip_ciphertext, device_id_ciphertext,
    token_generation, locale, app_version, create_date
)
SELECT
    (lpad(to_hex((extract(epoch FROM sent) * 1000)::bigint), 12, '0')
        || '7' || substring(md5(i::text) FOR 3) || '8' || substring(md5('b' || i) FOR 15))::uuid,
    md5('user' || i %% (%(rows)s / 4))::uuid::text, (ARRAY['android', 'ios'])[1 + i %% 2],
    md5('ip' || (i * 7919::bigint) %% (%(rows)s * 3 / 4))::uuid,
    md5('device' || (i * 104729::bigint) %% (%(rows)s * 4 / 5))::uuid,
    '\x01'::bytea || int4send(30 + slot) || sha256(i::text::bytea) || '12 bytes ...',
    '\x01'::bytea || int4send(31 + slot) || sha256(('d' || i)::bytea) || '12 bytes ...',
    1, (ARRAY['RU', 'PH', 'ID', 'CN', NULL])[1 + i %% 5], '2.3.' || i %% 7, (sent AT TIME ZONE 'UTC')::date
FROM generate_series(%(first)s::integer, %(last)s::integer) AS i,
    (SELECT (date_trunc('month', now() AT TIME ZONE 'UTC') - interval '23 months') AT TIME ZONE 'UTC') AS begin (first_day),
    LATERAL (SELECT
        first_day + (now() - first_day) * (i / %(rows)s::double precision),
        3 * ((i::bigint * (%(keys)s * 9 / 10) / %(rows)s / 3)::integer)
    ) AS at (sent, slot)

-- name: quarantine
INSERT INTO vault_etl.quarantine (record_id, reason_code, path, body_ciphertext, quarantined_at)
SELECT
    (lpad(to_hex((extract(epoch FROM sent) * 1000)::bigint), 12, '0')
        || '7' || substring(md5('q' || i) FOR 3) || '8' || substring(md5('r' || i) FOR 15))::uuid,
    (ARRAY['not_json', 'not_an_address', 'missing_field', 'too_long'])[1 + i %% 4], '$',
    '\x01'::bytea || int4send(32 + slot)
        || substring(decode(repeat(md5(i::text), 24), 'hex') FOR 348), sent
FROM generate_series(0, %(messages)s - 1) AS i,
    LATERAL (SELECT
        now() - interval '700 days' * (1 - i / %(messages)s::double precision),
        3 * ((i::bigint * (%(keys)s * 9 / 10) / %(messages)s / 3)::integer)
    ) AS at (sent, slot)

-- name: log
-- Looks, an intent and an outcome each, behind the entries that are there: every hash is that of its entry.
DO $$
DECLARE
    head vault_etl.audit_head;
    entry vault_etl.audit_log;
    entries bigint := current_setting('bench.entries')::bigint;
BEGIN
    SELECT * INTO head FROM vault_etl.audit_head;
    entry := ROW(
        0, NULL, NULL, NULL, 'reader', '192.0.2.1', 'arn:aws:sts::123456789012:assumed-role/reveal/someone', 'laptop',
        'reveal', NULL, '{ip}', NULL, NULL, 'a customer asked', NULL, NULL, head.hash, NULL, '3'
    );
    FOR i IN 1 .. entries LOOP
        entry.seq := head.seq + i;
        entry.logged_at := clock_timestamp();
        entry.prev_hash := coalesce(entry.hash, head.hash);
        IF i % 2 = 1 THEN
            entry.request_id := md5('request' || i)::uuid;
            entry.record_id := md5('record' || i % 1000)::uuid;
            entry.phase := 'intent';
            entry.decision := 'allowed';
        ELSE
            entry.phase := 'outcome';
            entry.decision := 'done';
        END IF;
        entry.hash := vault_etl.audit_hash(entry);
        INSERT INTO vault_etl.audit_log SELECT entry.*;
    END LOOP;
    UPDATE vault_etl.audit_head SET seq = entry.seq, hash = entry.hash;
END
$$

-- name: pages
-- Of this database, with what is in a backend that has ended.
SELECT blks_hit + blks_read FROM pg_stat_database WHERE datname = current_database()

-- name: range
-- A month's ids in the middle of the table, as a range of a rotation.
SELECT r.first, r.until FROM vault_etl.partition_ranges() AS r
WHERE r.partition = 'user_logins_' || to_char(now() AT TIME ZONE 'UTC' - interval '12 months', 'YYYY_MM')
