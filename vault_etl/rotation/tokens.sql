-- A new generation of tokens, for the role re-encrypt. Pages end at %(limit)s rows or %(bytes)s bytes, as in reencrypt.sql.

-- A row that was left out names the pending generation, and has no token of it. After the cut-over it names the active
-- generation, without a token, and the next rotation skips it.

-- name: page
SELECT record_id, user_id, token_generation, masked_ip, masked_device_id, ip_ciphertext, device_id_ciphertext,
    next_masked_ip, next_masked_device_id, found
FROM (
    SELECT *, count(*) OVER () AS found, sum(bytes) OVER (ORDER BY record_id ROWS UNBOUNDED PRECEDING) AS up_to_here
    FROM (
        SELECT *, octet_length(user_id) + coalesce(octet_length(ip_ciphertext), 0)
            + coalesce(octet_length(device_id_ciphertext), 0) AS bytes
        FROM (
            SELECT record_id, user_id, masked_ip, masked_device_id, ip_ciphertext, device_id_ciphertext,
                next_masked_ip, next_masked_device_id, token_generation, next_token_generation
            FROM vault_etl.user_logins
            WHERE record_id >= %(first)s AND record_id <= %(last)s
                AND (%(after)s::uuid IS NULL OR record_id > %(after)s::uuid)
            ORDER BY record_id OFFSET 0
        ) AS in_order
        WHERE token_generation = %(active)s AND next_token_generation IS DISTINCT FROM %(pending)s
            AND num_nonnulls(masked_ip, masked_device_id) > 0
        ORDER BY record_id LIMIT %(limit)s
    ) AS page
) AS sized
WHERE up_to_here <= %(bytes)s OR up_to_here = bytes
ORDER BY record_id

-- name: named
-- Without a record id: rows with a value, of either field, under data keys that meet all criteria.
WITH named_keys AS MATERIALIZED (
    SELECT key_id FROM vault_etl.data_keys
    WHERE purpose = 'data' AND (%(key_id)s::bigint IS NULL OR key_id = %(key_id)s::bigint)
        AND (%(login)s::text IS NULL OR created_by = %(login)s::text)
        AND (%(since)s::timestamptz IS NULL OR expires_at >= %(since)s::timestamptz)
        AND (%(until)s::timestamptz IS NULL OR created_at <= %(until)s::timestamptz)
)
SELECT record_id, user_id, token_generation, masked_ip, masked_device_id, ip_ciphertext, device_id_ciphertext,
    next_masked_ip, next_masked_device_id, found
FROM (
    SELECT *, count(*) OVER () AS found, sum(bytes) OVER (ORDER BY record_id ROWS UNBOUNDED PRECEDING) AS up_to_here
    FROM (
        SELECT *, octet_length(user_id) + coalesce(octet_length(ip_ciphertext), 0)
            + coalesce(octet_length(device_id_ciphertext), 0) AS bytes
        FROM (
            SELECT record_id, user_id, token_generation, masked_ip, masked_device_id, ip_ciphertext,
                device_id_ciphertext, next_masked_ip, next_masked_device_id
            FROM vault_etl.user_logins
            WHERE record_id >= coalesce(%(record_id)s::uuid, %(first)s) AND record_id <= coalesce(%(record_id)s::uuid, %(last)s)
                AND (%(after)s::uuid IS NULL OR record_id > %(after)s::uuid)
            ORDER BY record_id OFFSET 0
        ) AS in_order
        WHERE token_generation IS NOT NULL
            AND num_nonnulls(masked_ip, masked_device_id, next_masked_ip, next_masked_device_id) > 0
            AND (
                %(record_id)s::uuid IS NOT NULL
                OR vault_etl.ciphertext_key_id(ip_ciphertext) IN (SELECT key_id FROM named_keys)
                OR vault_etl.ciphertext_key_id(device_id_ciphertext) IN (SELECT key_id FROM named_keys)
            )
        ORDER BY record_id LIMIT %(limit)s
    ) AS page
) AS sized
WHERE up_to_here <= %(bytes)s OR up_to_here = bytes
ORDER BY record_id

