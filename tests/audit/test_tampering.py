"""Whatever the database's superuser does to the log with the triggers off, `verify` names it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.audit.logbook import LET_IN_TWICE, REBUILD, Logbook
from tests.kit.entries import append_committed
from tests.kit.fakes.checkpoints import FakeHeadSigner
from vault_etl.audit.chain import LoggedEntry
from vault_etl.audit.checkpoint import Checkpoint, Head
from vault_etl.audit.postgres_proof import PostgresProver, PostgresSnapshot
from vault_etl.audit.proof import Proof, Severity
from vault_etl.audit.verify_log import verify_log

COLUMNS = (
    "seq, logged_at, request_id, phase, login, client_address, actor, host, action, record_id, fields,"
    " purpose, ticket, reason, decision, error_code, prev_hash, hash, written_by"
)


def named(proof: Proof, seq: int, *words: str) -> None:
    """Assert that the log does not hold, that the first bad entry is `seq`, and that the words say why."""
    assert proof.problem is not None
    assert proof.problem.seq == seq, proof.problem
    for word in words:
        assert word in str(proof.problem)


def test_an_honest_log_holds(log: Logbook) -> None:
    """Alone and against every receipt: 14 entries, the checkpoints of 5 looks, nothing left open."""
    receipts = [log.look(), log.look()]
    proof = log.prove(*receipts)
    assert (proof.problem, proof.unfinished, proof.unsigned) == (None, [], [])
    assert (proof.head, proof.checkpoints) == (receipts[-1].head, 7)
    assert proof.head.seq == 18


@pytest.mark.parametrize(
    "change",
    [
        "logged_at = logged_at + interval '1 microsecond'",
        "logged_at = 'infinity'",
        "request_id = gen_random_uuid()",
        "login = 'somebody_else'",
        "client_address = NULL",
        "actor = 'arn:aws:iam::123456789012:user/somebody-else'",
        "host = 'elsewhere'",
        "action = 'find'",
        "record_id = gen_random_uuid()",
        "fields = '{ip}'",
        "purpose = 'fraud'",
        "ticket = 'T-1'",
        "reason = 'another one'",
        "decision = 'denied'",
        "error_code = 'x'",
    ],
)
def test_one_column_changed(log: Logbook, change: str) -> None:
    """Every column is in the hash."""
    log.tamper(f"UPDATE audit_log SET {change} WHERE seq = 7")  # noqa: S608
    named(log.prove(), 7, "was changed")


@pytest.mark.parametrize("seq", [7, 8])
def test_one_column_changed_with_its_hash(log: Logbook, seq: int) -> None:
    """An entry whose hash was made anew is not the one that its checkpoint signs, or that the next follows."""
    log.tamper(
        f"UPDATE audit_log SET reason = 'another' WHERE seq = {seq}",  # noqa: S608
        f"UPDATE audit_log AS l SET hash = public.audit_hash(l) WHERE seq = {seq}",  # noqa: S608
    )
    named(log.prove(), 8)


def test_one_entry_deleted(log: Logbook) -> None:
    """The gap is named."""
    log.tamper("DELETE FROM audit_log WHERE seq = 9")
    named(log.prove(), 9, "is missing")


def test_the_first_entry_deleted(log: Logbook) -> None:
    """The log begins with the vault's own id, and with entry 1."""
    log.tamper("DELETE FROM audit_log WHERE seq = 1")
    named(log.prove(), 1, "is missing")


def test_one_entry_inserted(log: Logbook) -> None:
    """With all behind it renumbered, and its own hash right: the next does not continue it."""
    log.tamper(
        LET_IN_TWICE,
        "UPDATE audit_log SET seq = seq + 1 WHERE seq >= 6",
        f"INSERT INTO audit_log ({COLUMNS}) SELECT 6{COLUMNS[3:]} FROM audit_log WHERE seq = 5",  # noqa: S608
        "UPDATE audit_log SET prev_hash = (SELECT hash FROM audit_log WHERE seq = 5) WHERE seq = 6",
        "UPDATE audit_log AS l SET hash = public.audit_hash(l) WHERE seq = 6",
        "UPDATE audit_head SET seq = seq + 1",
    )
    named(log.prove(), 6, "not the one that its checkpoint signs")


