"""A log into which every role has written all that it may: thousands of calls, made of junk."""

from __future__ import annotations

import contextlib
import random
import uuid
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, Final

import psycopg2
from psycopg2.extensions import connection

from tests.audit.logbook import REGISTER, Logbook
from tests.kit.declarations import IN_FORCE
from tests.kit.fakes.checkpoints import FakeHeadSigner
from vault_etl.audit.checkpoint import Checkpoint, Head, Registration
from vault_etl.audit.entries import Action
from vault_etl.audit.postgres_proof import PostgresSnapshot
from vault_etl.audit.proof import Proof
from vault_etl.audit.verify_log import verify_log
from vault_etl.audit.verify_notes import KeptNote

APPENDERS: Final = ("reveal", "rotate", "re-encrypt")
SIGNERS: Final = (*APPENDERS, "erase", "audit")
APPEND: Final = (
    "CALL vault_etl.commit_audit_append(%s, %s, %s, %s, %s, %s, %s::text[], %s, %s, %s, %s, %s,"
    " %s, NULL, NULL, NULL, NULL, NULL, NULL)"
)
STORE: Final = "SELECT vault_etl.audit_checkpoint(%s, %s, %s, %s)"
ERASE: Final = (
    "CALL vault_etl.commit_erase(%s, %s, %s, %s, %s, %s, %s,"
    f" {IN_FORCE}, NULL, NULL, NULL, NULL, NULL, NULL)"
)
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
    """A littered log, and the newest receipt."""

    log: Logbook
    receipt: Checkpoint
    written: dict[str, int]

    def prove(self, *statements: str) -> Proof:
        """Verify the log after these statements of the superuser, which are then undone."""
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
        """Make this number of calls; return how many of each kind the database took."""
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
        return [*values, self._random.choice([None, None, None, 1, 7, 65_536, 0, -1])]

    def _junk(self, place: int) -> object:
        if place in {0, 5}:
            return self._random.choice([None, uuid.uuid4(), uuid.UUID(int=0), *self._requests])
        if place == 6:
            return self._random.choice(FIELDS)
        return self._random.choice([*TEXTS, *WORDS])

    def _bytes(self, *sizes: int) -> bytes:
        return self._random.randbytes(self._random.choice(sizes))

    def _der(self) -> bytes:
        """Bytes of any permitted length, in the form of a signature or not."""
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
    """Let every role write junk; then make an honest access."""
    with ExitStack() as stack:
        connections = {role: stack.enter_context(log.database.connect(role)) for role in SIGNERS}
        written = Litterer(log, seed).write(connections, cases)
    return Littered(log, log.look(), written)
