"""`partitions archive`, `drop` and `restore`: rows go to files and come back, and nothing counts that was not read."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from pyarrow import parquet

from tests.kit.declarations import BOTH_APART
from tests.kit.meanwhile import ATTACHED, CHANGE, OTHER_ARCHIVE, meanwhile
from tests.kit.messages import numbered
from tests.kit.months import WHY, entries, months, partition_of_this_month, widest_event
from tests.kit.vault import Result, Vault
from tests.kit.vaults import KeyedOf, filled_vault
from vault_etl.local.template import ARCHIVE_BUCKET

MESSAGES = 5


@pytest.fixture(scope="module", params=BOTH_APART)
def vault(
    request: pytest.FixtureRequest, keyed_of: KeyedOf, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Vault]:
    """Yield one vault with records of this month; each test leaves the month attached, without an archive."""
    home, declaration = tmp_path_factory.mktemp("archives"), request.param
    bodies = [numbered(declaration, n).decode() for n in range(MESSAGES)]
    with filled_vault(keyed_of(declaration), home, bodies) as filled:
        filled.register_audit_key()
        yield filled


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Return the folder of archives."""
    made = tmp_path / "archives"
    made.mkdir()
    return made


def partitions(vault: Vault, *args: str) -> Result:
    """Run a command of `partitions` that has to do its work, with the AWS role of the owner."""
    return vault.ok("owner", "partitions", *args)


def rows(vault: Vault, name: str) -> list[tuple[object, ...]]:
    """Return the rows of a table."""
    return vault.sql(f"SELECT to_jsonb(r) FROM {name} AS r ORDER BY record_id")  # noqa: S608


@pytest.fixture
def archived(vault: Vault, place: Path) -> Iterator[str]:
    """This month, archived and dropped; attached again afterwards."""
    month = partition_of_this_month(vault)
    partitions(vault, "detach", month, *WHY)
    partitions(vault, "archive", month, "--to", str(place), *WHY[:2])
    partitions(vault, "drop", month, *WHY)
    yield month
    if months(vault)[month] == "archived":
        partitions(vault, "restore", month, *WHY)
    partitions(vault, "attach", month, *WHY)


def test_a_month_goes_to_an_archive_and_comes_back(vault: Vault, place: Path) -> None:
    """The same rows come back, keys are needed meanwhile, and every step is on the record."""
    name, before = partition_of_this_month(vault), entries(vault)
    event = widest_event(vault)
    stored = rows(vault, event.name)
    partitions(vault, "detach", name, *WHY)
    nowhere = vault.run(
        "owner", "partitions", "archive", name, "--to", str(place / "x"), "--dry-run"
    )
    assert (nowhere.code, f"the folder {place / 'x'} does not exist" in nowhere.stderr) == (
        66,
        True,
    )
    to = ("--to", str(place))
    assert (
        partitions(vault, "archive", name, *to, "--dry-run")
        .json["to"]
        .startswith(f"{place}/{name}-")
    )
    assert list(place.iterdir()) == []
    done = partitions(vault, "archive", name, *to, *WHY[:2]).json
    (folder,) = place.iterdir()
    assert (done["state"], done["archive"], done["changed_since"]) == (
        "detached",
        str(folder),
        False,
    )
    assert sorted(each.name for each in folder.iterdir()) == [
        "keys-00001.json",
        "manifest-00001.json",
        "manifest-00001.sig",
        "part-00001.parquet",
    ]
    assert json.loads((folder / "manifest-00001.json").read_text())["rows"] == len(stored)

    assert partitions(vault, "drop", name, *WHY).json["state"] == "archived"
    assert vault.sql("SELECT to_regclass(%s)", f"vault_etl_detached.{name}") == [(None,)]
    used = [row for row in vault.ok("audit", "keys", "list", "--each").lines if row["rows"]]
    fields = {value.field.name for value in event.personal}
    assert {row["field"] for row in used} == fields, "an archive needs its keys"
    others = [each for each in vault.declaration.events if each != event]
    apart = fields - {value.field.name for other in others for value in other.personal}
    (key_id, *_) = (
        row["key_id"] for row in used if row["purpose"] == "data" and row["field"] in apart
    )
    vault.ok("rotate", "keys", "rotate", "--lazy", "--yes")
    refused = vault.run("rotate", "keys", "destroy", str(key_id), "--yes")
    assert refused.code != 0
    assert "need" in refused.stderr
    vault.ok("rotate", "keys", "destroy", "--unused", "--yes")

    shown = partitions(vault, "restore", name, "--dry-run").json
    assert (shown["rows"], shown["values_under_lost_keys"]) == (len(stored), 0)
    assert months(vault)[name] == "archived"
    assert partitions(vault, "restore", name, *WHY).json["state"] == "detached"
    assert rows(vault, f"vault_etl_detached.{name}") == stored
    assert partitions(vault, "attach", name, *WHY).json["state"] == "attached"
    assert rows(vault, event.name) == stored
    assert list(place.iterdir()) == [], "it would be of rows that go on changing"
    vault.ok("admin", "migrate", "--check")
    vault.ok("audit", "doctor", "--deep")
    proof = vault.ok("audit", "audit", "verify").json
    assert proof["unsigned"] == [], "the owner keeps no checkpoint"
    said = entries(vault)[len(before) :]
    assert [(action.split()[1], phase, decision) for action, phase, decision, _ in said] == [
        (action, phase, decision)
        for action in ("detach", "archive", "drop", "restore", "attach")
        for phase, decision in (("intent", "allowed"), ("outcome", "done"))
    ]
    assert f"SHA-256 {done['manifest_sha256']}" in said[3][3]


