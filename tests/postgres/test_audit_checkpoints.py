"""What the database itself holds of checkpoints, keys and the release, against a client of one's own."""

from __future__ import annotations

import psycopg2
import pytest

from tests.audit.logbook import Logbook
from tests.fakes.checkpoints import FakeHeadSigner
from tests.postgres.entries import RELEASE, append_committed, release, stored_record
from tests.postgres.scratch import Scratch
from vault_etl.core.checkpoint import Checkpoint, Head
from vault_etl.core.fields import Field

Denied = psycopg2.errors.InsufficientPrivilege
STORE = "SELECT public.audit_checkpoint(%s, %s, %s)"


@pytest.fixture
def logbook(scratch: Scratch) -> Logbook:
    """An empty log whose key is registered."""
    made = Logbook(scratch, FakeHeadSigner())
    made.register()
    return made


def test_a_checkpoint_of_this_log_is_stored_as_often_as_it_is_signed(logbook: Logbook) -> None:
    """Two signatures of one head are two rows: nobody can take a seq's place with garbage."""
    checkpoint = logbook.look()
    parts = (checkpoint.head.seq, checkpoint.head.hash, checkpoint.note)
    for role in ("reveal", "rotate", "re-encrypt", "erase", "audit"):
        logbook.database.sql(STORE, *parts, role=role)
    rows = logbook.database.sql(
        "SELECT seq, hash, note, stored_by FROM audit_checkpoints ORDER BY checkpoint_id"
    )
    assert {(seq, bytes(hash_), note) for seq, hash_, note, _ in rows} == {parts}
    assert [login for *_, login in rows] == [
        "test_reveal",
        *(f"test_{name}" for name in ("reveal", "rotate", "re_encrypt", "erase", "audit")),
    ]


def test_an_empty_log_has_a_checkpoint_too(scratch: Scratch) -> None:
    """Its head is entry 0."""
    ((vault_id, seq, hash_),) = scratch.sql("SELECT vault_id, seq, hash FROM vault, audit_head")
    assert seq == 0
    note = f"{Checkpoint(vault_id, Head(seq, bytes(hash_))).text}\n\u2014 x eA==\n"
    scratch.sql(STORE, 0, bytes(hash_), note, role="audit")
    assert scratch.value("SELECT note FROM audit_checkpoints") == note


@pytest.mark.parametrize(
    "forged",
    [
        "unknown seq",
        "other hash",
        "other seq in the note",
        "no note",
        "NULL hash",
        "NULL",
        "made up",
    ],
)
def test_a_checkpoint_of_no_entry_is_refused(logbook: Logbook, forged: str) -> None:
    """Seq, hash and the note's own text must be those of an entry that is there."""
    checkpoint = logbook.look()
    seq, hash_, note = checkpoint.head.seq, checkpoint.head.hash, checkpoint.note
    made_up = Checkpoint(checkpoint.vault_id, Head(99, bytes(32)), checkpoint.signatures)
    parts: tuple[object, ...] = {
        "unknown seq": (99, hash_, note),
        "other hash": (seq, bytes(32), note),
        "other seq in the note": (seq, hash_, note.replace(f"\n{seq}\n", "\n3\n")),
        "no note": (seq, hash_, "signed, honestly"),
        "NULL hash": (99, None, note),
        "NULL": (None, None, None),
        "made up": (99, bytes(32), made_up.note),
    }[forged]
    before = logbook.database.value("SELECT count(*) FROM audit_checkpoints")
    with pytest.raises((Denied, psycopg2.IntegrityError)):
        logbook.database.sql(STORE, *parts, role="reveal")
    assert logbook.database.value("SELECT count(*) FROM audit_checkpoints") == before


@pytest.mark.parametrize("role", ["ingest", "analyst"])
@pytest.mark.parametrize("call", ["public.audit_signer()", "public.audit_checkpoint(0, 'x', 'x')"])
def test_who_signs_nothing_stores_nothing(logbook: Logbook, role: str, call: str) -> None:
    """EXECUTE is of the five roles that sign."""
    with pytest.raises(Denied, match="permission denied for function"):
        logbook.database.sql(f"SELECT * FROM {call}", role=role)  # noqa: S608


@pytest.mark.parametrize("table", ["audit_checkpoints", "audit_keys", "reveal_policies"])
@pytest.mark.parametrize("statement", ["DELETE FROM {}", "UPDATE {} SET seq = 1", "TRUNCATE {}"])
def test_not_even_the_owner_takes_one_back(logbook: Logbook, table: str, statement: str) -> None:
    """Checkpoints, keys and policies are append only, like the log."""
    logbook.set_policy("{}")
    logbook.look()
    with pytest.raises(Denied, match="append only"):
        logbook.database.sql(f"SET ROLE vault_etl_owner; {statement.format(f'public.{table}')}")


@pytest.mark.parametrize("action", ["reveal", "reveal masked"])
def test_a_masked_intent_releases_as_another_does(scratch: Scratch, action: str) -> None:
    """The masking is the client's; once, and only what the intent names."""
    scratch.add_token_keys()
    record = stored_record(scratch)
    seq = append_committed(scratch, record_id=record.record_id, fields=["ip"], action=action)
    with scratch.connect("reveal") as opened:
        assert release(opened, seq) == {"ip": record.ciphertexts[Field.IP]}
        with pytest.raises(Denied, match="has had its release"):
            release(opened, seq)


def test_find_releases_nothing(scratch: Scratch) -> None:
    """It needs no ciphertext."""
    scratch.add_token_keys()
    record = stored_record(scratch)
    seq = append_committed(scratch, record_id=record.record_id, fields=["ip"], action="find")
    with pytest.raises(Denied):
        scratch.sql(RELEASE, seq, role="reveal")


def test_the_key_and_its_entries_are_one_transaction(logbook: Logbook) -> None:
    """An intent, an outcome, and the SHA-256 of the key in both; by the login that did it."""
    rows = logbook.database.sql(
        "SELECT l.seq, l.phase, l.action, l.login, l.ticket = encode(sha256(k.public_key), 'hex')"
        " FROM audit_log AS l, audit_keys AS k ORDER BY l.seq"
    )
    assert rows == [
        (1, "intent", "audit key", "test_audit", True),
        (2, "outcome", "audit key", "test_audit", True),
    ]
