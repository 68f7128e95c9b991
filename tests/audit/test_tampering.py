"""`verify` names each change that the database's superuser makes to the entries, with the triggers off."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.audit.logbook import LET_IN_TWICE, REBUILD, Logbook, named
from vault_etl.audit.chain import LoggedEntry
from vault_etl.audit.postgres_proof import PostgresProver, PostgresSnapshot
from vault_etl.audit.verify_log import verify_log

COLUMNS = (
    "seq, logged_at, request_id, phase, login, client_address, actor, host, action, record_id, fields,"
    " purpose, ticket, reason, decision, error_code, prev_hash, hash, written_by"
)


def test_an_honest_log_holds(log: Logbook) -> None:
    """Alone and against every receipt: 14 entries, the checkpoints of 5 accesses, no intent left open."""
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
        "actor = 'arn:aws:iam::123456789012:user/someone-else'",
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
def test_a_changed_column_is_named(log: Logbook, change: str) -> None:
    """Every column is in the hash."""
    log.tamper(f"UPDATE audit_log SET {change} WHERE seq = 7")  # noqa: S608
    named(log.prove(), 7, "was changed")


@pytest.mark.parametrize("seq", [7, 8])
def test_a_changed_column_with_a_new_hash_is_named(log: Logbook, seq: int) -> None:
    """An entry with a new hash is not the entry that its checkpoint signs, or that the next entry follows."""
    log.tamper(
        f"UPDATE audit_log SET reason = 'another' WHERE seq = {seq}",  # noqa: S608
        f"UPDATE audit_log AS l SET hash = vault_etl.audit_hash(l) WHERE seq = {seq}",  # noqa: S608
    )
    named(log.prove(), 8)


def test_a_deleted_entry_is_named(log: Logbook) -> None:
    """The proof names the gap."""
    log.tamper("DELETE FROM audit_log WHERE seq = 9")
    named(log.prove(), 9, "is missing")


def test_a_deleted_first_entry_is_named(log: Logbook) -> None:
    """The log begins with the vault's own id, and with entry 1."""
    log.tamper("DELETE FROM audit_log WHERE seq = 1")
    named(log.prove(), 1, "is missing")


def test_an_inserted_entry_is_named(log: Logbook) -> None:
    """Its own hash is right and later entries are renumbered: the next entry does not continue it."""
    log.tamper(
        LET_IN_TWICE,
        "UPDATE audit_log SET seq = seq + 1 WHERE seq >= 6",
        f"INSERT INTO audit_log ({COLUMNS}) SELECT 6{COLUMNS[3:]} FROM audit_log WHERE seq = 5",  # noqa: S608
        "UPDATE audit_log SET prev_hash = (SELECT hash FROM audit_log WHERE seq = 5) WHERE seq = 6",
        "UPDATE audit_log AS l SET hash = vault_etl.audit_hash(l) WHERE seq = 6",
        "UPDATE audit_head SET seq = seq + 1",
    )
    named(log.prove(), 6, "not the one that its checkpoint signs")


def test_a_last_entry_made_void_with_the_head_is_named(log: Logbook) -> None:
    """An entry and a head without hashes cannot disagree; the missing hashes are reported."""
    log.tamper(
        "ALTER TABLE audit_log ALTER hash DROP NOT NULL",
        "ALTER TABLE audit_head ALTER hash DROP NOT NULL",
        "UPDATE audit_log SET logged_at = 'infinity', hash = NULL WHERE seq = 14",
        "UPDATE audit_head SET hash = NULL",
        "DELETE FROM audit_checkpoints WHERE seq = 14",
    )
    named(log.prove(), 14, "was changed")


def test_two_swapped_entries_are_named(log: Logbook) -> None:
    """Each entry has the number of the other."""
    log.tamper(
        LET_IN_TWICE,
        "UPDATE audit_log SET seq = 19 - seq WHERE seq IN (9, 10)",
    )
    named(log.prove(), 9, "does not continue entry 8")


def test_a_copied_entry_is_named(log: Logbook) -> None:
    """The copy is under the same number."""
    log.tamper(LET_IN_TWICE, "INSERT INTO audit_log SELECT * FROM audit_log WHERE seq = 5")
    named(log.prove(), 5, "is there twice")