def test_erasures_are_done_again_when_the_month_is_restored(
    vault: Vault, archived: str, place: Path
) -> None:
    """An erasure counts as a change: the month is archived again before a drop, and the old archive is deleted."""
    (old,) = place.iterdir()
    record_id = _a_record(old)
    assert vault.run("erase", "erase", record_id, *WHY).code == 75
    doctor = {row["check"]: row for row in vault.run("audit", "doctor").lines}["partitions"]
    assert (
        f"1 archived; archives and sets that wait for `lake erase`: {archived}" in doctor["detail"]
    )
    back = partitions(vault, "restore", archived, *WHY).json
    assert (back["erased"], back["changed_since"], back["erasures_since"]) == (1, True, 1)
    empty = (
        f"SELECT masked_ip, ip_ciphertext FROM vault_etl_detached.{archived} WHERE record_id = %s"  # noqa: S608
    )
    assert vault.sql(empty, record_id) == [(None, None)]
    refused = vault.run("owner", "partitions", "drop", archived, *WHY)
    assert (refused.code, "partitions archive" in refused.stderr) == (78, True)
    assert vault.run("erase", "erase", record_id, *WHY).code == 75, "the old file has it still"
    again = partitions(vault, "archive", archived, *WHY[:2]).json
    assert vault.ok("erase", "erase", record_id, *WHY).json["archives"] == {}
    assert (again["changed_since"], again["erasures_since"]) == (False, 0)
    assert [str(each) for each in place.iterdir()] == [again["archive"]] != [str(old)]
    assert partitions(vault, "drop", archived, *WHY).json["state"] == "archived"


def test_a_change_while_it_is_archived_records_nothing(vault: Vault, place: Path) -> None:
    """An erasure behind the snapshot would be in the archive: exit 75, no files are left, and a second run succeeds."""
    name, event = partition_of_this_month(vault), widest_event(vault)
    partitions(vault, "detach", name, *WHY)
    archive = ("partitions", "archive", name, "--to", str(place), *WHY[:2])
    with meanwhile(vault, event, name, CHANGE):
        refused = vault.run("owner", *archive)
    assert (refused.code, "was changed while it was archived" in refused.stderr) == (75, True), (
        refused.stderr
    )
    assert list(place.iterdir()) == []
    assert entries(vault)[-1][1:3] == ("outcome", "failed")
    assert vault.sql("SELECT archive FROM closed_months") == [(None,)]
    (place / f"{name}-0a1b2c3d").mkdir()
    done = vault.ok("owner", *archive)
    assert f"of an interrupted run: {place}/{name}-0a1b2c3d" in done.stderr
    nowhere = vault.run("owner", *archive[:4], str(place / "no" / "folder"), *WHY[:2])
    assert (nowhere.code, vault.sql("SELECT archive FROM closed_months")) == (
        66,
        [(done.json["archive"],)],
    )
    partitions(vault, "attach", name, *WHY)


def test_a_month_that_changed_and_has_as_many_changes_as_before_records_nothing(
    vault: Vault, place: Path
) -> None:
    """The number begins at 0 again when the month is attached and detached, and when another run archives it."""
    name, event = partition_of_this_month(vault), widest_event(vault)
    partitions(vault, "detach", name, *WHY)
    archive = ("partitions", "archive", name, "--to", str(place), *WHY[:2])
    with meanwhile(vault, event, name, ATTACHED):
        attached = vault.run("owner", *archive)
    assert (attached.code, "was changed while" in attached.stderr) == (75, True), attached.stderr
    column = event.details[0]
    vault.sql(f"UPDATE vault_etl_detached.{name} SET {column} = {column}")  # noqa: S608
    with meanwhile(vault, event, name, OTHER_ARCHIVE):
        overtaken = vault.run("owner", *archive)
    assert (overtaken.code, "was changed while" in overtaken.stderr) == (75, True)
    assert list(place.iterdir()) == []
    assert vault.sql("SELECT archive FROM closed_months") == [("/other/archive",)], "it stays"
    vault.sql("UPDATE closed_months SET archive = NULL, archive_sha256 = NULL, archived_at = NULL")
    partitions(vault, "attach", name, *WHY)


