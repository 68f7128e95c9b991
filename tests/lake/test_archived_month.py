"""A month that was archived from Postgres: rotated, opened, erased from by the commands of the lake, and restored."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kit.events import event
from tests.kit.months import WHY, partition_of_this_month, this_month
from tests.kit.vault import Vault
from tests.kit.vaults import copied, filled_vault
from vault_etl.lake.erase import NOT_ERASED
from vault_etl.lake.opened_folder import RECEIPTS
from vault_etl.local.template import ARCHIVE_BUCKET

USERS = {"ann": "198.51.100.1", "bob": "198.51.100.2", "cyd": "198.51.100.3"}
REASON = ("--reason", "case 12")


@pytest.fixture(scope="module")
def vault(keyed: Vault, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Vault]:
    """Yield a vault whose records of this month are in an archive alone."""
    bodies = [event(user_id=user, ip=ip) for user, ip in USERS.items()]
    with filled_vault(keyed, tmp_path_factory.mktemp("lake"), bodies) as filled:
        place = f"s3://{ARCHIVE_BUCKET}/{filled.database}"
        month = partition_of_this_month(filled)
        for command, *more in (("detach",), ("archive", "--to", place), ("drop",)):
            why = WHY[:2] if command == "archive" else WHY
            filled.ok("owner", "partitions", command, month, *more, *why)
        yield filled


def opened(vault: Vault, name: str, *options: str) -> dict[str, str | None]:
    """The address of each user, as `lake open` writes it."""
    vault.ok("reveal", "lake", "open", this_month(vault), *REASON, "--to", name, *options)
    files = sorted((vault.home / name).glob("part-*.jsonl"))
    rows = [json.loads(line) for file in files for line in file.read_text().splitlines()]
    return {row["user_id"]: row["ip"] for row in rows}


def entries(vault: Vault, action: str) -> list[tuple[str, str]]:
    """Phase and decision of the entries of a command that were not denied."""
    allowed = "SELECT phase, decision FROM audit_log WHERE action = %s AND decision <> 'denied'"
    return vault.sql(f"{allowed} ORDER BY seq", action)


def test_only_the_role_of_a_command_runs_it(vault: Vault) -> None:
    """Exit 77 for another login; what it asked for is on the record as denied, and nothing is written."""
    before = names(vault)
    for role, command, options in (
        ("re-encrypt", "open", ("--to", "denied")),
        ("reveal", "rotate", ("--yes",)),
        ("re-encrypt", "erase", ("--yes",)),
    ):
        refused = vault.run(role, "lake", command, this_month(vault), *REASON, *options)
        assert refused.code == 77, refused.stderr
        assert "use a login that has the role" in refused.stderr
        denied = "SELECT phase FROM audit_log WHERE action = %s AND decision = 'denied'"
        assert vault.sql(denied, f"lake {command}") == [("intent",)]
    assert not (vault.home / "denied").exists()
    assert names(vault) == before


def test_a_month_is_rotated_opened_erased_from_and_restored(vault: Vault, keyed: Vault) -> None:
    """Each step on what the one before it left; the vault's own commands agree with every one."""
    month = this_month(vault)
    dry = vault.ok("reveal", "lake", "open", month, *REASON, "--to", "x", "--dry-run").json
    assert (dry["rows"], dry["parts"], dry["version"]) == (3, 1, 1)
    assert not (vault.home / "x").exists()
    assert opened(vault, "before") == USERS
    assert entries(vault, "lake open") == [("intent", "allowed"), ("outcome", "done")]
    receipt = json.loads((vault.home / "before" / RECEIPTS).read_text())
    assert receipt["request"]["manifest_sha256"] == dry["manifest_sha256"]
    assert opened(vault, "before") == USERS, "a second run has nothing to open"
    assert len(entries(vault, "lake open")) == 2

    _rotate(vault, month)
    assert opened(vault, "rotated") == USERS
    _open_copies(vault)
    _open_elsewhere(vault, keyed)
    _erase(vault, month)

    restored = vault.ok("owner", "partitions", "restore", month, *WHY).json
    assert (restored["state"], restored["erased"]) == ("detached", 0)
    assert vault.ok("erase", "lake", "erase", *WHY).json["sets"] == []
    beside = vault.run("erase", "lake", "erase", "--user-id", "bob", *WHY)
    assert (beside.code, list(beside.json["not_reached"].values())) == (
        75,
        [f"the table of {partition_of_this_month(vault)} is beside its archive"],
    )
    vault.ok("owner", "partitions", "attach", month, *WHY)
    shown = vault.ok("reveal", "reveal", "--user-id", "bob", *REASON).lines
    assert [row["fields"]["ip"] for row in shown] == [USERS["bob"]]
    gone = vault.ok("reveal", "reveal", *_record_ids(vault, "ann"), *REASON).lines
    assert sorted(gone[0]["erased"]) == ["device_id", "ip"]


