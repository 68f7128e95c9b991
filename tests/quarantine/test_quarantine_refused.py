"""`quarantine list` and `show` that must not succeed: wrong arguments, rights, keys, logs and bodies."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.kit.denials import APPEND, MAY_APPEND, REVOKE
from tests.kit.events import event
from tests.kit.processes import fails
from tests.kit.proxy import Call, FaultProxy
from tests.kit.quarantined import FLIP, MOVE, quarantine
from tests.kit.samples import UNKNOWN
from tests.kit.vault import Vault
from tests.quarantine.held import Quarantine, held_quarantine

LIST = ("quarantine", "list")
SHOW = ("quarantine", "show", UNKNOWN, "--reason", "x")


@pytest.fixture(scope="module")
def held(keyed: Vault, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Quarantine]:
    """Yield one vault for all tests that change nothing."""
    with held_quarantine(keyed, tmp_path_factory.mktemp("held")) as filled:
        yield filled


@pytest.mark.parametrize(
    ("command", "names"),
    [
        (("quarantine", "show", UNKNOWN), "an access to a message needs a --reason"),
        ((*SHOW[:3], "--reason", " \t"), "the argument after --reason is empty"),
        ((*SHOW, "--ticket", "x" * 65), "the ticket is longer"),
        (("quarantine", "show", "4711", "--reason", "x"), "ID takes an id such as"),
        (("quarantine", "show", "--reason", "x"), "missing argument 'ID'"),
        ((*LIST, "--reason-code", "no_such_code"), "--reason-code"),
        ((*LIST, "--since", "2026-13-01"), "--since"),
        ((*LIST, "--limit", "0"), "--limit"),
        ((*LIST, "--summary", "--limit", "3"), "--summary"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_wrong_command_line_is_one_line_of_error(
    held: Quarantine, command: tuple[str, ...], names: str
) -> None:
    """Exit is 2, and the log gets no entry."""
    before = held.vault.count("audit_log")
    fails(held.vault.run("reveal", *command), 2, names)
    assert held.vault.count("audit_log") == before


@pytest.mark.parametrize("record_id", [UNKNOWN, "019a0000-0000-4000-8000-000000000000"])
def test_an_unknown_message_is_not_found(held: Quarantine, record_id: str) -> None:
    """Exit 66, after the question was logged."""
    fails(
        held.vault.run("reveal", *held.show(record_id)),
        66,
        "no quarantined message has this record_id",
    )
    outcome = held.vault.ok("audit", "audit", "list", "--record", record_id).lines[-1]
    assert (outcome["decision"], outcome["error_code"]) == ("failed", "not_found")


@pytest.mark.parametrize(
    ("role", "command"),
    [
        *((role, LIST) for role in ("ingest", "erase", "audit", "analyst")),
        *((role, (*LIST, "--summary")) for role in ("ingest", "analyst")),
        *((role, SHOW) for role in ("ingest", "rotate", "re-encrypt", "erase", "audit", "analyst")),
    ],
    ids=lambda value: value if isinstance(value, str) else "-".join(value[1:3:2]),
)
def test_each_command_needs_its_role(held: Quarantine, role: str, command: tuple[str, ...]) -> None:
    """Exit 77 with a hint; a denied access has an entry where the login may append one."""
    before = held.vault.count("audit_log")
    fails(held.vault.run(role, *command), 77, "Postgres", "login")
    new = held.vault.sql(
        "SELECT phase, decision, error_code, action, login, record_id::text, fields"
        " FROM audit_log WHERE seq > %s",
        before,
    )
    login = f"test_{role.replace('-', '_')}"
    denied = ("intent", "denied", "role", "quarantine show", login, UNKNOWN, ["quarantine"])
    assert new == ([denied] if command is SHOW and role in MAY_APPEND else [])


@pytest.mark.iam
def test_a_wrong_access_key_opens_no_body(held: Quarantine) -> None:
    """Reveal's login with ingest's AWS role: KMS says no, and the log has it."""
    stolen = held.vault.access_key("ingest")
    result = held.vault.run("reveal", *held.show(held.text), extra=stolen)
    fails(result, 77, "KMS denies this (AccessDeniedException)")
    outcome = held.vault.ok("audit", "audit", "list", "--record", held.text).lines[-1]
    assert (outcome["decision"], outcome["error_code"]) == ("failed", "key_unavailable")


def test_without_kms_nothing_is_shown(held: Quarantine) -> None:
    """Exit 69."""
    with FaultProxy(held.vault.endpoint, lambda call: call.operation != "Decrypt") as kms:
        extra = {"AWS_ENDPOINT_URL_KMS": kms.url}
        fails(held.vault.run("reveal", *held.show(held.text), extra=extra), 69, "KMS")


def test_the_decrypt_follows_the_committed_intent(held: Quarantine) -> None:
    """Another session sees the intent at the call of KMS; its id is in the user agent."""
    seen = []

    def look(call: Call) -> bool:
        if call.operation == "Decrypt":
            last = "SELECT phase, request_id::text FROM audit_log ORDER BY seq DESC LIMIT 1"
            seen.append((*held.vault.sql(last)[0], call.user_agent))
        return True

    with FaultProxy(held.vault.endpoint, look) as kms:
        held.vault.ok("reveal", *held.show(held.text), extra={"AWS_ENDPOINT_URL_KMS": kms.url})
    assert seen
    for phase, request_id, user_agent in seen:
        assert phase == "intent"
        assert f"request/{request_id}" in user_agent


@pytest.mark.parametrize("when", ["before", "after the body is open"])
def test_a_log_that_cannot_be_written_shows_nothing(held: Quarantine, when: str) -> None:
    """Exit 74; without an intent KMS is not even asked."""

    def revoke_at_last_moment(call: Call) -> bool:
        if call.operation == "Decrypt":
            held.vault.sql(REVOKE)
        return True

    if when == "before":
        held.vault.sql(REVOKE)
    try:
        with FaultProxy(held.vault.endpoint, revoke_at_last_moment) as kms:
            extra = {"AWS_ENDPOINT_URL_KMS": kms.url}
            result = held.vault.run("reveal", *held.show(held.text), extra=extra)
    finally:
        held.vault.sql(f"GRANT EXECUTE ON FUNCTION {APPEND} TO vault_etl_reveal")
    fails(result, 74, "the audit log could not be written")
    assert ("Decrypt" in kms.operations()) is (when != "before")
    assert "203.0.113.9" not in result.stderr


def test_a_body_that_was_tampered_with_does_not_open(quick: Vault) -> None:
    """Exit 65: a flipped bit, and another row's body, with the one message and no hint of why."""
    mine, other = quarantine(quick, event().encode(), event().encode())
    errors = set()
    for damage in ((FLIP, mine), (MOVE, other, mine)):
        quick.sql(*damage)
        result = quick.run("reveal", "quarantine", "show", mine, "--reason", "x", "--quiet")
        fails(result, 65, "a sealed value does not open")
        errors.add(result.stderr)
    assert len(errors) == 1
    assert quick.ok("reveal", "quarantine", "show", other, "--reason", "x").json["body"]


def test_half_a_command_shows_its_help(held: Quarantine) -> None:
    """On standard error, with exit 2."""
    result = held.vault.run("reveal", "quarantine")
    assert (result.code, result.stdout) == (2, "")
    assert result.stderr.startswith("Usage: vault-etl")
