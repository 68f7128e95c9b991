"""Exit 77: Postgres or KMS says no, in one line, with a hint."""

from __future__ import annotations

import uuid

import pytest

from tests.kit.events import events
from tests.kit.processes import fails
from tests.kit.samples import UNKNOWN, a_record
from tests.kit.vault import Vault
from vault_etl.cli.needed_roles import NEEDED_ROLES, command_of

REVEAL = ("reveal", UNKNOWN, "--reason", "curiosity")


@pytest.mark.parametrize(
    ("role", "command"),
    [
        ("analyst", ("ingest",)),
        ("reveal", ("ingest",)),
        ("ingest", REVEAL),
        ("analyst", REVEAL),
        ("audit", REVEAL),
        ("ingest", ("duplicates", "--field", "ip")),
        ("ingest", ("keys", "list")),
        ("ingest", ("keys", "rotate", "--yes")),
        ("audit", ("keys", "rotate", "--yes")),
        ("audit", ("keys", "rotate", "--dry-run")),
        ("ingest", ("keys", "rotate", "--lazy", "--yes")),
        ("ingest", ("quarantine", "list")),
        ("analyst", ("keys", "init")),
        ("reveal", ("audit", "list")),
    ],
    ids=lambda value: value if isinstance(value, str) else "-".join(value[:2]),
)
def test_a_login_without_the_role_of_a_command_is_refused(
    loaded: Vault, role: str, command: tuple[str, ...]
) -> None:
    """The error says which role the command takes, whatever part finds that out."""
    before = loaded.count("audit_log")
    result = loaded.run(role, *command)
    fails(result, 77, "Postgres", "login")
    needed = NEEDED_ROLES[command_of(command) or ""]
    assert f"that has the role {' or '.join(needed)}" in result.stderr.splitlines()[1] + " or "
    assert loaded.count("audit_log") == before


def test_a_login_that_may_not_reveal_learns_nothing_about_ids(loaded: Vault) -> None:
    """An analyst gets the same answer for a record that exists and for an unknown id."""
    record_id, _ = a_record(loaded)
    there = loaded.run("analyst", "reveal", record_id, "--reason", "curiosity")
    assert there == loaded.run("analyst", *REVEAL)


def test_a_wrong_password_is_not_allowed(loaded: Vault) -> None:
    """Postgres refuses the login: 77, and the password that was tried is not shown."""
    url = loaded.database_url("analyst").replace(
        loaded.server.passwords.of("test_analyst"), "not-the-password"
    )
    result = loaded.run("analyst", "duplicates", "-f", "ip", extra={"VAULT_ETL_DATABASE_URL": url})
    fails(result, 77, "refuses this login")
    assert "not-the-password" not in result.stderr


@pytest.mark.iam
@pytest.mark.parametrize(
    ("role", "of", "command"),
    [
        ("ingest", "analyst", ("ingest",)),
        ("ingest", "rotate", ("ingest",)),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_the_right_login_with_a_wrong_access_key_is_not_allowed(
    loaded: Vault, role: str, of: str, command: tuple[str, ...]
) -> None:
    """KMS says no to the wrong role's access key, whatever the database login may do."""
    result = loaded.run(role, *command, extra=loaded.access_key(of))
    fails(result, 77, "KMS denies this (AccessDeniedException)")


@pytest.mark.iam
def test_a_rotation_that_kms_denies_changes_no_row(quick: Vault) -> None:
    """The access key of rotate may not Decrypt: the keys are retired, and no row is changed."""
    quick.send(events(2))
    quick.ok("ingest", "ingest")
    ciphertexts = "SELECT array_agg(ip_ciphertext::text ORDER BY record_id) FROM user_logins"
    before = quick.sql(ciphertexts)
    result = quick.run("re-encrypt", "keys", "rotate", "--yes", extra=quick.access_key("rotate"))
    fails(result, 77, "KMS denies this (AccessDeniedException)")
    assert quick.sql(ciphertexts) == before
    assert quick.ok("re-encrypt", "keys", "rotate", "--yes").json["values_remaining"] == 0


@pytest.mark.iam
def test_ingest_cannot_open_what_is_sealed(loaded: Vault) -> None:
    """KMS denies a reveal with reveal's database login and ingest's access key, and the log has the denial."""
    record_id, user_id = a_record(loaded)
    asked = ("reveal", record_id, "--reason", "a stolen worker")
    result = loaded.run("reveal", *asked, extra=loaded.access_key("ingest"))
    fails(result, 77, "KMS denies this (AccessDeniedException)")
    outcome = loaded.ok("audit", "audit", "list", "--record", record_id).lines[-1]
    assert (outcome["decision"], outcome["error_code"]) == ("failed", "key_unavailable")
    assert outcome["actor"].endswith("/vault-etl-ingest")
    assert user_id not in result.stderr


@pytest.mark.iam
def test_a_wrong_secret_key_is_not_allowed(loaded: Vault) -> None:
    """A signature that AWS does not accept is a refusal, not a failure of the network."""
    extra: dict[str, str | None] = {"AWS_SECRET_ACCESS_KEY": "not-the-secret"}
    result = loaded.run("ingest", "ingest", extra=extra)
    fails(result, 77, "denies this")
    assert "not-the-secret" not in result.stderr


def test_only_the_owner_migrates(loaded: Vault) -> None:
    """A login that owns nothing cannot bring an empty database up to date."""
    database = f"fresh_{uuid.uuid4().hex[:12]}"
    loaded.sql(f'CREATE DATABASE "{database}"')
    try:
        url = loaded.server.url("test_ingest", database)
        result = loaded.run("ingest", "migrate", extra={"VAULT_ETL_DATABASE_URL": url})
    finally:
        loaded.sql(f'DROP DATABASE "{database}" WITH (FORCE)')
    fails(result, 77, "may not make a schema")
