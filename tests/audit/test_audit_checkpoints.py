"""Checkpoints, keys and disclosures that the database enforces against a client of one's own."""

from __future__ import annotations

import uuid

import psycopg2
import pytest

from tests.audit.logbook import REGISTER, Logbook, registered
from tests.kit.declared import IP
from tests.kit.entries import RELEASE, append_committed, release, stored_record
from tests.kit.fakes.checkpoints import FakeHeadSigner
from tests.kit.scratch import Scratch
from vault_etl.audit.checkpoint import Checkpoint, Head
from vault_etl.audit.postgres_checkpoints import PostgresCheckpoints

Denied = psycopg2.errors.InsufficientPrivilege
SHORTEST = b"\x30\x06\x02\x01\x01\x02\x01\x01"
"""A signature by its form."""
STORE = "SELECT vault_etl.audit_checkpoint(%s, %s, %s, %s)"


@pytest.fixture
def logbook(scratch: Scratch) -> Logbook:
    """An empty log whose key is registered."""
    made = Logbook(scratch, FakeHeadSigner())
    made.register()
    return made


def test_a_checkpoint_of_this_log_is_stored_as_often_as_it_is_signed(logbook: Logbook) -> None:
    """Two signatures of one head are two rows: no client can take a seq's place with garbage."""
    checkpoint = logbook.look()
    parts = row(checkpoint)
    for role in ("reveal", "rotate", "re-encrypt", "erase", "audit"):
        logbook.database.sql(STORE, *parts, role=role)
    rows = logbook.database.sql(
        "SELECT seq, hash, key_hash, signature, stored_by FROM audit_checkpoints"
        " ORDER BY checkpoint_id"
    )
    assert {(seq, *map(bytes, columns)) for seq, *columns, _ in rows} == {parts}
    assert [login for *_, login in rows] == [
        "test_reveal",
        *(f"test_{name}" for name in ("reveal", "rotate", "re_encrypt", "erase", "audit")),
    ]


def row(checkpoint: Checkpoint) -> tuple[int, bytes, bytes, bytes]:
    """Return the columns that are stored of a checkpoint."""
    (line,) = checkpoint.signatures
    return (checkpoint.head.seq, checkpoint.head.hash, line.key_hash, line.signature)


def test_an_empty_log_has_a_checkpoint_too(scratch: Scratch) -> None:
    """The head of an empty log is entry 0."""
    ((seq, hash_),) = scratch.sql("SELECT seq, hash FROM audit_head")
    scratch.sql(STORE, seq, bytes(hash_), b"four", SHORTEST, role="audit")
    assert scratch.sql("SELECT seq, hash FROM audit_checkpoints") == [(0, hash_)]


@pytest.mark.parametrize(
    "forged",
    [
        *("unknown seq", "other hash", "another entry's seq", "NULL hash", "NULL", "entry 0"),
        *("no key hash", "a long key hash", "NULL key hash"),
        *("no signature", "NULL signature", "junk behind", "junk before", "a megabyte", "no DER"),
    ],
)
def test_a_forged_checkpoint_is_refused(logbook: Logbook, forged: str) -> None:
    """Seq and hash must be those of an existing entry, and the signature must have the form of one."""
    seq, hash_, key_hash, signature = row(logbook.look())
    parts: tuple[object, ...] = {
        "unknown seq": (99, hash_, key_hash, signature),
        "other hash": (seq, bytes(32), key_hash, signature),
        "another entry's seq": (3, hash_, key_hash, signature),
        "NULL hash": (99, None, key_hash, signature),
        "NULL": (None, None, None, None),
        "entry 0": (0, bytes(32), key_hash, signature),
        "no key hash": (seq, hash_, b"", signature),
        "a long key hash": (seq, hash_, bytes(5), signature),
        "NULL key hash": (seq, hash_, None, signature),
        "no signature": (seq, hash_, key_hash, b""),
        "NULL signature": (seq, hash_, key_hash, None),
        "junk behind": (seq, hash_, key_hash, signature + b"\0"),
        "junk before": (seq, hash_, key_hash, b"\0" + signature),
        "a megabyte": (seq, hash_, key_hash, b"\x30\x46" + bytes(10**6)),
        "no DER": (seq, hash_, key_hash, bytes(71)),
    }[forged]
    before = logbook.database.value("SELECT count(*) FROM audit_checkpoints")
    with pytest.raises((Denied, psycopg2.IntegrityError)):
        logbook.database.sql(STORE, *parts, role="reveal")
    assert logbook.database.value("SELECT count(*) FROM audit_checkpoints") == before


