"""Nothing that a role can write stops `verify`, makes it lie, or hides what was tampered with."""

from __future__ import annotations

import contextlib
import random
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, Final

import psycopg2
import pytest
from psycopg2.extensions import connection

from tests.audit.logbook import REBUILD, REGISTER, Logbook
from tests.fakes.checkpoints import FakeHeadSigner
from tests.postgres.conftest import empty
from vault_etl.adapters.postgres_proof import PostgresSnapshot
from vault_etl.core.audit import Action
from vault_etl.core.checkpoint import Checkpoint, Head
from vault_etl.core.registration import Registration
from vault_etl.services.verify_log import Proof, verify_log
from vault_etl.services.verify_notes import KeptNote
from vault_etl.services.verify_problems import MAX_LISTED, Kind

CASES: Final = 2_000
MANY: Final = 60_000
APPENDERS: Final = ("reveal", "rotate", "re-encrypt")
SIGNERS: Final = (*APPENDERS, "erase", "audit")
APPEND: Final = (
    "CALL public.commit_audit_append(%s, %s, %s, %s, %s, %s, %s::text[], %s, %s, %s, %s, %s,"
    " NULL, NULL, NULL, NULL)"
)
STORE: Final = "SELECT public.audit_checkpoint(%s, %s, %s, %s)"
ERASE: Final = "CALL public.commit_erase(%s, %s, %s, %s, %s, %s, %s, NULL, NULL, NULL, NULL, NULL)"
TEXTS: Final = (
    *(None, "", " ", "x", "'", "\\", "x" * 10_000, "é" * 64, "\U0001f600" * 500, "\u202etxt.exe"),
    *("\x01", "\x1b[2J", "\r\n", "a\nb", "\u2028", "\u200b", "\ufeff", "\U000e0041", "{}", "NULL"),
    *("\u0344", "\u1e9b\u0323", "\uffff", "vault-etl/audit/x\n1\n", "f" * 64, "a" * 64),
)
WORDS: Final = (
    *Action,
    *("intent", "outcome", "allowed", "denied", "done", "failed", "role", "quota"),
)
FIELDS: Final = (
    *(None, "{}", "{ip}", "{ip,device_id}", "{device_id,ip}", "{quarantine}", "{ip,ip}", "{NULL}"),
    *(
        "{{ip},{device_id}}",
        "[1:1][2:2]={{ip}}",
        "[2:3]={ip,device_id}",
        "{{{ip}}}",
        '{""}',
        "{user}",
    ),
    "{" + ",".join(["ip"] * 5_000) + "}",
)


@dataclass(frozen=True, slots=True)
class Littered:
    """A log that every role has written all into that it may, and the newest receipt."""

    log: Logbook
    receipt: Checkpoint
    written: dict[str, int]

    def prove(self, *statements: str) -> Proof:
        """Verify it after these statements of the superuser's, which are then undone."""
        with self.log.database.connect() as opened, opened.cursor() as cursor:
            cursor.execute("SET LOCAL session_replication_role = replica")
            for statement in statements:
                cursor.execute(statement)
            kept = [KeptNote("receipt.txt", self.receipt.note)]
            keys = [self.log.signer.signing_key().key]
            return verify_log(PostgresSnapshot(cursor), keys, kept)


