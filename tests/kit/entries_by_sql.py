"""A million entries of the audit log, and what belongs to them, made by the superuser; their hashes are wrong."""

from __future__ import annotations

ENTRIES = 1_000_000
"""One in 25 s up to now, half of them intents; four of five are of the login `admin`."""

FILL = """
SET session_replication_role = replica;
CREATE TEMPORARY TABLE made_again AS
SELECT format('ALTER TABLE audit_log ADD CONSTRAINT %I %s', conname, pg_get_constraintdef(oid)) AS it
FROM pg_constraint WHERE conname = 'one_entry_a_phase'
UNION ALL
SELECT pg_get_indexdef(indexrelid) FROM pg_index
WHERE indrelid = 'audit_log'::regclass AND NOT indisunique;
DO $$
DECLARE
    statement text;
BEGIN
    FOR statement IN
        SELECT format('ALTER TABLE audit_log DROP CONSTRAINT %I', conname) FROM pg_constraint
        WHERE conrelid = 'audit_log'::regclass AND (contype = 'c' OR conname = 'one_entry_a_phase')
        UNION ALL
        SELECT format('DROP INDEX %s', indexrelid::regclass) FROM pg_index
        WHERE indrelid = 'audit_log'::regclass AND NOT indisunique
    LOOP
        EXECUTE statement;
    END LOOP;
    INSERT INTO audit_log
    SELECT
        i, now() - (1000001 - i) * interval '25 s',
        ('00000000-0000-0000-' || to_char(i / 2, 'FM0000000000000000'))::uuid,
        CASE i % 2 WHEN 0 THEN 'intent' ELSE 'outcome' END,
        CASE WHEN i % 20 < 16 THEN 'admin' ELSE 'login_' || i / 2 % 7 END,
        '192.0.2.1', 'arn:aws:sts::123456789012:assumed-role/reveal/someone', 'laptop',
        (ARRAY['reveal', 'find', 'keys rotate', 'keys range', 'reveal masked'])[1 + i / 2 % 5],
        CASE i / 2 % 5 WHEN 0 THEN ('00000000-0000-0000-' || to_char(i / 20, 'FM0000000000000000'))::uuid END,
        '{ip}', NULL, NULL, 'a customer asked', CASE i % 2 WHEN 0 THEN 'allowed' ELSE 'done' END, NULL,
        sha256(''), sha256(''), '3'
    FROM generate_series(4, 1000001) AS i;
    FOR statement IN SELECT it FROM made_again LOOP
        EXECUTE statement;
    END LOOP;
END
$$;
INSERT INTO audit_disclosed (seq, written_by) SELECT i, '3' FROM generate_series(10, 1000001, 10) AS i;
INSERT INTO audit_amounts SELECT i, 3 FROM generate_series(12, 1000001, 50) AS i;
INSERT INTO audit_checkpoints (seq, hash, key_hash, signature, stored_by)
SELECT i, sha256(''), '\\x00000000', '\\x3006020101020101', 'x' FROM generate_series(11, 1000001, 20) AS i;
INSERT INTO key_changes
SELECT i, i / 10, 'data', 'ip', NULL, 'decrypt_only', '\\x0000000000000000', NULL, 'a'
FROM generate_series(4, 1000000, 10) AS i;
UPDATE audit_head SET seq = 1000001;
ANALYZE;
"""
