"""`verify` names what the superuser changes beside the entries: checkpoints, heads, keys, policies, amounts."""

from __future__ import annotations

import pytest

from tests.audit.logbook import Logbook, named
from tests.kit.entries import append_committed
from tests.kit.fakes.checkpoints import FakeHeadSigner
from vault_etl.audit.checkpoint import Checkpoint, Head
from vault_etl.audit.proof import Severity


@pytest.mark.parametrize("seq", [8, 14])
@pytest.mark.parametrize("what", ["another key", "the right key's hash", "an older signature"])
def test_a_checkpoint_that_was_forged_says_nothing(log: Logbook, seq: int, what: str) -> None:
    """Any role that signs may store a forged checkpoint, so it is noise; the outcome has no checkpoint of its own."""
    ((vault_id, hash_),) = log.database.sql(
        "SELECT vault_id, hash FROM vault, audit_log WHERE seq = %s", seq
    )
    signer = FakeHeadSigner()
    signature = signer.sign(Checkpoint(vault_id, Head(seq, bytes(hash_))).text.encode()).der
    if what == "an older signature":
        change = "signature = (SELECT signature FROM audit_checkpoints WHERE seq = 6)"
    else:
        change = f"signature = '\\x{signature.hex()}'"
        if what == "another key":
            change += f", key_hash = '\\x{signer.signing_key().key.hash.hex()}'"
    log.tamper(f"UPDATE audit_checkpoints SET {change} WHERE seq = {seq}")  # noqa: S608
    proof = log.prove()
    assert (proof.ok, proof.unsigned, proof.checkpoints) == (True, [seq], 4)
    (problem,) = proof.problems
    assert (problem.kind, problem.seq) == (Severity.NOISE, seq)
    assert "no key which was given signed, stored by test_reveal" in problem.what


@pytest.mark.parametrize("change", ["DELETE FROM vault", "INSERT INTO vault VALUES (false)"])
def test_a_table_without_a_vault_id_is_named(log: Logbook, change: str) -> None:
    """The table is reported, and the rest of the log is judged all the same."""
    receipt = log.look()
    log.tamper(
        "ALTER TABLE vault DROP CONSTRAINT vault_one_check",
        change,
        "UPDATE audit_log SET reason = 'another' WHERE seq = 7",
    )
    proof = log.prove(receipt)
    assert [problem.seq for problem in proof.problems if problem.kind == Severity.TAMPERED] == [
        0,
        7,
    ]


@pytest.mark.parametrize(
    "change",
    ["DELETE FROM audit_head", "INSERT INTO audit_head SELECT false, seq, hash FROM audit_head"],
)
def test_a_missing_or_second_head_is_named(log: Logbook, change: str) -> None:
    """A missing or second head is reported."""
    log.tamper("ALTER TABLE audit_head DROP CONSTRAINT audit_head_one_check", change)
    named(log.prove(), 14, "lost its head")


@pytest.mark.parametrize(
    ("change", "seq"),
    [
        ("UPDATE reveal_policies SET document = '{\"reveals_an_hour\": 1000000}'", 3),
        ("DELETE FROM reveal_policies", 3),
        ("INSERT INTO reveal_policies VALUES (9, '{}')", 9),
        ("UPDATE audit_keys SET note = replace(note, 'arn:aws', 'arn:aws-cn')", 1),
        ("DELETE FROM audit_keys", 1),
    ],
)
def test_a_policy_or_a_key_that_no_entry_set_is_named(log: Logbook, change: str, seq: int) -> None:
    """A row that an entry put in force is bound to the entry by its SHA-256."""
    log.tamper(change)
    named(log.prove(), seq)


@pytest.mark.parametrize(
    ("change", "seq"),
    [
        ("UPDATE audit_amounts SET amount = 1", 15),
        ("DELETE FROM audit_amounts", 15),
        ("INSERT INTO audit_amounts VALUES (5, 2)", 5),
        ("INSERT INTO audit_amounts VALUES (16, 9)", 16),
        (("ALTER TABLE audit_amounts DROP CONSTRAINT audit_amounts_seq_fkey;"
         " INSERT INTO audit_amounts VALUES (99, 9)"), 99),
    ],
)  # fmt: skip
def test_an_amount_that_the_entry_does_not_say_is_named(
    log: Logbook, change: str, seq: int
) -> None:
    """An intent's amount for its quota is in its reason, and so in its hash; a denied intent counts nothing."""
    looks = {"action": "find", "fields": ["ip"], "amount": 9}
    assert append_committed(log.database, **looks) == 15
    assert append_committed(log.database, **looks, decision="denied", error_code="role") == 16
    assert log.prove().problem is None
    log.tamper(change)
    named(log.prove(), seq, "as many values as it says")


def test_a_reason_does_not_say_an_amount_by_itself(log: Logbook) -> None:
    """No role can fake an entry whose amount was removed: the amount that holds comes first."""
    for fields in (["ip"], []):
        append_committed(log.database, action="find", fields=fields, reason="9 values: x")
    append_committed(log.database, action="reveal", reason="9 values: x")
    append_committed(log.database, action="find", fields=["ip"], reason="9 values: x", amount=2)
    said = log.database.sql("SELECT reason FROM audit_log WHERE seq >= 15 ORDER BY seq")
    assert [reason.partition(":")[0] for (reason,) in said] == ["1 values"] * 2 + [
        "9 values",
        "2 values",
    ]
    assert log.prove().problem is None


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ("UPDATE audit_head SET seq = 13", "was added"),
        ("UPDATE audit_head SET hash = sha256('x')", "not the head"),
        ("DELETE FROM audit_head", "lost its head"),
    ],
)
def test_a_changed_head_is_named(log: Logbook, change: str, word: str) -> None:
    """A head that is not the end of the chain is reported."""
    log.tamper(change)
    named(log.prove(), 14, word)


def test_a_replaced_key_needs_its_public_key(log: Logbook) -> None:
    """With both public keys the log holds; with the new one alone, the old checkpoints say nothing."""
    newer = Logbook(log.database, FakeHeadSigner())
    newer.register()
    newer.look()
    assert newer.prove(signers=[log.signer, newer.signer]).problems == []
    proof = newer.prove()
    assert proof.ok
    assert [problem.seq for problem in proof.problems] == [1, 6, 8, 10, 12, 14]
    assert {problem.kind for problem in proof.problems} == {Severity.NOISE}


def test_a_key_that_signed_nothing_proves_nothing(log: Logbook) -> None:
    """The wrong public key is no proof with a warning: exit 65."""
    proof = log.prove(signers=[FakeHeadSigner()])
    assert not proof.ok
    assert proof.problem is not None
    assert proof.problem.kind == Severity.UNPROVEN
    assert "a key that was given signed none" in str(proof.problem)