class Litterer:
    """Makes calls out of junk. Whatever the database refuses is rolled back."""

    def __init__(self, log: Logbook, seed: int) -> None:
        self._log = log
        self._random = random.Random(seed)
        self._entries = [
            (seq, bytes(hash_))
            for seq, hash_ in log.database.sql("SELECT seq, hash FROM audit_log ORDER BY seq")
        ]
        self._requests = [
            request for (request,) in log.database.sql("SELECT DISTINCT request_id FROM audit_log")
        ]
        signatures = "SELECT key_hash, signature FROM audit_checkpoints"
        self._signatures = [
            (bytes(key_hash), bytes(der)) for key_hash, der in log.database.sql(signatures)
        ]
        ((self._vault_id,),) = log.database.sql("SELECT vault_id FROM vault")
        self._foreign = FakeHeadSigner()

    def write(self, connections: dict[str, connection], cases: int) -> dict[str, int]:
        """Make so many calls; how many of each kind the database took."""
        kinds: list[tuple[str, Sequence[str], Callable[[], Sequence[object]]]] = [
            *[(APPEND, APPENDERS, self._entry)] * 6,
            *[(STORE, SIGNERS, self._checkpoint)] * 3,
            (REGISTER, ("audit",), self._registration),
            (ERASE, ("erase",), self._erasure),
        ]
        taken = dict.fromkeys((APPEND, STORE, REGISTER, ERASE), 0)
        for case in range(cases):
            if case % 50 == 0:  # as if a minute passed
                self._log.database.sql("DELETE FROM audit_rates")
            statement, roles, make = self._random.choice(kinds)
            opened = connections[self._random.choice(roles)]
            opened.autocommit = True
            with opened.cursor() as cursor, contextlib.suppress(psycopg2.Error, ValueError):
                cursor.execute(statement, make())
                taken[statement] += 1
        return taken

    def _entry(self) -> Sequence[object]:
        action = self._random.choice([*Action])
        phase, decision, code = self._random.choice(
            [("intent", "allowed", None), ("intent", "denied", "x"), ("outcome", "done", None)]
        )
        request = self._random.choice([uuid.uuid4(), *self._requests[:1]])
        values: list[object] = [
            *(request, phase, "actor", "host", action, None, "{ip}", None, None),
            *("reason", decision, code),
        ]
        if phase == "intent" and self._random.random() < 0.3:
            self._requests.insert(0, request)
        for _ in range(self._random.choice([0, 0, 1, 2])):
            place = self._random.randrange(len(values))
            values[place] = self._junk(place)
        return values

    def _junk(self, place: int) -> object:
        if place in {0, 5}:
            return self._random.choice([None, uuid.uuid4(), uuid.UUID(int=0), *self._requests])
        if place == 6:
            return self._random.choice(FIELDS)
        return self._random.choice([*TEXTS, *WORDS])

    def _bytes(self, *sizes: int) -> bytes:
        return self._random.randbytes(self._random.choice(sizes))

    def _der(self) -> bytes:
        """As long as it may be, in the form of a signature, or not at all."""
        body = self._bytes(6, 68, 70)
        return self._random.choice([bytes([0x30, len(body)]) + body, self._bytes(0, 8, 72, 9_000)])

    def _checkpoint(self) -> Sequence[object]:
        seq, hash_ = self._random.choice(self._entries)
        key_hash, der = self._random.choice(self._signatures)
        return (
            self._random.choice([seq, seq, seq, 0, None, 2**62]),
            self._random.choice([hash_, hash_, hash_, None, bytes(32), self._bytes(0, 33)]),
            self._random.choice([key_hash, key_hash, self._bytes(4), self._bytes(0, 5), None]),
            self._random.choice([der, self._der(), self._der(), None]),
        )

    def _registration(self) -> Sequence[object]:
        seq, hash_ = self._random.choice(self._entries)
        signer = self._random.choice([self._log.signer, self._foreign])
        key = signer.signing_key().key
        arn = self._random.choice([signer.arn, "arn:aws:kms:x:1:key/2", "arn:", "", "\n", None])
        made = Registration(self._vault_id, Head(seq, hash_), arn or "", key)
        der = signer.sign(made.text.encode()).der
        if self._random.random() < 0.3:
            return (arn, key.spki, seq, der)
        return (
            arn,
            self._random.choice([key.spki, key.spki, key.spki[:60] + self._bytes(31), b"\0", None]),
            self._random.choice([seq, seq, 0, None, 2**62]),
            self._random.choice([der, self._der(), None]),
        )

    def _erasure(self) -> Sequence[object]:
        user = self._random.choice([*TEXTS, "u"])
        texts: list[Any] = [self._random.choice(TEXTS) for _ in range(3)]
        return (
            uuid.uuid4(),
            *texts[:2],
            self._random.choice([None, uuid.uuid4()]),
            user,
            None,
            "r",
        )


def littered(log: Logbook, cases: int, seed: int) -> Littered:
    """Let every role write junk; then somebody looks, honestly."""
    with ExitStack() as stack:
        connections = {role: stack.enter_context(log.database.connect(role)) for role in SIGNERS}
        written = Litterer(log, seed).write(connections, cases)
    return Littered(log, log.look(), written)


@pytest.fixture(scope="module")
def litter(written: Logbook) -> Iterator[Littered]:
    """A copy of the honest log, littered."""
    with empty(written.database.server, written.database.name) as copy:
        yield littered(Logbook(copy, written.signer), CASES, 20260131)


def check_rubbish(found: Littered) -> None:
    """The log holds, and what proves nothing is counted and named with its login."""
    proof = found.prove()
    assert proof.ok, proof.problem
    assert proof.counts[Kind.TAMPERED] == proof.counts[Kind.UNPROVEN] == 0
    assert proof.counts[Kind.RUBBISH] > 10
    whats = {problem.what.split(",")[0] for problem in proof.problems}
    expected = {"has a checkpoint that no key which was given signed"}
    if proof.counts[Kind.RUBBISH] <= MAX_LISTED:  # of more, the first ones alone are listed
        expected |= {"registered a key that did not sign it", "registered a key that was not given"}
    assert expected <= whats
    assert proof.entries == proof.head.seq > 14
    assert all(count > 5 for count in found.written.values()), found.written


