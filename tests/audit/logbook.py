"""A log with honest entries and checkpoints, and an attacker with the whole machine who changes it."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass

from tests.kit.fakes.checkpoints import FakeHeadSigner
from tests.kit.fakes.vault import reveal_request
from tests.kit.scratch import Scratch
from vault_etl.audit.checkpoint import Checkpoint, Head, Registration
from vault_etl.audit.log import audited
from vault_etl.audit.postgres import PostgresAuditLog
from vault_etl.audit.postgres_checkpoints import PostgresCheckpoints
from vault_etl.audit.postgres_proof import PostgresProver
from vault_etl.audit.proof import Proof
from vault_etl.audit.signing import SignedLog
from vault_etl.audit.verify_log import verify_log
from vault_etl.audit.verify_notes import KeptNote

REGISTER = (
    "CALL vault_etl.commit_audit_register_key(gen_random_uuid(), 'a', 'h', 'registered', %s, %s, %s, %s,"
    " NULL, NULL)"
)
DROP_TRIGGERS = "".join(
    f"ALTER TABLE vault_etl.{table} DISABLE TRIGGER ALL;"
    for table in (
        *("audit_log", "audit_amounts", "audit_checkpoints", "audit_keys", "reveal_policies"),
        *("key_changes", "audit_segments", "schema_versions"),
    )
)
LET_IN_TWICE = (
    "ALTER TABLE vault_etl.audit_log"
    " DROP CONSTRAINT one_entry_a_phase, DROP CONSTRAINT audit_log_pkey CASCADE;"
)

REBUILD = """
DO $$
DECLARE
    entry vault_etl.audit_log;
    previous bytea := coalesce(
        (SELECT hash FROM vault_etl.audit_log WHERE seq = {first} - 1),
        (SELECT sha256('vault-etl/1/audit-genesis'::bytea || uuid_send(vault_id)) FROM vault_etl.vault)
    );
BEGIN
    FOR entry IN SELECT * FROM vault_etl.audit_log WHERE seq >= {first} ORDER BY seq LOOP
        entry.prev_hash := previous;
        entry.hash := vault_etl.audit_hash(entry);
        UPDATE vault_etl.audit_log SET prev_hash = entry.prev_hash, hash = entry.hash WHERE seq = entry.seq;
        previous := entry.hash;
    END LOOP;
    UPDATE vault_etl.audit_head SET hash = previous, seq = (SELECT coalesce(max(seq), 0) FROM vault_etl.audit_log);
END
$$;
"""
"""Makes the chain agree with itself again, from one entry on, and the head with it."""


def registered(made: Registration) -> tuple[str, bytes, int, bytes]:
    """The values of `REGISTER`."""
    return made.kms_key_arn, made.key.spki, made.head.seq, made.signature


@dataclass(frozen=True, slots=True)
class Logbook:
    """One database, and the signer of its log."""

    database: Scratch
    signer: FakeHeadSigner

    def register(self) -> None:
        """Register the signer's key: entries 1 and 2."""
        ((vault_id, seq, hash_),) = self.database.sql(
            "SELECT vault_id, seq, hash FROM vault_etl.vault, vault_etl.audit_head"
        )
        made = self.signer.registration(vault_id, Head(seq, bytes(hash_)))
        self.database.sql(REGISTER, *registered(made), role="audit")

    def set_policy(self, document: str) -> None:
        """Set the policy: two entries."""
        self.database.sql(
            "SELECT vault_etl.reveal_policy_set(gen_random_uuid(), 'a', 'h', 'set', %s)", document
        )

    def look(self) -> Checkpoint:
        """Make an honest access: two entries, and the receipt that the person keeps."""
        with self.database.database("reveal") as opened:
            log = SignedLog(
                PostgresAuditLog(opened), PostgresCheckpoints(opened), self.signer, lambda _: None
            )
            with audited(log, reveal_request(uuid.uuid4())) as receipt:
                pass
        assert receipt.checkpoint is not None
        return Checkpoint.parse(receipt.checkpoint)

    def leave_open(self) -> None:
        """Append an intent without an outcome: one entry."""
        with self.database.database("reveal") as opened:
            PostgresAuditLog(opened).intend(reveal_request(uuid.uuid4()))

    def prove(self, *kept: Checkpoint, signers: Sequence[FakeHeadSigner] = ()) -> Proof:
        """Verify the log, as the role audit."""
        keys = [signer.signing_key().key for signer in signers or [self.signer]]
        notes = [KeptNote("receipt.txt", checkpoint.note) for checkpoint in kept]
        with (
            self.database.database("audit") as opened,
            PostgresProver(opened).snapshot() as snapshot,
        ):
            return verify_log(snapshot, keys, notes)

    def tamper(self, *statements: str) -> None:
        """Change the log as the superuser, with the triggers off."""
        self.database.sql(f"BEGIN; {DROP_TRIGGERS} {'; '.join(statements)}; COMMIT")

    def rebuild(self, first: int, *, forget: bool) -> None:
        """Make the chain consistent from an entry on, and forget the checkpoints that would tell."""
        dropped = (
            f"DELETE FROM vault_etl.audit_checkpoints WHERE seq >= {first if forget else 10**9}"  # noqa: S608
        )
        self.tamper(REBUILD.format(first=first), dropped)


def named(proof: Proof, seq: int, *words: str) -> None:
    """Assert that the log does not hold, that the first bad entry is `seq`, and that the words say why."""
    assert proof.problem is not None
    assert proof.problem.seq == seq, proof.problem
    for word in words:
        assert word in str(proof.problem)