-- name: count_named
WITH named_keys AS MATERIALIZED (
    SELECT key_id, created_by, kms_key_arn FROM vault_etl.data_keys
    WHERE purpose = 'data' AND (%(key_id)s::bigint IS NULL OR key_id = %(key_id)s::bigint)
        AND (%(login)s::text IS NULL OR created_by = %(login)s::text)
        AND (%(since)s::timestamptz IS NULL OR expires_at >= %(since)s::timestamptz)
        AND (%(until)s::timestamptz IS NULL OR created_at <= %(until)s::timestamptz)
        AND (
            %(record_id)s::uuid IS NULL OR key_id IN (
                SELECT unnest(ARRAY[
                    vault_etl.ciphertext_key_id(ip_ciphertext), vault_etl.ciphertext_key_id(device_id_ciphertext)
                ])
                FROM vault_etl.user_logins WHERE record_id = %(record_id)s::uuid
            )
        )
)
SELECT
    (SELECT count(*) FROM named_keys),
    ARRAY(SELECT DISTINCT created_by FROM named_keys ORDER BY 1 LIMIT %(limit)s),
    ARRAY(SELECT DISTINCT kms_key_arn FROM named_keys ORDER BY 1 LIMIT %(limit)s),
    (
        SELECT count(*) FROM vault_etl.user_logins
        WHERE token_generation IS NOT NULL
            AND num_nonnulls(masked_ip, masked_device_id, next_masked_ip, next_masked_device_id) > 0
            AND (%(record_id)s::uuid IS NULL OR record_id = %(record_id)s::uuid)
            AND (
                %(record_id)s::uuid IS NOT NULL
                OR vault_etl.ciphertext_key_id(ip_ciphertext) IN (SELECT key_id FROM named_keys)
                OR vault_etl.ciphertext_key_id(device_id_ciphertext) IN (SELECT key_id FROM named_keys)
            )
    )

-- name: make_stage
CREATE TEMP TABLE IF NOT EXISTS stage_tokens (
    record_id uuid,
    token_generation smallint,
    masked_ip uuid,
    masked_device_id uuid,
    ip_ciphertext bytea STORAGE PLAIN,
    device_id_ciphertext bytea STORAGE PLAIN,
    next_masked_ip uuid,
    next_masked_device_id uuid
) ON COMMIT DELETE ROWS

-- name: copy_stage
COPY pg_temp.stage_tokens (
    record_id, token_generation, masked_ip, masked_device_id, ip_ciphertext, device_id_ciphertext, next_masked_ip,
    next_masked_device_id
) FROM STDIN (FORMAT binary)

-- name: fill
-- Fills rows whose old tokens and ciphertexts are still what was read, so an erasure in between wins. A row without a next
-- token is left out.
UPDATE vault_etl.user_logins AS r SET
    next_masked_ip = made.next_masked_ip,
    next_masked_device_id = made.next_masked_device_id,
    next_token_generation = %(pending)s
FROM pg_temp.stage_tokens AS made
WHERE r.record_id = made.record_id AND r.record_id BETWEEN %(first)s AND %(last)s
    AND r.token_generation = made.token_generation
    AND r.masked_ip IS NOT DISTINCT FROM made.masked_ip
    AND r.masked_device_id IS NOT DISTINCT FROM made.masked_device_id
    AND r.ip_ciphertext IS NOT DISTINCT FROM made.ip_ciphertext
    AND r.device_id_ciphertext IS NOT DISTINCT FROM made.device_id_ciphertext

-- name: freeze
SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY

-- name: map_ip
-- A pair with a NULL counts as a pair and not as a token, so that the three numbers differ.
SELECT count(DISTINCT old), count(DISTINCT new), count(*)
FROM (
    SELECT masked_ip AS old, next_masked_ip AS new FROM vault_etl.user_logins
    WHERE num_nonnulls(masked_ip, next_masked_ip) > 0
        AND (next_token_generation = %(pending)s AND num_nonnulls(next_masked_ip, next_masked_device_id) = 0)
            IS NOT TRUE
    GROUP BY masked_ip, next_masked_ip
) AS pairs

-- name: map_device_id
SELECT count(DISTINCT old), count(DISTINCT new), count(*)
FROM (
    SELECT masked_device_id AS old, next_masked_device_id AS new FROM vault_etl.user_logins
    WHERE num_nonnulls(masked_device_id, next_masked_device_id) > 0
        AND (next_token_generation = %(pending)s AND num_nonnulls(next_masked_ip, next_masked_device_id) = 0)
            IS NOT TRUE
    GROUP BY masked_device_id, next_masked_device_id
) AS pairs

-- name: missing
-- All rows with a token or a generation, except rows whose tokens of both generations go with their ciphertexts, and rows
-- that are left out now.
SELECT count(*) OVER (), record_id FROM vault_etl.user_logins
WHERE num_nonnulls(
        masked_ip, masked_device_id, next_masked_ip, next_masked_device_id, token_generation,
        next_token_generation
    ) > 0
    AND NOT (
        token_generation IS NOT DISTINCT FROM %(active)s
        AND next_token_generation IS NOT DISTINCT FROM %(pending)s
        AND (masked_ip IS NULL) = (next_masked_ip IS NULL)
        AND (masked_device_id IS NULL) = (next_masked_device_id IS NULL)
        AND (masked_ip IS NULL) = (ip_ciphertext IS NULL)
        AND (masked_device_id IS NULL) = (device_id_ciphertext IS NULL)
    )
    AND NOT (
        num_nonnulls(next_masked_ip, next_masked_device_id) = 0
        AND (next_token_generation IS NOT DISTINCT FROM %(pending)s OR num_nonnulls(masked_ip, masked_device_id) = 0)
    )
