"""A vault and its replica, and the log line that names the server of an answer."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace

from tests.kit.vault import Result, Vault
from vault_etl.local.postgres import RunningPostgres

SHARED = "198.51.100.1"


@dataclass(frozen=True, slots=True)
class Replicated:
    """A vault with three records and a rejection, and its replica."""

    vault: Vault
    standby: RunningPostgres

    def url(self, role: str) -> str:
        """The URL of the replica for a role."""
        return replace(self.vault, server=self.standby).database_url(role)

    def run(self, role: str, *args: str, **extra: str | None) -> Result:
        """Run a command with the setting of the replica."""
        return self.vault.run(role, *args, extra={"VAULT_ETL_READ_URL": self.url(role), **extra})

    def add_entry(self) -> int:
        """Search on the primary, which adds entries and a checkpoint; return the number of the last entry."""
        self.vault.ok("reveal", "find", "--field", "ip", "--reason", "r", stdin=SHARED)
        ((seq,),) = self.vault.sql("SELECT seq FROM audit_head")
        assert isinstance(seq, int)
        return seq


def told(result: Result) -> dict[str, object]:
    """The log line on standard error that names the server of the answer."""
    lines = [json.loads(line) for line in result.stderr.splitlines() if line.startswith("{")]
    (found,) = [line for line in lines if line["event"].startswith("read from")]
    assert isinstance(found, dict)
    return found