def names(vault: Vault) -> list[str]:
    """The keys of all objects of the archive."""
    found = vault.emulator.client("s3").list_objects_v2(
        Bucket=ARCHIVE_BUCKET, Prefix=f"{vault.database}/"
    )
    return [each["Key"] for each in found["Contents"]]


def copy_of(vault: Vault, name: str) -> Path:
    """A copy of the archive in a folder."""
    folder = vault.home / name
    folder.mkdir()
    for key in names(vault):
        found = vault.emulator.client("s3").get_object(Bucket=ARCHIVE_BUCKET, Key=key)
        (folder / key.rpartition("/")[2]).write_bytes(found["Body"].read())
    return folder


def _rotate(vault: Vault, month: str) -> None:
    """Old keys are not needed after a rotation, and the token keys are of the next generation."""
    nothing = vault.run("re-encrypt", "lake", "rotate", month, *WHY)
    assert (nothing.json["needs_rotation"], nothing.json["parts_written"]) == (False, 0)
    vault.ok("rotate", "keys", "rotate", "--lazy", "--yes")
    vault.ok("re-encrypt", "keys", "rotate", "--tokens", "--yes")
    assert vault.ok("re-encrypt", "lake", "rotate", month, "--dry-run").json["needs_rotation"]
    copy_of(vault, "old-copy")
    done = vault.ok("re-encrypt", "lake", "rotate", month, *WHY).json
    assert (done["parts_written"], done["rows_written"], done["version"]) == (1, 3, 2)
    assert entries(vault, "lake rotate") == [("intent", "allowed"), ("outcome", "done")]
    vault.ok("rotate", "keys", "destroy", "--unused", "--yes")
    assert len(names(vault)) == 4, "the files of the old version are deleted"


def _open_elsewhere(vault: Vault, keyed: Vault) -> None:
    """Another vault of the owner's opens the set from its files; the entry is in its own log."""
    folder = copy_of(vault, "elsewhere")
    with copied(keyed, vault.home) as other:
        other.set_policy({"reveals_an_hour": 3, "purposes": {}})
        done = other.run("reveal", "lake", "open", str(folder), *REASON, "--to", "-")
        assert done.code == 0, done.stderr
        assert "no record of the set: version 2" in done.stderr
        assert {row["user_id"]: row["ip"] for row in done.lines} == USERS
        assert len(entries(other, "lake open")) == 2
        again = other.run("reveal", "lake", "open", str(folder), *REASON, "--to", "-")
        assert (again.code, again.stdout) == (77, "")


def _open_copies(vault: Vault) -> None:
    """A copy opens if it is the version on the record; the version before it, signed too, does not."""
    for copy, code in ((copy_of(vault, "copy"), 0), (vault.home / "old-copy", 65)):
        done = vault.run("reveal", "lake", "open", str(copy), *REASON, "--to", "-")
        assert done.code == code, done.stderr
        assert "no record" not in done.stderr


def _erase(vault: Vault, month: str) -> None:
    """`erase` names the archive and leaves an erasure for it; `lake erase` does it, with a certificate."""
    named = vault.run("erase", "erase", "--user-id", "ann", *WHY)
    assert named.code == 75
    assert list(named.json["archives"]) == [partition_of_this_month(vault)]
    plan = vault.ok("erase", "lake", "erase", "--dry-run").json
    assert (plan["rows"], plan["audit_seq"]) == (1, None)
    done = vault.ok("erase", "lake", "erase", *WHY).json
    assert (done["rows"], done["not_reached"]) == (1, {})
    assert done["not_erased"] == list(NOT_ERASED)
    assert done["checkpoint"]
    assert done["sets"][0]["parts"] == 1
    assert opened(vault, "erased") == {**USERS, "ann": None}
    again = vault.ok("erase", "lake", "erase", "--user-id", "ann", month, *WHY).json
    assert (again["rows"], again["not_reached"]) == (0, {})


def _record_ids(vault: Vault, user: str) -> list[str]:
    rows = vault.sql("SELECT record_id::text FROM user_logins WHERE user_id = %s", user)
    return [str(record_id) for (record_id,) in rows]