ORDER BY record_id LIMIT %(limit)s

-- name: blamed
-- The rows of `missing` by the logins and by the keys of their values. A row counts once for each login and each key.
WITH missing AS MATERIALIZED (
    SELECT vault_etl.ciphertext_key_id(ip_ciphertext) AS ip_key,
        vault_etl.ciphertext_key_id(device_id_ciphertext) AS device_id_key, count(*) AS rows
    FROM vault_etl.user_logins
    WHERE num_nonnulls(
            masked_ip, masked_device_id, next_masked_ip, next_masked_device_id, token_generation,
            next_token_generation
        ) > 0
        AND NOT (
            token_generation IS NOT DISTINCT FROM %(active)s
            AND next_token_generation IS NOT DISTINCT FROM %(pending)s
            AND (masked_ip IS NULL) = (next_masked_ip IS NULL)
            AND (masked_device_id IS NULL) = (next_masked_device_id IS NULL)
            AND (masked_ip IS NULL) = (ip_ciphertext IS NULL)
            AND (masked_device_id IS NULL) = (device_id_ciphertext IS NULL)
        )
        AND NOT (
            num_nonnulls(next_masked_ip, next_masked_device_id) = 0
            AND (next_token_generation IS NOT DISTINCT FROM %(pending)s OR num_nonnulls(masked_ip, masked_device_id) = 0)
        )
    GROUP BY 1, 2
), under AS MATERIALIZED (
    SELECT m.ip_key, m.device_id_key, m.rows, k.key_id, k.created_by
    FROM missing AS m JOIN vault_etl.data_keys AS k ON k.key_id = m.ip_key OR k.key_id = m.device_id_key
)
(
    SELECT created_by, sum(rows)::bigint, NULL::bigint
    FROM (SELECT DISTINCT created_by, ip_key, device_id_key, rows FROM under) AS once
    GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT %(blamed)s
)
UNION ALL (
    SELECT created_by, sum(rows)::bigint, key_id FROM under GROUP BY 1, 3 ORDER BY 2 DESC, 3 LIMIT %(blamed)s
)

-- name: left_out
SELECT count(*) FROM vault_etl.user_logins
WHERE next_token_generation = %(pending)s AND num_nonnulls(next_masked_ip, next_masked_device_id) = 0
    AND num_nonnulls(masked_ip, masked_device_id) > 0

-- name: unequal_ip
-- Of these pairs, at least a third are not the two tokens of one value. The sample is random, so a login that plants rows
-- cannot choose which pairs are compared.
WITH counted AS (
    SELECT old, new, count(*) OVER (PARTITION BY old) AS news, count(*) OVER (PARTITION BY new) AS olds
    FROM (
        SELECT DISTINCT masked_ip AS old, next_masked_ip AS new FROM vault_etl.user_logins
        WHERE masked_ip IS NOT NULL AND next_masked_ip IS NOT NULL
    ) AS pairs
), drawn AS MATERIALIZED (
    SELECT old, new FROM counted WHERE news > 1 OR olds > 1 ORDER BY random() LIMIT %(pairs)s
)
SELECT r.* FROM drawn,
    LATERAL (
        SELECT record_id, user_id, token_generation, masked_ip, masked_device_id, ip_ciphertext,
            device_id_ciphertext, next_masked_ip, next_masked_device_id
        FROM vault_etl.user_logins WHERE masked_ip = drawn.old AND next_masked_ip = drawn.new LIMIT 1
    ) AS r

-- name: unequal_device_id
WITH counted AS (
    SELECT old, new, count(*) OVER (PARTITION BY old) AS news, count(*) OVER (PARTITION BY new) AS olds
    FROM (
        SELECT DISTINCT masked_device_id AS old, next_masked_device_id AS new FROM vault_etl.user_logins
        WHERE masked_device_id IS NOT NULL AND next_masked_device_id IS NOT NULL
    ) AS pairs
), drawn AS MATERIALIZED (
    SELECT old, new FROM counted WHERE news > 1 OR olds > 1 ORDER BY random() LIMIT %(pairs)s
)
SELECT r.* FROM drawn,
    LATERAL (
        SELECT record_id, user_id, token_generation, masked_ip, masked_device_id, ip_ciphertext,
            device_id_ciphertext, next_masked_ip, next_masked_device_id
        FROM vault_etl.user_logins WHERE masked_device_id = drawn.old AND next_masked_device_id = drawn.new LIMIT 1
    ) AS r

