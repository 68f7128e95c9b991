-- What benchmarks/layout.py runs: made-up rows of the real sizes, and what the product does to them, page by page.

-- name: made
-- Addresses and devices repeat, as in life; ciphertexts are of 49 bytes, as those of an address and a short device id.
CREATE SCHEMA bench;
CREATE TABLE bench.made AS
SELECT
    i AS n,
    (lpad(to_hex((extract(epoch FROM first_day) * 1000)::bigint + i * (60::bigint * 86400000 / :rows)), 12, '0')
        || '7' || substring(md5(i::text) FOR 3) || '8' || substring(md5('b' || i) FOR 15))::uuid AS record_id,
    md5('user' || :user)::uuid::text AS user_id,
    (ARRAY['android', 'ios'])[1 + i % 2] AS device_type,
    md5('ip' || :ip)::uuid AS masked_ip,
    md5('device' || :device)::uuid AS masked_device_id,
    '\x0100000007'::bytea || sha256(i::text::bytea) || '12 bytes ...'::bytea AS ip_ciphertext,
    '\x0100000008'::bytea || sha256(('d' || i)::bytea) || '12 bytes ...'::bytea AS device_id_ciphertext,
    (ARRAY['RU', 'PH', 'ID', 'CN', NULL])[1 + i % 5] AS locale,
    '2.3.' || i % 7 AS app_version,
    (first_day + make_interval(days => (i * 60::bigint / :rows)::integer))::date AS create_date
FROM generate_series(0, :rows - 1) AS i,
    (SELECT date_trunc('month', now() AT TIME ZONE 'UTC') - interval '2 months' AS first_day) AS begin;
CREATE UNIQUE INDEX ON bench.made (n);
ANALYZE bench.made

-- name: narrow
-- The other design: ciphertexts in a table of their own, 1:1 by record id, in the same months.
DO $$
DECLARE
    part record;
BEGIN
    CREATE TABLE vault_etl.seals (
        record_id uuid PRIMARY KEY, ip_ciphertext bytea, device_id_ciphertext bytea
    ) PARTITION BY RANGE (record_id);
    FOR part IN
        SELECT c.relname, pg_get_expr(c.relpartbound, c.oid) AS bounds
        FROM pg_inherits AS i JOIN pg_class AS c ON c.oid = i.inhrelid WHERE i.inhparent = 'vault_etl.user_logins'::regclass
    LOOP
        EXECUTE format(
            'CREATE TABLE vault_etl.%I PARTITION OF vault_etl.seals %s', replace(part.relname, 'user_logins', 'seals'), part.bounds
        );
    END LOOP;
END
$$

-- name: procedures
CREATE PROCEDURE bench.ingest(from_n bigint, to_n bigint, narrow boolean) LANGUAGE plpgsql AS $$
BEGIN
    FOR batch IN 0 .. (to_n - from_n) / 1000 LOOP
        INSERT INTO vault_etl.user_logins (
            record_id, user_id, device_type, masked_ip, masked_device_id, ip_ciphertext, device_id_ciphertext,
            token_generation, locale, app_version, create_date
        )
        SELECT record_id, user_id, device_type, masked_ip, masked_device_id,
            CASE WHEN NOT narrow THEN ip_ciphertext END, CASE WHEN NOT narrow THEN device_id_ciphertext END,
            1, locale, app_version, create_date
        FROM bench.made WHERE n >= from_n + batch * 1000 AND n < least(to_n, from_n + (batch + 1) * 1000)
        ORDER BY record_id ON CONFLICT DO NOTHING;
        IF narrow THEN
            INSERT INTO vault_etl.seals SELECT record_id, ip_ciphertext, device_id_ciphertext FROM bench.made
            WHERE n >= from_n + batch * 1000 AND n < least(to_n, from_n + (batch + 1) * 1000)
            ORDER BY record_id ON CONFLICT DO NOTHING;
        END IF;
        COMMIT;
    END LOOP;
END
$$;
-- A page of 1,000 rows, in so many transactions: each takes every so-manieth row, so that the room of what the one
-- before it has replaced is free for the next.
CREATE PROCEDURE bench.rotate(round integer, slices integer, place text) LANGUAGE plpgsql AS $$
DECLARE
    ids uuid[];
    after uuid := '00000000-0000-0000-0000-000000000000';
