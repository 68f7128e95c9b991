"""A vault with an exported segment, and the commands that prove it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tests.kit.vault import Result, Vault
from vault_etl.audit.checkpoint import AuditKey, Checkpoint, Head, Signature


@dataclass(frozen=True, slots=True)
class Site:
    """A vault, the audit key's public half, and where its segments are."""

    vault: Vault
    key: Path
    place: Path
    exported: Result
    record_id: str
    end: int
    """The entry that the segment ends with."""
    unfinished: int
    receipt: Path
    """A checkpoint of that entry, which was kept outside."""

    def verify(self, *arguments: str, role: str = "audit") -> Result:
        """Run `audit verify`."""
        return self.vault.run(role, "audit", "verify", "--public-key", str(self.key), *arguments)

    def sign(self, head: Head) -> str:
        """A note of this head, as the audit key signs it."""
        ((vault_id,),) = self.vault.sql("SELECT vault_id FROM vault")
        unsigned = Checkpoint(vault_id, head)
        signed = self.vault.emulator.client("kms").sign(
            KeyId="alias/vault-etl-audit",
            Message=unsigned.text.encode(),
            MessageType="RAW",
            SigningAlgorithm="ECDSA_SHA_256",
        )
        line = Signature(unsigned.origin, AuditKey(self.key.read_bytes()).hash, signed["Signature"])
        return Checkpoint(vault_id, head, (line,)).note

    def trim(self, *arguments: str) -> Result:
        """Run `audit trim` as the owner's login."""
        asked = ("audit", "trim", "--segments", str(self.place), "--public-key", str(self.key))
        return self.vault.run("admin", *asked, *arguments)