CUT: Final = """
DELETE FROM audit_log WHERE seq >= {seq}; DELETE FROM audit_checkpoints WHERE seq >= {seq};
DELETE FROM audit_keys WHERE seq >= {seq};
UPDATE audit_head SET (seq, hash) = (SELECT seq, hash FROM audit_log ORDER BY seq DESC LIMIT 1)
"""
REBUILT: Final = f"UPDATE audit_log SET reason = 'y' WHERE seq = {{seq}}; {REBUILD}"  # noqa: S608
TAMPERED: Final = {
    "a column": ("UPDATE audit_log SET {column} WHERE seq = {seq}", "{seq}"),
    "a deleted entry": ("DELETE FROM audit_log WHERE seq = {seq}", "{seq}"),
    "a rebuilt chain": (REBUILT, None),
    "a cut end": (CUT, "{seq}"),
    "a cut end with its head": ("DELETE FROM audit_log WHERE seq >= {seq}", "{seq}"),
    "a changed policy": ("UPDATE reveal_policies SET document = '{{}}'", "3"),
    "a changed registration": ("UPDATE audit_keys SET note = note || 'x' WHERE seq = 1", "1"),
    "a policy that nobody set": ("INSERT INTO reveal_policies VALUES ({seq}, '{{}}')", "{seq}"),
    "a head of elsewhere": ("UPDATE audit_head SET hash = sha256('x')", "{last}"),
}
COLUMNS: Final = (
    *("logged_at = 'infinity'", "logged_at = '294276-01-01'", "logged_at = '4000-01-01 BC'"),
    *("logged_at = logged_at + interval '1 us'", "request_id = gen_random_uuid()"),
    *("phase = 'denied'", "login = 'y'", "client_address = '192.0.2.1'", "actor = 'y'"),
    *("host = 'y'", "action = 'y'", "record_id = gen_random_uuid()", "fields = '{{{{ip}}}}'"),
    *("fields = '[1:1][2:2]={{{{ip}}}}'", "fields = '{{NULL}}'", "fields = '{{user}}'"),
    *("purpose = 'y'", "ticket = 'y'", "reason = repeat('y', 10000000)", "decision = 'y'"),
    *("error_code = 'y'", "prev_hash = sha256('y')", "hash = sha256('y')", "hash = ''"),
    *(f"{name} = NULL" for name in ("logged_at", "request_id", "phase", "login", "fields", "hash")),
    "logged_at = 'infinity', hash = NULL",
    *("prev_hash = NULL", "reason = NULL", "actor = NULL", "decision = NULL", "action = NULL"),
)
LET_ANYTHING_IN: Final = """
DO $$
DECLARE
    name text;
BEGIN
    FOR name IN SELECT conname FROM pg_constraint
        WHERE conrelid = 'audit_log'::regclass AND contype = 'c' LOOP
        EXECUTE format('ALTER TABLE audit_log DROP CONSTRAINT %I', name);
    END LOOP;
    FOR name IN SELECT attname FROM pg_attribute
        WHERE attrelid = 'audit_log'::regclass AND attnum > 1 AND attnotnull LOOP
        EXECUTE format('ALTER TABLE audit_log ALTER %I DROP NOT NULL', name);
    END LOOP;
END
$$
"""


def check_tampering(found: Littered, seed: int) -> None:
    """Whatever is done on top is named, where it was done, before all rubbish."""
    choose = random.Random(seed)
    before = found.prove()
    last = before.head.seq
    for name, (statement, where) in TAMPERED.items():
        for column in COLUMNS if name == "a column" else ("",):
            seq = choose.randrange(5, last - 1)
            change = statement.format(
                seq=seq, first=seq, column=column.replace("{{", "{").replace("}}", "}")
            )
            proof = found.prove(LET_ANYTHING_IN, change)
            assert not proof.ok, (name, column, seq)
            assert proof.problem is not None
            assert proof.problem.kind == Kind.TAMPERED, (name, column, proof.problem)
            if where is not None:
                expected = int(where.format(seq=seq, last=last))
                assert proof.problem.seq == expected, (name, column, proof.problem)
                assert name != "a column" or proof.counts[Kind.TAMPERED] <= 3
            if name == "a rebuilt chain":
                texts = [str(problem) for problem in proof.problems]
                assert any("the one that the checkpoint in receipt.txt signs" in t for t in texts)


def test_what_roles_can_write_is_rubbish_at_the_worst(litter: Littered) -> None:
    """Thousands of calls by the real logins: entries, checkpoints, registrations, erasures."""
    check_rubbish(litter)


def test_what_is_tampered_with_on_top_is_named(litter: Littered) -> None:
    """Every column with every kind of nonsense, and every cut, alone or against the receipt."""
    check_tampering(litter, 20260131)


@pytest.mark.chaos
@pytest.mark.parametrize("seed", range(1, 4))
def test_far_more_of_both(log: Logbook, seed: int) -> None:
    """The same with tens of thousands of calls."""
    found = littered(log, MANY, seed)
    check_rubbish(found)
    check_tampering(found, seed)