def test_a_renumbered_entry_is_named(log: Logbook) -> None:
    """The entry goes behind the end: it is missing at its place."""
    log.tamper("UPDATE audit_log SET seq = 70 WHERE seq = 7")
    named(log.prove(), 7, "is missing")


@pytest.mark.parametrize("last", [13, 6])
class TestTheEndCut:
    """A cut end, by one entry or by many."""

    def test_a_cut_end_is_named(self, log: Logbook, last: int) -> None:
        """The head and the checkpoints say where the end was."""
        log.tamper(f"DELETE FROM audit_log WHERE seq > {last}")  # noqa: S608
        named(log.prove(), last + 1, "is missing")

    def test_an_end_cut_with_the_head_is_named(self, log: Logbook, last: int) -> None:
        """The checkpoints say where the end was."""
        log.tamper(f"DELETE FROM audit_log WHERE seq > {last}", REBUILD.format(first=99_999))  # noqa: S608
        log.tamper(
            "UPDATE audit_head SET hash = (SELECT hash FROM audit_log ORDER BY seq DESC LIMIT 1)"
        )
        named(log.prove(), last + 1, "is missing", "a checkpoint signs entry")

    def test_an_end_cut_with_head_and_checkpoints_needs_a_receipt(
        self, log: Logbook, last: int
    ) -> None:
        """No row of the database shows the cut; a receipt that was kept does."""
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


def test_a_truncated_log_is_named(log: Logbook) -> None:
    """The head shows it; with a new head, a receipt does."""
    receipt = log.look()
    log.tamper(
        "TRUNCATE audit_log, audit_disclosed, audit_keys, reveal_policies, key_changes CASCADE"
    )
    named(log.prove(), 1, "is missing")
    log.rebuild(1, forget=True)
    named(log.prove(receipt), 1, "is missing", "receipt.txt signs entry 16")


@pytest.mark.parametrize("first", [5, 7, 13])
class TestTheChainRebuilt:
    """A rebuilt chain, consistent from any point on."""

    def test_a_chain_rebuilt_beside_its_checkpoints_is_named(
        self, log: Logbook, first: int
    ) -> None:
        """The next checkpoint is of another chain."""
        log.tamper(f"UPDATE audit_log SET reason = 'another one' WHERE seq = {first}")  # noqa: S608
        log.rebuild(first, forget=False)
        named(log.prove(), first + 1, "not the one that its checkpoint signs")

    def test_a_chain_rebuilt_without_checkpoints_needs_a_receipt(
        self, log: Logbook, first: int
    ) -> None:
        """A receipt from before an honest access names it; without one, entries without checkpoints are listed."""
        receipt = log.look()
        log.tamper(f"UPDATE audit_log SET reason = 'another one' WHERE seq = {first}")  # noqa: S608
        log.rebuild(first, forget=True)
        log.look()
        alone = log.prove()
        assert alone.problem is None
        assert alone.unsigned == list(range(first + 1, 17, 2))
        named(log.prove(receipt), 16, "not the one that the checkpoint in receipt.txt signs")


def test_a_restored_older_state_needs_a_receipt(log: Logbook) -> None:
    """Log, head and checkpoints of an earlier moment agree: only a receipt that was kept outside shows it."""
    receipt = log.look()
    log.tamper(
        "DELETE FROM audit_log WHERE seq > 14", "DELETE FROM audit_checkpoints WHERE seq > 14"
    )
    log.tamper(
        "UPDATE audit_head SET (seq, hash) = (SELECT seq, hash FROM audit_log WHERE seq = 14)"
    )
    assert log.prove().problem is None
    named(log.prove(receipt), 15, "is missing")


def test_a_log_of_another_vault_is_named(log: Logbook) -> None:
    """The chain begins in another vault, whose checkpoints and receipts prove nothing here."""
    receipt = log.look()
    log.tamper("UPDATE vault SET vault_id = gen_random_uuid()")
    named(log.prove(), 1, "does not begin the log of this vault")
    log.rebuild(1, forget=True)
    named(log.prove(receipt), 16, "of another vault")


def test_an_intent_without_an_outcome_is_reported(log: Logbook) -> None:
    """The values were possibly revealed; the log holds all the same."""
    log.leave_open()
    log.look()
    proof = log.prove()
    assert (proof.problem, proof.unfinished) == (None, [15])


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