-- name: sample
SELECT r.* FROM unnest(%(starts)s::uuid[]) AS start (record_id),
    LATERAL (
        SELECT record_id, user_id, token_generation, masked_ip, masked_device_id, ip_ciphertext,
            device_id_ciphertext, next_masked_ip, next_masked_device_id
        FROM vault_etl.user_logins
        WHERE record_id >= start.record_id
            AND token_generation = %(active)s AND next_token_generation = %(pending)s
        ORDER BY record_id LIMIT 1
    ) AS r

-- name: count
-- Without a pending generation, all rows: an aborted one may have left tokens in next_….
SELECT count(*) FROM vault_etl.user_logins
WHERE token_generation IS NOT NULL AND num_nonnulls(masked_ip, masked_device_id) > 0
    AND (%(pending)s::smallint IS NULL OR next_token_generation IS DISTINCT FROM %(pending)s::smallint)

-- name: cut_over
CALL vault_etl.commit_token_cut_over(
    %(request_id)s, %(actor)s, %(host)s, %(reason)s, %(generation)s::smallint, %(allow_publication)s,
    %(partitions)s::oid[], NULL, NULL, NULL
)

-- name: partitions
SELECT inhrelid::bigint, inhrelid::regclass::text FROM pg_catalog.pg_inherits
WHERE inhparent = 'vault_etl.user_logins'::regclass ORDER BY 1

-- name: publications
SELECT vault_etl.token_publications()

-- name: lock_holders
-- Sessions that keep the cut-over from its locks: every session on the view and the table, and writers elsewhere.
SELECT DISTINCT a.pid, coalesce(a.usename, ''), coalesce(a.application_name, '')
FROM pg_catalog.pg_locks AS l
JOIN pg_catalog.pg_stat_activity AS a ON a.pid = l.pid
WHERE l.granted AND l.pid <> pg_catalog.pg_backend_pid()
    AND l.database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = current_database())
    AND (
        (
            l.mode <> 'AccessShareLock' AND l.relation IN (
                'vault_etl.key_fence'::regclass, 'vault_etl.audit_turn'::regclass, 'vault_etl.data_keys'::regclass,
                'vault_etl.key_rotations'::regclass, 'vault_etl.rotation_ranges'::regclass
            )
        )
        OR l.relation IN ('vault_etl.user_logins_masked'::regclass, 'vault_etl.user_logins'::regclass)
        OR l.relation IN (
            SELECT inhrelid FROM pg_catalog.pg_inherits WHERE inhparent = 'vault_etl.user_logins'::regclass
        )
    )
ORDER BY a.pid LIMIT 10

-- name: dependents
-- The same objects as the cut-over finds (migrations/0018_token_generations.sql).
SELECT DISTINCT pg_catalog.pg_describe_object(d.classid, d.objid, d.objsubid)
FROM pg_catalog.pg_depend AS d
JOIN pg_catalog.pg_attribute AS a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
WHERE d.refclassid = 'pg_catalog.pg_class'::regclass
    AND (
        d.refobjid = 'vault_etl.user_logins'::regclass
        OR d.refobjid IN (
            SELECT inhrelid FROM pg_catalog.pg_inherits WHERE inhparent = 'vault_etl.user_logins'::regclass
        )
    )
    AND a.attname IN (
        'masked_ip', 'masked_device_id', 'token_generation',
        'next_masked_ip', 'next_masked_device_id', 'next_token_generation'
    )
    AND NOT EXISTS (
        SELECT FROM pg_catalog.pg_class AS c
        WHERE d.classid = 'pg_catalog.pg_class'::regclass AND c.oid = d.objid AND c.relkind IN ('i', 'I')
    )
    AND NOT EXISTS (
        SELECT FROM pg_catalog.pg_constraint AS c
        WHERE d.classid = 'pg_catalog.pg_constraint'::regclass AND c.oid = d.objid
            AND c.conname = 'tokens_of_one_generation'
    )
    AND NOT EXISTS (
        SELECT FROM pg_catalog.pg_rewrite AS w JOIN pg_catalog.pg_class AS c ON c.oid = w.ev_class
        WHERE d.classid = 'pg_catalog.pg_rewrite'::regclass AND w.oid = d.objid AND w.rulename = '_RETURN'
            AND (c.oid = 'vault_etl.user_logins_masked'::regclass OR c.relpersistence = 't')
    )
    AND NOT EXISTS (
        SELECT FROM pg_catalog.pg_proc AS f JOIN pg_catalog.pg_namespace AS n ON n.oid = f.pronamespace
        WHERE d.classid = 'pg_catalog.pg_proc'::regclass AND f.oid = d.objid AND n.nspname ~ '^pg_temp_'
    )
ORDER BY 1
