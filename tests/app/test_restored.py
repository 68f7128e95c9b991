"""A vault that went back to a backup by the commands of docs/operations/backups.md. It works, and its log is signed."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from tests.kit.databases import empty
from tests.kit.own_cluster import NEWEST, programs, shell
from tests.kit.pages import documented
from tests.kit.vault import Vault, sample_events


def test_a_vault_goes_on_from_a_backup(quick: Vault) -> None:
    """The restored records open, events come in, and checkpoints tell the log before the backup from the later one."""
    quick.send(sample_events()[:20])
    quick.ok("ingest", "ingest")
    before, after = (quick.home / name for name in ("before.txt", "after.txt"))
    record_id = _checkpoint(quick, before)
    dump, restore, afterwards, *_ = documented("operations/backups.md", "sh")
    _run(quick, dump)
    _checkpoint(quick, after)

    with empty(quick.server, "template0") as database:
        restored = dataclasses.replace(quick, database=database.name)
        _run(restored, restore)
        for line in afterwards.splitlines():
            restored.ok("audit", *line.split()[1:], *(() if "doctor" in line else ("--quiet",)))
        restored.ok("audit", "audit", "verify", "--checkpoint", str(before))
        newer = restored.run("audit", "audit", "verify", "--checkpoint", str(after))
        assert newer.code == 65
        assert "after.txt signs entry" in newer.stderr
        (shown,) = restored.ok("reveal", "reveal", record_id, "--reason", "restored").lines
        assert shown["record_id"] == record_id
        restored.send(sample_events()[20:30])
        assert restored.ok("ingest", "ingest").json["stored"] == 10
        continued = restored.home / "continued.txt"
        _checkpoint(restored, continued)
        for kept in (before, continued):
            restored.ok("audit", "audit", "verify", "--checkpoint", str(kept))


def _checkpoint(vault: Vault, path: Path) -> str:
    """Reveal a record, then keep the signed note; return the record's id."""
    ((record_id,),) = vault.sql("SELECT record_id::text FROM user_logins ORDER BY 1 LIMIT 1")
    vault.ok("reveal", "reveal", record_id, "--reason", "an access")
    path.write_text(vault.ok("audit", "audit", "checkpoint", "--quiet", "--output", "table").stdout)
    return str(record_id)


def _run(vault: Vault, block: str) -> None:
    done = shell(programs(NEWEST).bin, vault.database_url("admin"), block, vault.home)
    assert done.returncode == 0, done.stderr