def test_the_last_entry_made_void_with_the_head(log: Logbook) -> None:
    """An entry and a head without hashes cannot disagree; the missing hashes are reported."""
    log.tamper(
        "ALTER TABLE audit_log ALTER hash DROP NOT NULL",
        "ALTER TABLE audit_head ALTER hash DROP NOT NULL",
        "UPDATE audit_log SET logged_at = 'infinity', hash = NULL WHERE seq = 14",
        "UPDATE audit_head SET hash = NULL",
        "DELETE FROM audit_checkpoints WHERE seq = 14",
    )
    named(log.prove(), 14, "was changed")


def test_two_entries_swapped(log: Logbook) -> None:
    """Each has the other's number."""
    log.tamper(
        LET_IN_TWICE,
        "UPDATE audit_log SET seq = 19 - seq WHERE seq IN (9, 10)",
    )
    named(log.prove(), 9, "does not continue entry 8")


def test_one_entry_twice(log: Logbook) -> None:
    """A copy of one, under its own number."""
    log.tamper(LET_IN_TWICE, "INSERT INTO audit_log SELECT * FROM audit_log WHERE seq = 5")
    named(log.prove(), 5, "is there twice")


def test_one_entry_renumbered(log: Logbook) -> None:
    """To behind the end: it is missing where it was."""
    log.tamper("UPDATE audit_log SET seq = 70 WHERE seq = 7")
    named(log.prove(), 7, "is missing")


@pytest.mark.parametrize("last", [13, 6])
class TestTheEndCut:
    """By one entry, or by many."""

    def test_alone(self, log: Logbook, last: int) -> None:
        """The head and the checkpoints say where the end was."""
        log.tamper(f"DELETE FROM audit_log WHERE seq > {last}")  # noqa: S608
        named(log.prove(), last + 1, "is missing")

    def test_with_the_head(self, log: Logbook, last: int) -> None:
        """The checkpoints do."""
        log.tamper(f"DELETE FROM audit_log WHERE seq > {last}", REBUILD.format(first=99_999))  # noqa: S608
        log.tamper(
            "UPDATE audit_head SET hash = (SELECT hash FROM audit_log ORDER BY seq DESC LIMIT 1)"
        )
        named(log.prove(), last + 1, "is missing", "a checkpoint signs entry")

    def test_with_the_head_and_the_checkpoints(self, log: Logbook, last: int) -> None:
        """No row of the database shows it any more; a receipt that was kept does."""
        receipt = log.look()
        log.tamper(
            f"DELETE FROM audit_log WHERE seq > {last}",  # noqa: S608
            f"DELETE FROM audit_checkpoints WHERE seq > {last}",  # noqa: S608
        )
        log.tamper(
            "UPDATE audit_head SET (seq, hash) ="
            " (SELECT seq, hash FROM audit_log ORDER BY seq DESC LIMIT 1)"
        )
        assert log.prove().problem is None
        named(log.prove(receipt), last + 1, "is missing", "receipt.txt signs entry 16")


def test_all_of_it_truncated(log: Logbook) -> None:
    """The head tells; with the head made anew, a receipt does."""
    receipt = log.look()
    log.tamper(
        "TRUNCATE audit_log, audit_disclosed, audit_keys, reveal_policies, key_changes CASCADE"
    )
    named(log.prove(), 1, "is missing")
    log.rebuild(1, forget=True)
    named(log.prove(receipt), 1, "is missing", "receipt.txt signs entry 16")


@pytest.mark.parametrize("first", [5, 7, 13])
class TestTheChainRebuilt:
    """Self-consistent, from any point on."""

    def test_beside_its_checkpoints(self, log: Logbook, first: int) -> None:
        """The next checkpoint is of another chain."""
        log.tamper(f"UPDATE audit_log SET reason = 'another one' WHERE seq = {first}")  # noqa: S608
        log.rebuild(first, forget=False)
        named(log.prove(), first + 1, "not the one that its checkpoint signs")

    def test_without_them_and_an_honest_look_on_top(self, log: Logbook, first: int) -> None:
        """A receipt from before names it; without one, the entries that lost their checkpoints are listed."""
        receipt = log.look()
        log.tamper(f"UPDATE audit_log SET reason = 'another one' WHERE seq = {first}")  # noqa: S608
        log.rebuild(first, forget=True)
        log.look()
        alone = log.prove()
        assert alone.problem is None
        assert alone.unsigned == list(range(first + 1, 17, 2))
        named(log.prove(receipt), 16, "not the one that the checkpoint in receipt.txt signs")


