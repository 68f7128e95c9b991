"""`partitions archive`, `drop` and `restore`: rows go to files and come back, and nothing counts that was not read."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.events import event
from tests.cli.test_partitions import WHY, entries, months, table, this_month
from tests.filled_vault import filled_vault
from tests.vault import Result, Vault

FIELDS = "record_id, user_id, masked_ip, masked_device_id, ip_ciphertext, device_id_ciphertext"


@pytest.fixture(scope="module")
def vault(keyed: Vault, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Vault]:
    """One vault for all, with records of this month; each test leaves it attached, without an archive."""
    home = tmp_path_factory.mktemp("archives")
    with filled_vault(keyed, home, [event(), event(), event()]) as filled:
        filled.register_audit_key()
        yield filled


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Where archives go."""
    made = tmp_path / "archives"
    made.mkdir()
    return made


def partitions(vault: Vault, *args: str) -> Result:
    """Run a command of `partitions` that has to do its work."""
    return vault.ok("admin", "partitions", *args)


def rows(vault: Vault, name: str) -> list[tuple[object, ...]]:
    """What the rows hold."""
    return vault.sql(f"SELECT {FIELDS} FROM {name} ORDER BY record_id")  # noqa: S608


@pytest.fixture
def archived(vault: Vault, place: Path) -> Iterator[str]:
    """This month, archived and dropped; attached again afterwards."""
    month = this_month(vault)
    partitions(vault, "detach", month, *WHY)
    partitions(vault, "archive", month, "--to", str(place), *WHY[:2])
    partitions(vault, "drop", month, *WHY)
    yield month
    if months(vault)[table(month)] == "archived":
        partitions(vault, "restore", month, *WHY)
    partitions(vault, "attach", month, *WHY)


def test_a_month_goes_to_an_archive_and_comes_back(vault: Vault, place: Path) -> None:
    """The same rows come back, keys are needed meanwhile, and every step is on the record."""
    month, before = this_month(vault), entries(vault)
    name = table(month)
    stored = rows(vault, "user_logins")
    partitions(vault, "detach", month, *WHY)
    to = ("--to", str(place))
    assert (
        partitions(vault, "archive", month, *to, "--dry-run")
        .json["to"]
        .startswith(f"{place}/{name}-")
    )
    assert list(place.iterdir()) == []
    done = partitions(vault, "archive", month, *to, *WHY[:2]).json
    (folder,) = place.iterdir()
    assert (done["state"], done["archive"], done["changed_since"]) == (
        "detached",
        str(folder),
        False,
    )
    assert sorted(each.name for each in folder.iterdir()) == [
        "manifest.json",
        "manifest.sig",
        "part-00001.parquet",
    ]
    assert json.loads((folder / "manifest.json").read_text())["rows"] == len(stored)

    assert partitions(vault, "drop", month, *WHY).json["state"] == "archived"
    assert vault.sql("SELECT to_regclass(%s)", f"vault_etl_detached.{name}") == [(None,)]
    used = [row for row in vault.ok("audit", "keys", "list", "--each").lines if row["rows"]]
    assert {row["field"] for row in used} == {"ip", "device_id"}, "an archive needs its keys"
    (key_id, *_) = (row["key_id"] for row in used if row["purpose"] == "data")
    vault.ok("rotate", "keys", "rotate", "--lazy", "--yes")
    refused = vault.run("rotate", "keys", "destroy", str(key_id), "--yes")
    assert refused.code != 0
    assert "need" in refused.stderr
    vault.ok("rotate", "keys", "destroy", "--unused", "--yes")

    shown = partitions(vault, "restore", month, "--dry-run").json
    assert (shown["rows"], shown["values_under_lost_keys"]) == (3, 0)
    assert months(vault)[name] == "archived"
    assert partitions(vault, "restore", month, *WHY).json["state"] == "detached"
    assert rows(vault, f"vault_etl_detached.{name}") == stored
    assert partitions(vault, "attach", month, *WHY).json["state"] == "attached"
    assert rows(vault, "user_logins") == stored
    vault.ok("admin", "migrate", "--check")
    vault.ok("audit", "doctor", "--deep")
    vault.ok("audit", "audit", "verify")
    said = entries(vault)[len(before) :]
    assert [(action.split()[1], phase, decision) for action, phase, decision, _ in said] == [
        (action, phase, decision)
        for action in ("detach", "archive", "drop", "restore", "attach")
        for phase, decision in (("intent", "allowed"), ("outcome", "done"))
    ]
    assert f"SHA-256 {done['manifest_sha256']}" in said[3][3]