def test_an_unknown_month_is_restored_from_a_copy(vault: Vault, archived: str, place: Path) -> None:
    """After a restore of an old backup, the vault's own signature and the location of the archive are needed."""
    vault.sql("DELETE FROM closed_months")
    assert vault.run("owner", "partitions", "restore", archived, *WHY).code == 66
    (folder,) = place.iterdir()
    restore = ("partitions", "restore", archived, "--from", str(folder))
    asked = vault.run("owner", *restore, *WHY[:2])
    assert (asked.code, "--yes" in asked.stderr) == (2, True)
    assert vault.ok("owner", *restore, "--dry-run").json["on_the_record"] is False
    assert vault.ok("owner", *restore, *WHY).json["archive"] == str(folder)
    assert vault.run("owner", *restore, *WHY).code == 78, "it is there"


def test_the_end_of_an_archive_is_the_end_of_the_month(
    vault: Vault, archived: str, place: Path
) -> None:
    """Asked for by a flag of its own. Files, counts and pending erasures go; a copy of the archive brings it back."""
    (folder,) = place.iterdir()
    copy = place.parent / folder.name
    shutil.copytree(folder, copy)
    drop = ("partitions", "drop", archived, *WHY)
    assert (refused := vault.run("owner", *drop)).code == 2
    assert "--archive" in refused.stderr
    assert vault.ok("owner", *drop, "--archive").json["state"] == "dropped"
    assert list(place.iterdir()) == []
    assert vault.count("detached_values") == 0
    assert entries(vault)[-1][1:3] == ("outcome", "done")
    assert vault.run("owner", "partitions", "restore", archived, *WHY).code == 2
    assert (
        partitions(vault, "restore", archived, "--from", str(copy), *WHY).json["state"]
        == "detached"
    )


def test_a_table_of_the_name_of_an_archived_month_is_another_one(
    vault: Vault, archived: str
) -> None:
    """No command takes it for the month's, whose keys are kept and whose erasures are on record; `doctor` names it."""
    name, counts = archived, "SELECT field, id, held FROM detached_values ORDER BY 2"
    held, like = vault.sql(counts), widest_event(vault).name
    vault.sql(f"SET ROLE vault_etl_owner; CREATE TABLE {name} (LIKE {like} INCLUDING ALL)")
    assert months(vault)[name] == "archived"
    for step, code in (("drop", 2), ("detach", 78), ("attach", 78)):
        refused = vault.run("admin", "partitions", step, archived, *WHY)
        assert (refused.code, f"{name} is archived" in refused.stderr) == (code, True)
    vault.ok("rotate", "keys", "destroy", "--unused", "--yes")
    assert vault.run("erase", "erase", "--user-id", "made-up", *WHY).code == 75
    assert vault.sql("SELECT user_id FROM archived_erasures") == [("made-up",)]
    assert vault.sql(counts) == held
    found = {row["check"]: row for row in vault.run("admin", "doctor").lines}["schema"]
    assert name in found["detail"]
    vault.sql(f"DROP TABLE {name}")
    assert partitions(vault, "restore", archived, "--dry-run").json["values_under_lost_keys"] == 0


def test_an_archive_in_s3(vault: Vault) -> None:
    """The same commands, with the one bucket that the owner's AWS role may use for a folder."""
    name, event = partition_of_this_month(vault), widest_event(vault)
    s3 = vault.emulator.client("s3")
    stored = rows(vault, event.name)
    partitions(vault, "detach", name, *WHY)
    left = f"logins/{name}-0a1b2c3d"
    s3.put_object(Bucket=ARCHIVE_BUCKET, Key=f"{left}/part-00001.parquet", Body=b"")
    to = f"s3://{ARCHIVE_BUCKET}/logins"
    result = partitions(vault, "archive", name, "--to", to, *WHY[:2])
    assert f"of an interrupted run: s3://{ARCHIVE_BUCKET}/{left}\n" in result.stderr
    s3.delete_object(Bucket=ARCHIVE_BUCKET, Key=f"{left}/part-00001.parquet")
    done = result.json
    assert done["archive"].startswith(f"s3://{ARCHIVE_BUCKET}/logins/{name}-")
    partitions(vault, "drop", name, *WHY)
    keys = [
        found["Key"]
        for found in s3.list_objects_v2(Bucket=ARCHIVE_BUCKET, Prefix="logins")["Contents"]
    ]
    assert len(keys) == 4
    partitions(vault, "restore", name, *WHY)
    partitions(vault, "attach", name, *WHY)
    assert rows(vault, event.name) == stored
    assert s3.list_objects_v2(Bucket=ARCHIVE_BUCKET, Prefix="logins")["KeyCount"] == 0


def _a_record(folder: Path) -> str:
    """The id of a record in an archive."""
    found = parquet.read_table(folder / "part-00001.parquet", columns=["record_id"])
    return str(found["record_id"][0].as_py())