BEGIN
    LOOP
        EXECUTE format('SELECT ARRAY(SELECT record_id FROM vault_etl.%I WHERE record_id > $1 ORDER BY 1 LIMIT 1000)', place)
        INTO ids USING after;
        EXIT WHEN cardinality(ids) = 0;
        after := ids[cardinality(ids)];
        FOR part IN 0 .. slices - 1 LOOP
            EXECUTE format($update$
                UPDATE vault_etl.%I AS r SET
                    ip_ciphertext = substring(r.ip_ciphertext FOR 5) || sha256(r.ip_ciphertext) || '12 bytes ...'::bytea,
                    device_id_ciphertext =
                        substring(r.device_id_ciphertext FOR 5) || sha256(r.device_id_ciphertext) || '12 bytes ...'::bytea
                FROM unnest($1) WITH ORDINALITY AS page (id, place)
                WHERE r.record_id = page.id AND r.record_id BETWEEN $1[1] AND $2 AND page.place %% $4 = $3
            $update$, place) USING ids, after, part, slices;
            COMMIT;
        END LOOP;
    END LOOP;
END
$$;
CREATE PROCEDURE bench.tokens(fill boolean, slices integer) LANGUAGE plpgsql AS $$
DECLARE
    ids uuid[];
    after uuid := '00000000-0000-0000-0000-000000000000';
BEGIN
    LOOP
        ids := ARRAY(SELECT record_id FROM vault_etl.user_logins WHERE record_id > after ORDER BY 1 LIMIT 1000);
        EXIT WHEN cardinality(ids) = 0;
        after := ids[cardinality(ids)];
        FOR part IN 0 .. slices - 1 LOOP
            UPDATE vault_etl.user_logins AS r SET
                next_masked_ip = CASE WHEN fill THEN md5(r.masked_ip::text)::uuid END,
                next_masked_device_id = CASE WHEN fill THEN md5(r.masked_device_id::text)::uuid END,
                next_token_generation = CASE WHEN fill THEN 2::smallint END
            FROM unnest(ids) WITH ORDINALITY AS page (id, place)
            WHERE r.record_id = page.id AND r.record_id BETWEEN ids[1] AND after AND page.place % slices = part;
            COMMIT;
        END LOOP;
    END LOOP;
END
$$;
CREATE PROCEDURE bench.erase(narrow boolean) LANGUAGE plpgsql AS $$
BEGIN
    UPDATE vault_etl.user_logins AS r SET
        masked_ip = NULL, masked_device_id = NULL, ip_ciphertext = NULL, device_id_ciphertext = NULL, token_generation = NULL
    WHERE r.record_id IN (SELECT record_id FROM bench.made WHERE n % 1000 = 0);
    IF narrow THEN
        UPDATE vault_etl.seals AS s SET ip_ciphertext = NULL, device_id_ciphertext = NULL
        WHERE s.record_id IN (SELECT record_id FROM bench.made WHERE n % 1000 = 0);
    END IF;
END
$$

-- name: sizes
SELECT
    coalesce(sum(pg_relation_size(c.oid)), 0)::bigint,
    coalesce(sum(pg_indexes_size(c.oid)), 0)::bigint,
    coalesce(sum(pg_relation_size(c.oid)) FILTER (WHERE c.relname LIKE 'user\_logins%'), 0)::bigint
FROM pg_class AS c
WHERE c.relkind = 'r' AND (c.relname LIKE 'user\_logins%' OR c.relname LIKE 'seals%')

-- name: updates
SELECT coalesce(sum(n_tup_upd), 0)::bigint, coalesce(sum(n_tup_hot_upd), 0)::bigint FROM pg_stat_user_tables
WHERE relname LIKE 'user\_logins%' OR relname LIKE 'seals%'

-- name: duplicates
SELECT masked_ip, count(*), min(create_date), max(create_date) FROM vault_etl.user_logins_masked
WHERE masked_ip IS NOT NULL GROUP BY masked_ip HAVING count(*) > 1 ORDER BY count(*) DESC, masked_ip LIMIT 20

-- name: scan
SELECT create_date, device_type, count(*) FROM vault_etl.user_logins_masked GROUP BY 1, 2
