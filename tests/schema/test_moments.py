"""Python can read every day and moment that a role may choose. Otherwise every reader would end with a bug."""

from __future__ import annotations

import psycopg2
import pytest

from tests.kit.scratch import Scratch
from tests.kit.vault import ROLES
from tests.kit.written_rows import Site, site

__all__ = ["site"]

UNREADABLE = ("0044-03-15 BC", "-infinity", "infinity", "10000-01-01")
CHOSEN = """
    SELECT DISTINCT c.relname || '.' || a.attname
    FROM pg_attribute AS a JOIN pg_class AS c ON c.oid = a.attrelid
    WHERE c.relnamespace = 'vault_etl'::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition
        AND a.attnum > 0 AND a.atttypid IN (
            'date'::regtype, 'timestamp'::regtype, 'timestamptz'::regtype, 'date[]'::regtype,
            'timestamp[]'::regtype, 'timestamptz[]'::regtype, 'interval'::regtype
        )
        AND EXISTS (
            SELECT FROM unnest(%s::text[]) AS login
            WHERE has_column_privilege(login, c.oid, a.attnum, 'INSERT')
                OR has_column_privilege(login, c.oid, a.attnum, 'UPDATE')
        )
"""
ADD_KEY = """
    INSERT INTO data_keys (key_id, field, kms_key_arn, wrapped_key, fingerprint, expires_at)
    VALUES (1, 'ip', 'a', 'w', '8 bytes!', %s)
"""
DATE_ROW = """
    INSERT INTO user_logins (record_id, user_id, device_type, create_date)
    VALUES ('00000000-0000-7000-8000-000000000001', 'a', 'ios', %s)
"""
TIME_ROW = """
    INSERT INTO user_logins (record_id, user_id, device_type, create_date, event_time)
    VALUES ('00000000-0000-7000-8000-000000000001', 'a', 'ios', '2026-01-31', %s)
"""
STATEMENTS = {
    "data_keys.expires_at": ADD_KEY,
    "user_logins.create_date": DATE_ROW,
    "user_logins.event_time": TIME_ROW,
}
CHECKS = {
    "data_keys.expires_at": "data_keys_expire",
    "user_logins.create_date": "user_logins_create_date_check",
    "user_logins.event_time": "event_time_is_of_the_day",
}


def test_every_moment_that_a_role_may_choose_is_listed(shared: Scratch) -> None:
    """A further column belongs to the next test. No command reads when a claim of a range ends."""
    logins = [f"test_{role.replace('-', '_')}" for role in ROLES]
    found = {name for (name,) in shared.sql(CHOSEN, logins)}
    assert found - {"rotation_ranges.claimed_until"} == STATEMENTS.keys()


@pytest.mark.parametrize("moment", UNREADABLE)
@pytest.mark.parametrize("column", STATEMENTS)
def test_a_moment_that_python_cannot_read_is_not_stored(
    site: Site, column: str, moment: str
) -> None:
    """The statement is that of ingest. The key would stop every command that lists keys."""
    with pytest.raises(psycopg2.errors.CheckViolation) as refused:
        site.scratch.sql(STATEMENTS[column], moment, role="ingest")
    assert refused.value.diag.constraint_name == CHECKS[column]


def test_an_arn_is_no_longer_than_one_of_kms(shared: Scratch) -> None:
    """Each change of the key writes the text of the ARN while no other session writes the log."""
    with pytest.raises(psycopg2.errors.CheckViolation):
        shared.sql(
            "INSERT INTO data_keys (key_id, field, kms_key_arn, wrapped_key, fingerprint, expires_at)"
            " VALUES (1, 'ip', repeat('a', 257), 'w', '8 bytes!', now() + interval '1 hour')",
            role="ingest",
        )
