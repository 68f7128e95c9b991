"""Commands that search for a value, count tokens or erase: each is for one role's login, exit 77 for all others."""

from __future__ import annotations

import pytest

from tests.kit.processes import fails
from tests.kit.samples import UNKNOWN, a_record, stored_samples
from tests.kit.vault import ROLES, Vault

COMMANDS = {
    "reveal": ("find", "--field", "ip", "--reason", "a test of roles"),
    "analyst": ("duplicates", "--field", "ip"),
    "erase": ("erase", UNKNOWN, "--reason", "a test of roles", "--yes"),
}
"""By the role that each is for."""

ENDS = {"reveal": 0, "analyst": 0, "erase": 66}
"""How each ends for its role: there is no such record to erase."""

MAY_APPEND = {"reveal", "rotate", "re-encrypt"}


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("owner", COMMANDS)
def test_a_command_is_for_one_role(loaded: Vault, owner: str, role: str) -> None:
    """The role's login may run it; any other login is told the role, and is logged if it can write the log."""
    command = COMMANDS[owner]
    before = loaded.count("audit_log")
    result = loaded.run(role, *command, stdin="203.0.113.7\n")
    if role == owner:
        assert result.code == ENDS[owner], result.stderr
        return
    fails(result, 77, "Postgres", "login")
    assert "role" in result.stderr.splitlines()[-1]
    new = loaded.sql(
        "SELECT phase, decision, error_code, action, login FROM audit_log WHERE seq > %s", before
    )
    audited = owner != "analyst" and role in MAY_APPEND
    login = f"test_{role.replace('-', '_')}"
    assert new == ([("intent", "denied", "role", command[0], login)] if audited else [])


@pytest.mark.parametrize("owner", ["reveal", "erase"])
def test_a_refused_login_learns_nothing(loaded: Vault, owner: str) -> None:
    """The denial comes before the search, so an existing record and an unknown id have the same answer."""
    there = {"reveal": stored_samples()[0]["ip"], "erase": a_record(loaded)[0]}
    answers = [
        loaded.run(
            "analyst",
            *(word if word != UNKNOWN else asked for word in COMMANDS[owner]),
            stdin=f"{asked}\n" if owner == "reveal" else "",
        )
        for asked in (there[owner], UNKNOWN if owner == "erase" else "192.0.2.1")
    ]
    assert answers[0] == answers[1]


@pytest.mark.parametrize("dry", ["--dry-run", "--yes"])
def test_a_dry_run_is_for_the_same_role(loaded: Vault, dry: str) -> None:
    """A dry run, which counts the data of a user, needs the same role."""
    record_id, _ = a_record(loaded)
    fails(loaded.run("analyst", "erase", record_id, "--reason", "x", dry), 77, "login")
