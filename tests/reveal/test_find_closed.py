"""`find` fails closed: without entry, signature or the policy's consent there is no answer."""

from __future__ import annotations

import json

import pytest

from tests.kit.holders import ADDRESS
from tests.kit.processes import fails
from tests.kit.proxy import FaultProxy
from tests.kit.vault import Result, Vault

ASKED = ("find", "--field", "ip", "--reason", "a test")
LAST = "SELECT phase, decision, error_code FROM audit_log ORDER BY seq DESC LIMIT 1"
ANYTHING = {"reveals_an_hour": 100_000, "purposes": {}}


def search(vault: Vault, kms: FaultProxy, *more: str) -> Result:
    """Find a stored address, with the proxy before KMS."""
    extra = {"AWS_ENDPOINT_URL_KMS": kms.url}
    return vault.run("reveal", *ASKED, *more, stdin=ADDRESS, extra=extra)


def test_without_an_entry_kms_is_not_asked(held: Vault) -> None:
    """The log does not take the intent: exit 74, no Decrypt, no answer."""
    held.sql("ALTER TABLE audit_log ADD CONSTRAINT no CHECK (action <> 'find') NOT VALID")
    try:
        with FaultProxy(held.endpoint) as kms:
            result = search(held, kms)
    finally:
        held.sql("ALTER TABLE audit_log DROP CONSTRAINT no")
    fails(result, 74, "the audit log could not be written")
    assert "Decrypt" not in kms.operations()


def test_without_its_outcome_there_is_no_answer(held: Vault) -> None:
    """The search ran, but exit is 74, nothing is printed, and the intent has no outcome."""
    held.sql("ALTER TABLE audit_log ADD CONSTRAINT no CHECK (phase <> 'outcome') NOT VALID")
    try:
        with FaultProxy(held.endpoint) as kms:
            result = search(held, kms)
    finally:
        held.sql("ALTER TABLE audit_log DROP CONSTRAINT no")
    fails(result, 74, "the audit log could not be written")
    assert "Decrypt" in kms.operations()
    assert held.sql(LAST) == [("intent", "allowed", None)]


@pytest.mark.parametrize("verdict", [False, "AccessDeniedException"], ids=["down", "denied"])
def test_an_answer_that_is_not_signed_is_withheld(held: Vault, verdict: bool | str) -> None:
    """The audit key is down, or denied: exit 74, and nothing is printed."""
    with FaultProxy(held.endpoint, lambda call: call.operation != "Sign" or verdict) as kms:
        result = search(held, kms)
    fails(result, 74, "could not be signed")


def test_a_kms_that_says_no_is_an_outcome(held: Vault) -> None:
    """The token key may not be opened: exit 77, and the outcome says why."""
    judge = lambda call: call.operation != "Decrypt" or "AccessDeniedException"  # noqa: E731
    with FaultProxy(held.endpoint, judge) as kms:
        result = search(held, kms)
    fails(result, 77, "KMS denies this")
    assert held.sql(LAST) == [("outcome", "failed", "key_unavailable")]


@pytest.mark.parametrize(
    ("policy", "code"),
    [
        ({"reveals_an_hour": 0, "purposes": {}}, "quota"),
        ({"reveals_an_hour": 9, "purposes": {"fraud": {"fields": ["device_id"]}}}, "field"),
        ({"reveals_an_hour": 9, "purposes": {"other": {"fields": ["ip"]}}}, "purpose"),
        ({"reveals_an_hour": 9, "purposes": {"fraud": {"masked_fields": ["ip"]}}}, "masked_only"),
    ],
    ids=["quota", "field", "purpose", "masked"],
)
def test_find_is_under_the_policy_as_a_reveal_is(
    held: Vault, policy: dict[str, object], code: str
) -> None:
    """Denied: exit 77 before KMS is asked, the same for any value, and on the record."""
    held.set_policy(policy)
    try:
        with FaultProxy(held.endpoint) as kms:
            result = search(held, kms, "--purpose", "fraud")
            extra = {"AWS_ENDPOINT_URL_KMS": kms.url}
            asked = (*ASKED, "--purpose", "fraud")
            other = held.run("reveal", *asked, stdin="192.0.2.1", extra=extra)
    finally:
        held.set_policy(ANYTHING)
    fails(result, 77, "the reveal policy")
    assert plain_errors(other) == plain_errors(result)
    assert "Decrypt" not in kms.operations()
    denied = held.sql(
        "SELECT decision, error_code FROM audit_log WHERE action = 'find' ORDER BY seq DESC LIMIT 2"
    )
    assert denied == [("denied", code)] * 2


def plain_errors(result: Result) -> list[str]:
    """Return standard error without log lines."""
    lines = result.stderr.splitlines()
    return [line for line in lines if not (line.startswith("{") and json.loads(line))]
