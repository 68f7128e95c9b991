"""`vault-etl doctor`: each thing that can be wrong with a vault is one line, and exit 78."""

from __future__ import annotations

import pytest

from tests.kit.doctor import (
    DATABASE,
    INVISIBLE,
    lines,
    only,
)
from tests.kit.processes import on_terminal
from tests.kit.vault import ROLES, Vault


@pytest.mark.iam
@pytest.mark.parametrize("role", ROLES)
def test_a_sound_vault_is_sound_to_every_role(loaded: Vault, role: str) -> None:
    """Exit 0; what a role may not see is neither ok nor a fault, and nothing else is silent."""
    found = lines(loaded, role, code=0)
    silent = {name for name, line in found.items() if line["ok"] is None}
    assert silent == INVISIBLE[role]
    assert {found[name]["detail"] for name in silent} == {"not visible to this role"}
    assert found["roles"]["detail"] == role.replace("-", "_")


def test_it_changes_nothing(loaded: Vault) -> None:
    """No entry in the log, no key, no row."""
    tables = ("audit_log", "data_keys", "user_logins", "quarantine", "audit_checkpoints")
    before = [loaded.count(table) for table in tables]
    for role in ("ingest", "re-encrypt", "audit"):
        lines(loaded, role, code=0)
    assert [loaded.count(table) for table in tables] == before


def test_a_terminal_shows_a_table(loaded: Vault) -> None:
    """Each fault has its hint beside it; the last line names the failed checks."""
    shown = on_terminal(loaded, "ingest", "doctor", extra={"VAULT_ETL_DATA_KEY": "alias/none"})
    assert shown.code == 78
    for part in ("kms_data_key", "(hint:", "error: not ok: kms_data_key", "yes", "no "):
        assert part in shown.stdout, shown.stdout


def test_without_a_database_url_the_settings_are_at_fault(loaded: Vault) -> None:
    """Checks that rest on the settings are not run."""
    found = lines(loaded, "ingest", code=78, extra={"VAULT_ETL_DATABASE_URL": None})
    assert found["settings"]["ok"] is False
    assert {found[name]["detail"] for name in DATABASE} == {"needs settings"}
    assert {found[name]["ok"] for name in DATABASE} == {None}
    assert found["queue"]["ok"] is True


def test_a_missing_queue_setting_is_no_fault(loaded: Vault) -> None:
    """Only ingest needs a queue."""
    found = lines(loaded, "ingest", code=0, extra={"VAULT_ETL_QUEUE_URL": None})
    assert found["queue"]["ok"] is None
    assert "VAULT_ETL_QUEUE_URL" in found["settings"]["detail"]


def test_an_unsigned_log_is_a_fault_after_a_day(vault: Vault) -> None:
    """A signature removes the fault."""
    vault.sql(
        "SET session_replication_role = replica; DELETE FROM vault_etl.audit_checkpoints;"
        " UPDATE vault_etl.audit_log SET logged_at = logged_at - interval '2 days'"
    )
    assert "not signed, the oldest for 2 days" in only(vault, "audit", "audit_log")
    vault.ok("audit", "audit", "checkpoint")
    assert lines(vault, "audit", code=0)["audit_log"]["detail"] == "signed to its head"


def test_unreadable_settings_end_doctor_before_the_first_check(loaded: Vault) -> None:
    """Unreadable settings end every command."""
    result = loaded.run("ingest", "doctor", extra={"VAULT_ETL_TYPO": "1"})
    assert (result.code, result.stdout) == (78, "")
    assert "VAULT_ETL_TYPO" in result.stderr
