"""Each command of the log is for one role's login, and says so to every other: exit 77, on the record if it can be."""

from __future__ import annotations

import pytest

from tests.kit.processes import fails
from tests.kit.vault import ROLES, Vault

COMMANDS: dict[str, tuple[str, tuple[str, ...], str | None]] = {
    "reveal": ("reveal", ("reveal", "ID", "--reason", "roles"), "reveal"),
    "reveal masked": (
        "reveal",
        ("reveal", "ID", "--masked", "--reason", "roles"),
        "reveal masked",
    ),
    "keys init": ("re-encrypt", ("keys", "init"), "keys init"),
    "keys rotate": ("re-encrypt", ("keys", "rotate", "--yes"), "keys rotate"),
    "keys list": ("audit", ("keys", "list"), None),
    "audit list": ("audit", ("audit", "list"), None),
    "audit verify": ("audit", ("audit", "verify"), None),
    "audit checkpoint": ("audit", ("audit", "checkpoint"), None),
    "audit policy": ("audit", ("audit", "policy"), None),
}
"""The role, the command, and the action that a login which may write the log is denied under."""

ALSO = {
    "keys rotate": {"rotate"},
    "keys list": {"rotate", "re-encrypt"},
    "audit policy": {"reveal"},
}
MAY_APPEND = {"reveal", "rotate", "re-encrypt"}


@pytest.mark.iam
@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_is_for_its_role(site: Vault, record_id: str, name: str, role: str) -> None:
    """The role's login may run it; others get exit 77, and a denied entry where they may append one."""
    owner, words, action = COMMANDS[name]
    before = site.count("audit_log")
    result = site.run(role, *(record_id if word == "ID" else word for word in words))
    if role == owner:
        assert result.code == 0, result.stderr
        return
    if role in ALSO.get(name, set()):
        return
    fails(result, 77)
    new = site.sql(
        "SELECT phase, decision, error_code, action, login FROM audit_log WHERE seq > %s", before
    )
    login = f"test_{role.replace('-', '_')}"
    denied = action is not None and role in MAY_APPEND
    assert new == ([("intent", "denied", "role", action, login)] if denied else [])


def test_denied_ids_are_each_on_the_record(site: Vault, record_id: str) -> None:
    """A login that may not read the records leaves one entry for each of them."""
    other = "019a0000-0000-7000-8000-000000000000"
    result = site.run("rotate", "reveal", record_id, other, "--reason", "two")
    fails(result, 77, "login")
    last = "SELECT record_id::text, decision FROM audit_log ORDER BY seq DESC LIMIT 2"
    assert site.sql(last) == [(other, "denied"), (record_id, "denied")]
