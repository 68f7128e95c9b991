"""The lines that `vault-etl doctor` prints for a role."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from tests.kit.proxy import closed_port
from tests.kit.vault import Vault

Lines = dict[str, dict[str, Any]]
Extra = Mapping[str, str | None]

DAY = dt.timedelta(days=1)
NOWHERE = f"http://127.0.0.1:{closed_port()}"
SECRET = "sekret-Wort-4711"

CHECKS = [
    "settings",
    "aws_credentials",
    "aws_identity",
    "aws_endpoints",
    "kms_data_key",
    "kms_token_key",
    "kms_audit_key",
    "queue",
    "postgres",
    "postgres_tls",
    "postgres_log",
    "declaration",
    "migrations",
    "schema",
    "replication_slots",
    "roles",
    "separation",
    "members",
    "partitions",
    "kms_archive_key",
    "fence",
    "token_keys",
    "pending_token_keys",
    "token_generations",
    "key_changes",
    "data_key_age",
    "token_key_age",
    "trusted_keys",
    "kms_contexts",
    "kms_permissions",
    "audit_turn",
    "audit_key",
    "audit_log",
]
DATABASE = CHECKS[CHECKS.index("postgres") :]

LOG = {"audit_turn", "audit_key", "audit_log"}
KEYS = {"token_keys", "pending_token_keys", "key_changes", "data_key_age", "token_key_age"}
NOTHING = KEYS | {
    "kms_archive_key",
    "token_generations",
    "kms_data_key",
    "kms_token_key",
    "queue",
    "trusted_keys",
    "kms_contexts",
    "kms_permissions",
}
INVISIBLE: dict[str, set[str]] = {
    "ingest": {"kms_audit_key", "kms_archive_key", "token_generations", *LOG},
    "reveal": {"queue", "kms_archive_key", "token_generations", *LOG},
    "rotate": {"queue", "kms_archive_key", "kms_contexts", "kms_permissions", *LOG},
    "re-encrypt": {"queue", "kms_archive_key", *LOG},
    "erase": NOTHING | LOG,
    "audit": {
        *("kms_archive_key", "kms_data_key", "kms_token_key"),
        *("trusted_keys", "kms_contexts", "kms_permissions"),
    },
    "analyst": NOTHING | {"kms_audit_key", *LOG},
}
"""What a role may not see."""


def lines(vault: Vault, role: str, *, code: int, extra: Extra | None = None) -> Lines:
    """Return the lines that `doctor` prints for a role, by check; each check is printed once, in its place."""
    result = vault.run(role, "doctor", extra=extra)
    found = {line["check"]: line for line in result.lines}
    assert [line["check"] for line in result.lines] == CHECKS
    assert all(set(line) == {"check", "ok", "detail", "hint"} for line in found.values())
    assert all(line["detail"] for line in found.values())
    wrong = [name for name, line in found.items() if line["ok"] is False]
    assert all(found[name]["hint"] for name in wrong), found
    assert result.code == code, (wrong, result.stderr)
    assert result.stderr.startswith("vault-etl: error: not ok: ") if wrong else not result.stderr
    return found


def wrong(vault: Vault, role: str, extra: Extra | None = None) -> Lines:
    """The lines that are not ok, where there is one at least."""
    found = lines(vault, role, code=78, extra=extra)
    return {name: line for name, line in found.items() if line["ok"] is False}


def only(vault: Vault, role: str, check: str, extra: Extra | None = None) -> str:
    """The detail and the hint of the one line that is not ok."""
    found = wrong(vault, role, extra)
    assert set(found) == {check}, found
    return f"{found[check]['detail']} {found[check]['hint']}"


@contextmanager
def login(vault: Vault, name: str, options: str = "") -> Iterator[None]:
    """A login of the cluster, for as long as a test needs it."""
    password = vault.server.passwords.of(name)
    vault.sql(f"CREATE ROLE {name} LOGIN PASSWORD '{password}' {options}")
    vault.sql(f'GRANT CONNECT ON DATABASE "{vault.database}" TO {name}')
    try:
        yield
    finally:
        vault.sql(f"DROP OWNED BY {name}")
        vault.sql(f"DROP ROLE {name}")
