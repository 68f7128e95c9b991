-- What benchmarks/indexes.py runs on rows that `layout.sql` made: kinds of indexes, and what uses them.

-- name: none
DROP INDEX
    vault_etl.user_logins_masked_ip, vault_etl.user_logins_masked_device_id,
    vault_etl.user_logins_next_masked_ip, vault_etl.user_logins_next_masked_device_id,
    vault_etl.user_logins_user_id, vault_etl.user_logins_create_date

-- name: hash_tokens
DROP INDEX
    vault_etl.user_logins_masked_ip, vault_etl.user_logins_masked_device_id,
    vault_etl.user_logins_next_masked_ip, vault_etl.user_logins_next_masked_device_id;
CREATE INDEX user_logins_masked_ip ON vault_etl.user_logins USING hash (masked_ip) WHERE masked_ip IS NOT NULL;
CREATE INDEX user_logins_masked_device_id ON vault_etl.user_logins USING hash (masked_device_id)
    WHERE masked_device_id IS NOT NULL;
CREATE INDEX user_logins_next_masked_ip ON vault_etl.user_logins USING hash (next_masked_ip)
    WHERE next_masked_ip IS NOT NULL;
CREATE INDEX user_logins_next_masked_device_id ON vault_etl.user_logins USING hash (next_masked_device_id)
    WHERE next_masked_device_id IS NOT NULL

-- name: hash_users
DROP INDEX vault_etl.user_logins_user_id;
CREATE INDEX user_logins_user_id ON vault_etl.user_logins USING hash (user_id)

-- name: brin_days
DROP INDEX vault_etl.user_logins_create_date;
CREATE INDEX user_logins_create_date ON vault_etl.user_logins USING brin (create_date)

-- name: procedures
-- The first pages of a rotation of token keys.
CREATE PROCEDURE bench.next_tokens(pages integer) LANGUAGE plpgsql AS $$
DECLARE
    ids uuid[];
    after uuid := '00000000-0000-0000-0000-000000000000';
BEGIN
    FOR page IN 1 .. pages LOOP
        ids := ARRAY(SELECT record_id FROM vault_etl.user_logins WHERE record_id > after ORDER BY 1 LIMIT 1000);
        EXIT WHEN cardinality(ids) = 0;
        after := ids[cardinality(ids)];
        UPDATE vault_etl.user_logins AS r SET
            next_masked_ip = md5(r.masked_ip::text)::uuid, next_masked_device_id = md5(r.masked_device_id::text)::uuid,
            next_token_generation = 2::smallint
        WHERE r.record_id = ANY (ids) AND r.record_id BETWEEN ids[1] AND after;
        COMMIT;
    END LOOP;
END
$$;
-- Rows of the token that most rows have, in batches of 100: the sessions meet in one place of each index.
CREATE PROCEDURE bench.hot(session integer, batches integer) LANGUAGE plpgsql AS $$
BEGIN
    FOR batch IN 1 .. batches LOOP
        INSERT INTO vault_etl.user_logins (
            record_id, user_id, device_type, masked_ip, masked_device_id, ip_ciphertext, device_id_ciphertext,
            token_generation, create_date
        )
        SELECT overlay(record_id::text PLACING 'a' || lpad(to_hex(session), 2, '0') FROM 20)::uuid, user_id, device_type,
            masked_ip, md5('device0')::uuid, ip_ciphertext, device_id_ciphertext, 1, create_date
        FROM bench.made WHERE n >= (batch - 1) * 100 AND n < batch * 100 ORDER BY record_id;
        COMMIT;
    END LOOP;
END
$$

-- name: sizes
-- Bytes of the indexes of a column.
SELECT a.attname, sum(pg_relation_size(i.indexrelid))::bigint
FROM pg_inherits AS p JOIN pg_index AS i ON i.indrelid = p.inhrelid
JOIN pg_attribute AS a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0]
WHERE p.inhparent = 'vault_etl.user_logins'::regclass
    AND a.attname IN ('masked_ip', 'masked_device_id', 'user_id', 'create_date')
GROUP BY 1

-- name: find_rare
SELECT r.record_id, r.user_id, r.create_date FROM vault_etl.user_logins AS r
WHERE r.masked_device_id = (SELECT m.masked_device_id FROM bench.made AS m WHERE m.n = 17)

-- name: find_hot
SELECT count(r.user_id) FROM vault_etl.user_logins AS r WHERE r.masked_device_id = md5('device0')::uuid

-- name: find_user
SELECT r.record_id, r.create_date FROM vault_etl.user_logins AS r
WHERE r.user_id = (SELECT m.user_id FROM bench.made AS m WHERE m.n = 17)

-- name: erase_user
UPDATE vault_etl.user_logins AS r SET
    masked_ip = NULL, masked_device_id = NULL, ip_ciphertext = NULL, device_id_ciphertext = NULL, token_generation = NULL
WHERE r.user_id = (SELECT m.user_id FROM bench.made AS m WHERE m.n = 19)

-- name: a_day
SELECT count(r.user_id) FROM vault_etl.user_logins AS r
WHERE r.create_date = (SELECT m.create_date FROM bench.made AS m WHERE m.n = 17)

-- name: days_of_a_month
-- As a detached month is asked.
SELECT min(r.create_date), max(r.create_date) FROM vault_etl.user_logins AS r

-- name: narrow
-- Indexed columns alone, and one index at a time, which is built on all rows: filling a whole table of ten million rows takes half an hour for each kind.
CREATE SCHEMA bench;
CREATE UNLOGGED TABLE bench.narrow AS
SELECT md5('device' || :device)::uuid AS token, md5('user' || :user)::uuid::text AS user_id,
    date '2026-01-01' + (i * 60::bigint / :rows)::integer AS day
FROM generate_series(0, :rows - 1) AS i;
CREATE PROCEDURE bench.more(batches integer, hot boolean) LANGUAGE plpgsql AS $$
BEGIN
    FOR batch IN 1 .. batches LOOP
        INSERT INTO bench.narrow
        SELECT md5('device' || CASE WHEN hot THEN 0 ELSE :device END)::uuid, md5('user' || :user)::uuid::text, date '2026-03-01'
        FROM generate_series((batch - 1) * 1000 + 1, batch * 1000) AS i;
        COMMIT;
    END LOOP;
END
$$
