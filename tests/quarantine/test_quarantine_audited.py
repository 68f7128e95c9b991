"""Looks at quarantine under the policy, and their head signed: as a reveal's, or nothing is shown."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kit.events import event
from tests.kit.notes import stored_notes
from tests.kit.processes import fails, on_terminal
from tests.kit.proxy import FaultProxy, Judge
from tests.kit.quarantined import quarantine
from tests.kit.samples import UNKNOWN
from tests.kit.transcripts import NOTE, PLAIN, steady
from tests.kit.vault import Vault
from tests.kit.vaults import filled_vault

GENEROUS: dict[str, object] = {"reveals_an_hour": 100_000, "purposes": {}}
BODY = b"not json: 203.0.113.77"
PURPOSES = {
    "bugs": {"fields": ["quarantine"], "ticket_pattern": "BUG-[0-9]+"},
    "fraud": {"fields": ["ip"], "masked_fields": ["quarantine"]},
    "support": {"fields": ["ip", "device_id"]},
}
POLICY = {"reveals_an_hour": 100_000, "purposes": PURPOSES}
LAST = "SELECT phase, decision, error_code FROM audit_log ORDER BY seq DESC LIMIT 1"
RETRY = ("quarantine", "retry", "--all", "--yes")


@pytest.fixture(scope="module")
def record_and_body(keyed: Vault, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Vault]:
    """A record, and a message that is not an event."""
    bodies = [event(), BODY.decode()]
    with filled_vault(keyed, tmp_path_factory.mktemp("audited"), bodies) as vault:
        yield vault


@pytest.fixture
def site(record_and_body: Vault) -> Iterator[Vault]:
    """The vault, whose policy is as it was afterwards."""
    yield record_and_body
    record_and_body.set_policy(GENEROUS)


@pytest.fixture
def message(record_and_body: Vault) -> str:
    """The id of the message."""
    ((found,),) = record_and_body.sql("SELECT record_id::text FROM quarantine")
    return str(found)


def show(record_id: str, *more: str) -> tuple[str, ...]:
    """The command that shows it."""
    return ("quarantine", "show", record_id, "--reason", "a test asks", *more)


def sign(verdict: bool | str) -> Judge:
    """A KMS that does all but sign."""
    return lambda call: verdict if call.operation == "Sign" else True


@pytest.mark.parametrize("output", ["json", "table", "value"])
def test_a_receipt_of_any_form_is_a_checkpoint_of_the_log(
    site: Vault, message: str, tmp_path: Path, output: str
) -> None:
    """Of the outcome: the JSON, the screen, and the log line beside a bare value."""
    done = site.ok("reveal", *show(message, "--output", output))
    assert BODY.decode() in done.stdout
    note = stored_notes(site)[-1]
    seq = int(note.splitlines()[1])
    ended = "SELECT action, phase, decision FROM audit_log WHERE seq = %s"
    assert site.sql(ended, seq) == [("quarantine show", "outcome", "done")]
    if output == "json":
        assert done.json["checkpoint"] == note
        assert done.json["audit_seq"] == seq - 1
    kept = tmp_path / "receipt.txt"
    kept.write_text(done.stderr if output == "value" else done.stdout, encoding="utf-8")
    proof = site.ok("audit", "audit", "verify", "--checkpoint", str(kept))
    assert proof.json["ok"]
    assert "without a --checkpoint" not in proof.stderr


def test_a_terminal_shows_a_message_as_a_reveal(site: Vault, message: str) -> None:
    """The notes below the table are those of a reveal."""
    ((record_id,),) = site.sql("SELECT record_id::text FROM user_logins")
    shown, revealed = (
        steady(on_terminal(site, "reveal", *command, extra=PLAIN).stdout).partition("\nKeep ")[2]
        for command in (show(message), ("reveal", record_id, "--reason", "x"))
    )
    assert shown == revealed == f"this receipt (vault-etl audit verify):\n\n{NOTE}\n"


@pytest.mark.parametrize("verdict", ["AccessDeniedException", False], ids=["denied", "down"])
def test_a_head_that_is_not_signed_withholds_the_body(
    site: Vault, message: str, verdict: bool | str
) -> None:
    """Exit 74: opened, concluded, and not shown."""
    with FaultProxy(site.endpoint, sign(verdict)) as kms:
        result = site.run("reveal", *show(message), extra={"AWS_ENDPOINT_URL_KMS": kms.url})
    fails(result, 74, "the head of the audit log could not be signed")
    assert "203.0.113.77" not in result.stderr
    assert {"Decrypt", "Sign"} <= set(kms.operations())
    assert site.sql(LAST) == [("outcome", "done", None)]


def test_without_a_registered_key_nothing_is_asked(bare_vault: Vault) -> None:
    """Exit 78, before the intent."""
    bare_vault.sql("ALTER TABLE audit_keys DISABLE TRIGGER ALL; DELETE FROM audit_keys")
    before = bare_vault.count("audit_log")
    with FaultProxy(bare_vault.endpoint) as kms:
        extra = {"AWS_ENDPOINT_URL_KMS": kms.url}
        fails(bare_vault.run("reveal", *show(UNKNOWN), extra=extra), 78, "no key is registered")
    assert kms.operations() == []
    assert bare_vault.count("audit_log") == before


@pytest.mark.parametrize(
    ("policy", "asked", "words"),
    [
        (POLICY, (), "does not know this purpose"),
        (POLICY, ("--purpose", "support"), "does not allow this field"),
        (POLICY, ("--purpose", "fraud"), "masked only"),
        (POLICY, ("--purpose", "bugs", "--ticket", "4711"), "ticket of another form"),
        ({**GENEROUS, "reveals_an_hour": 0}, (), "quota"),
    ],
    ids=["purpose", "field", "masked only", "ticket", "quota"],
)
def test_a_denial_is_the_same_for_any_id(
    site: Vault, message: str, policy: dict[str, object], asked: tuple[str, ...], words: str
) -> None:
    """Exit 77 comes before the search for the body, on the record, with the same words for every id."""
    site.set_policy(policy)
    answers = []
    for record_id in (message, UNKNOWN):
        before = site.count("audit_log")
        with FaultProxy(site.endpoint) as kms:
            extra = {"AWS_ENDPOINT_URL_KMS": kms.url}
            result = site.run("reveal", *show(record_id, *asked, "--quiet"), extra=extra)
        fails(result, 77, words)
        assert "Decrypt" not in kms.operations()
        assert site.count("audit_log") == before + 1
        assert site.sql(LAST)[0][:2] == ("intent", "denied")
        answers.append(result)
    assert answers[0] == answers[1]


def test_what_the_policy_allows_is_shown(site: Vault, message: str) -> None:
    """A purpose whose fields have `quarantine`, with a ticket of its form."""
    site.set_policy(POLICY)
    asked = show(message, "--purpose", "bugs", "--ticket", "BUG-4711")
    assert site.ok("reveal", *asked).json["body"] == BODY.decode()


def test_accesses_of_any_kind_share_one_quota(site: Vault, message: str) -> None:
    """An access to a message counts for the quota of reveals."""
    used = "SELECT count(*) FROM audit_log WHERE phase = 'intent' AND decision = 'allowed'"
    ((looks,),) = site.sql(f"{used} AND login = 'test_reveal'")
    site.set_policy({**GENEROUS, "reveals_an_hour": looks + 1})
    site.ok("reveal", *show(message))
    fails(site.run("reveal", "reveal", UNKNOWN, "--reason", "x"), 77, "quota")


def test_a_retry_is_signed_and_under_no_policy(quick: Vault) -> None:
    """A retry needs no purpose and counts for no quota, as a rotation, and ends with a checkpoint."""
    quick.set_policy({**POLICY, "reveals_an_hour": 0})
    quarantine(quick, event().encode())
    assert quick.ok("re-encrypt", *RETRY).json["moved"] == 1
    ((seq,),) = quick.sql("SELECT max(seq) FROM audit_log WHERE action = 'quarantine retry'")
    assert quick.sql("SELECT max(seq) FROM audit_checkpoints") == [(seq,)]
    assert quick.ok("audit", "audit", "verify").json["unsigned"] == []


def test_a_retry_that_is_not_signed_says_so(quick: Vault) -> None:
    """Exit 74 and no counts; what moved has moved, and `verify` lists the outcome."""
    quarantine(quick, event().encode())
    with FaultProxy(quick.endpoint, sign("AccessDeniedException")) as kms:
        result = quick.run("re-encrypt", *RETRY, extra={"AWS_ENDPOINT_URL_KMS": kms.url})
    assert (result.code, result.stdout) == (74, "")
    assert "the head of the audit log could not be signed" in result.stderr
    assert (quick.count("quarantine"), quick.count("user_logins")) == (0, 1)
    ((seq,),) = quick.sql("SELECT max(seq) FROM audit_log")
    assert quick.ok("audit", "audit", "verify").json["unsigned"] == [seq]
