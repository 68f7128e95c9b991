"""A vault whose log has entries of a hundred days ago, its segment in a folder, and the vault after a trim."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.audit.logbook import DROP_TRIGGERS, REBUILD
from tests.audit.segments.site import Site
from tests.kit.events import event
from tests.kit.vault import Vault
from tests.kit.vaults import copied, filled_vault

ADDRESSES = ("198.51.100.77", "198.51.100.78", "198.51.100.79")
AGE = (
    "BEGIN; {off} UPDATE audit_log SET logged_at = logged_at - interval '100 days'; {again};"
    "DELETE FROM audit_checkpoints; COMMIT"
)
UNFINISHED = (
    "CALL vault_etl.commit_audit_append(gen_random_uuid(), 'intent', 'a', 'h', 'reveal', gen_random_uuid(),"
    " '{ip}'::text[], NULL, NULL, 'r', 'allowed', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL)"
)


@pytest.fixture(scope="package")
def old(keyed: Vault, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A segment with keys, a policy, finds of several values and an unfinished intent; a later access is not in it."""
    home = tmp_path_factory.mktemp("old")
    with filled_vault(keyed, home, [event(ip=address) for address in ADDRESSES]) as vault:
        ((record_id,),) = vault.sql("SELECT min(record_id::text) FROM user_logins")
        vault.ok("reveal", "reveal", record_id, "--reason", "the first look")
        values = "\n".join(ADDRESSES)
        vault.ok("reveal", "find", "--field", "ip", "--reason", "all", stdin=values)
        vault.sql(UNFINISHED, role="reveal")
        ((unfinished,),) = vault.sql("SELECT seq FROM audit_head")
        vault.sql(AGE.format(off=DROP_TRIGGERS, again=REBUILD.format(first=1)))
        vault.sql(DROP_TRIGGERS.replace("DISABLE", "ENABLE"))
        receipt = home / "receipt.json"
        receipt.write_text(vault.ok("audit", "audit", "checkpoint").stdout, encoding="utf-8")
        ((end,),) = vault.sql("SELECT seq FROM audit_head")
        vault.ok("reveal", "reveal", record_id, "--reason", "a later look")
        key = home / "audit.der"
        found = vault.emulator.client("kms").get_public_key(KeyId="alias/vault-etl-audit")
        key.write_bytes(found["PublicKey"])
        place = home / "segments"
        exported = vault.ok(
            "audit", "audit", "export", "--to", str(place), "--public-key", str(key)
        )
        yield Site(vault, key, place, exported, record_id, end, unfinished, receipt)


@pytest.fixture(scope="package")
def trimmed(old: Site, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """The same vault, trimmed."""
    with copied(old.vault, tmp_path_factory.mktemp("trimmed")) as vault:
        site = dataclasses.replace(old, vault=vault)
        done = site.trim("--reason", "90 days", "--yes")
        assert done.code == 0, done.stderr
        yield site


@pytest.fixture
def untrimmed(old: Site, tmp_path: Path) -> Iterator[Site]:
    """A copy of the vault before the trim, to be changed."""
    with copied(old.vault, tmp_path) as vault:
        yield dataclasses.replace(old, vault=vault)