@pytest.mark.parametrize("seq", [8, 14])
@pytest.mark.parametrize("what", ["another key", "the right key's hash", "an older signature"])
def test_a_checkpoint_that_was_forged_says_nothing(log: Logbook, seq: int, what: str) -> None:
    """Any role that signs may store a forged checkpoint, so it is rubbish; the outcome has no checkpoint of its own."""
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
    assert (problem.kind, problem.seq) == (Severity.RUBBISH, seq)
    assert "no key which was given signed, stored by test_reveal" in problem.what


def test_an_older_state_put_back(log: Logbook) -> None:
    """Log, head and checkpoints of an earlier moment, whole: only what was kept outside tells."""
    receipt = log.look()
    log.tamper(
        "DELETE FROM audit_log WHERE seq > 14", "DELETE FROM audit_checkpoints WHERE seq > 14"
    )
    log.tamper(
        "UPDATE audit_head SET (seq, hash) = (SELECT seq, hash FROM audit_log WHERE seq = 14)"
    )
    assert log.prove().problem is None
    named(log.prove(receipt), 15, "is missing")


def test_a_log_that_was_given_to_another_vault(log: Logbook) -> None:
    """The chain does not begin there, its checkpoints say nothing there; nor does a receipt of this one."""
    receipt = log.look()
    log.tamper("UPDATE vault SET vault_id = gen_random_uuid()")
    named(log.prove(), 1, "does not begin the log of this vault")
    log.rebuild(1, forget=True)
    named(log.prove(receipt), 16, "of another vault")


@pytest.mark.parametrize("change", ["DELETE FROM vault", "INSERT INTO vault VALUES (false)"])
def test_a_table_that_does_not_say_which_vault_it_is(log: Logbook, change: str) -> None:
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
def test_a_head_that_is_none_or_two(log: Logbook, change: str) -> None:
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
def test_a_policy_or_a_key_that_no_entry_set(log: Logbook, change: str, seq: int) -> None:
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
def test_an_amount_that_the_entry_does_not_say(log: Logbook, change: str, seq: int) -> None:
    """An intent's amount for its quota is in its reason, and so in its hash; a denied intent counts nothing."""
    looks = {"action": "find", "fields": ["ip"], "amount": 9}
    assert append_committed(log.database, **looks) == 15
    assert append_committed(log.database, **looks, decision="denied", error_code="role") == 16
    assert log.prove().problem is None
    log.tamper(change)
    named(log.prove(), seq, "as many values as it says")


def test_a_reason_does_not_say_an_amount_by_itself(log: Logbook) -> None:
    """No role can make an entry that looks as if its amount had been taken away: the one that holds comes first."""
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
def test_the_head_changed(log: Logbook, change: str, word: str) -> None:
    """A head that is not the end of the chain is reported."""
    log.tamper(change)
    named(log.prove(), 14, word)


def test_an_intent_without_an_outcome_is_reported(log: Logbook) -> None:
    """Possibly revealed; the log holds all the same."""
    log.leave_open()
    log.look()
    proof = log.prove()
    assert (proof.problem, proof.unfinished) == (None, [15])


def test_a_key_that_was_replaced(log: Logbook) -> None:
    """With both public keys the log holds; with the new one alone, the old checkpoints say nothing."""
    newer = Logbook(log.database, FakeHeadSigner())
    newer.register()
    newer.look()
    assert newer.prove(signers=[log.signer, newer.signer]).problems == []
    proof = newer.prove()
    assert proof.ok
    assert [problem.seq for problem in proof.problems] == [1, 6, 8, 10, 12, 14]
    assert {problem.kind for problem in proof.problems} == {Severity.RUBBISH}


def test_a_key_that_signed_nothing_proves_nothing(log: Logbook) -> None:
    """The wrong public key is no proof with a warning: exit 65."""
    proof = log.prove(signers=[FakeHeadSigner()])
    assert not proof.ok
    assert proof.problem is not None
    assert proof.problem.kind == Severity.UNPROVEN
    assert "a key that was given signed none" in str(proof.problem)


def test_verify_sees_one_moment(log: Logbook) -> None:
    """An entry appended between two reads of the proof is not half in it."""

    class Overtaken(PostgresSnapshot):
        def entries(self) -> Iterator[LoggedEntry]:
            log.look()
            return super().entries()

    with log.database.database("audit") as opened, PostgresProver(opened).snapshot() as snapshot:
        overtaken = Overtaken(snapshot._cursor)
        proof = verify_log(overtaken, [log.signer.signing_key().key])
    assert (proof.problem, proof.head.seq) == (None, 14)
    assert log.prove().head.seq == 16