@pytest.mark.parametrize(
    "forged",
    [
        *("one zero byte", "a longer key", "another curve", "a compressed point", "NULL key"),
        *(
            "no ARN",
            "two lines",
            "NULL ARN",
            "unknown seq",
            "NULL seq",
            "no signature",
            "a long one",
        ),
    ],
)
def test_a_forged_registration_is_refused(logbook: Logbook, forged: str) -> None:
    """Of the role audit too: the key must be on P-256, with an ARN, over an existing entry."""
    logbook.look()
    arn, spki, signature = "arn:aws:kms:x:1:key/1", logbook.signer.signing_key().key.spki, SHORTEST
    parts: tuple[object, ...] = {
        "one zero byte": (arn, b"\0", 1, signature),
        "a longer key": (arn, spki + b"\0", 1, signature),
        "another curve": (arn, spki[:22] + b"\0" + spki[23:], 1, signature),
        "a compressed point": (arn, spki[:26] + b"\2" + spki[27:], 1, signature),
        "NULL key": (arn, None, 1, signature),
        "no ARN": ("alias/vault-etl-audit", spki, 1, signature),
        "two lines": (f"{arn}\n{arn}", spki, 1, signature),
        "NULL ARN": (None, spki, 1, signature),
        "unknown seq": (arn, spki, 99, signature),
        "NULL seq": (arn, spki, None, signature),
        "no signature": (arn, spki, 1, b""),
        "a long one": (arn, spki, 1, bytes(10**6)),
    }[forged]
    with pytest.raises(Denied, match="does not register a key"):
        logbook.database.sql(REGISTER, *parts, role="audit")
    assert logbook.database.value("SELECT count(*) FROM audit_keys") == 1
    logbook.database.sql(REGISTER, arn, spki, 1, signature, role="audit")


def test_no_flood_of_registrations_hides_a_key(logbook: Logbook) -> None:
    """The auditor's own login registers keys that prove themselves, under the honest ARN: accesses go on."""
    ((vault_id, seq, hash_),) = logbook.database.sql(
        "SELECT vault_id, seq, hash FROM vault_etl.vault, vault_etl.audit_head"
    )
    flood = [
        registered(FakeHeadSigner().registration(vault_id, Head(seq, bytes(hash_))))
        for _ in range(19)
    ]
    for made in flood:
        logbook.database.sql(REGISTER, *made, role="audit")
    with pytest.raises(psycopg2.errors.ConfigurationLimitExceeded):
        logbook.database.sql(REGISTER, *flood[0], role="audit")
    with logbook.database.database("reveal") as opened:
        assert len(PostgresCheckpoints(opened).registered_keys()) == 20
    checkpoint = logbook.look()
    assert logbook.signer.signing_key().key.signed(checkpoint)
    assert logbook.prove(checkpoint).ok


def test_twenty_keys_a_day_are_for_each_login(logbook: Logbook) -> None:
    """Another login is not held up, and the same login may go on the next day."""
    made = registered(logbook.signer.registration(uuid.uuid4(), Head(1, bytes(32))))
    for _ in range(19):
        logbook.database.sql(REGISTER, *made, role="audit")
    logbook.database.sql(REGISTER, *made)
    logbook.tamper("UPDATE audit_log SET logged_at = logged_at - interval '1 day' WHERE seq = 1")
    logbook.database.sql(REGISTER, *made, role="audit")


@pytest.mark.parametrize("role", ["ingest", "analyst"])
@pytest.mark.parametrize(
    "call", ["vault_etl.audit_signer()", "vault_etl.audit_checkpoint(0, 'x', 'x', 'x')"]
)
def test_a_role_that_signs_nothing_stores_no_checkpoint(
    logbook: Logbook, role: str, call: str
) -> None:
    """Only the five roles that sign have EXECUTE."""
    with pytest.raises(Denied, match="permission denied for function"):
        logbook.database.sql(f"SELECT * FROM {call}", role=role)  # noqa: S608


@pytest.mark.parametrize("table", ["audit_checkpoints", "audit_keys", "reveal_policies"])
@pytest.mark.parametrize("statement", ["DELETE FROM {}", "UPDATE {} SET seq = 1", "TRUNCATE {}"])
def test_the_owner_takes_no_checkpoint_back(logbook: Logbook, table: str, statement: str) -> None:
    """Checkpoints, keys and policies are append only, like the log."""
    logbook.set_policy("{}")
    logbook.look()
    with pytest.raises(Denied, match="append only"):
        logbook.database.sql(f"SET ROLE vault_etl_owner; {statement.format(f'vault_etl.{table}')}")


@pytest.mark.parametrize("action", ["reveal", "reveal masked"])
def test_a_masked_intent_discloses_as_another_does(scratch: Scratch, action: str) -> None:
    """The client makes the mask; the values come once, and only those that the intent names."""
    scratch.add_token_keys()
    record = stored_record(scratch)
    seq = append_committed(scratch, record_id=record.record_id, fields=["ip"], action=action)
    with scratch.connect("reveal") as opened:
        assert release(opened, seq) == {"ip": record.ciphertexts[IP]}
        with pytest.raises(Denied, match="was used before"):
            release(opened, seq)


def test_find_discloses_no_value(scratch: Scratch) -> None:
    """A find needs no ciphertext, so none is disclosed."""
    scratch.add_token_keys()
    record = stored_record(scratch)
    seq = append_committed(scratch, record_id=record.record_id, fields=["ip"], action="find")
    with pytest.raises(Denied):
        scratch.sql(RELEASE, seq, role="reveal")


def test_the_key_and_its_entries_are_one_transaction(logbook: Logbook) -> None:
    """An intent and an outcome have the SHA-256 of the note, and the login that registered the key."""
    rows = logbook.database.sql(
        "SELECT l.seq, l.phase, l.action, l.login, l.ticket = encode(sha256(convert_to(k.note, 'UTF8')), 'hex')"
        " FROM audit_log AS l, audit_keys AS k ORDER BY l.seq"
    )
    assert rows == [
        (1, "intent", "audit key", "test_audit", True),
        (2, "outcome", "audit key", "test_audit", True),
    ]
