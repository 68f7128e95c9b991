"""`lake open` on a set: plaintext has a name when its outcome is committed, and not before."""

from __future__ import annotations

import io
import json
import stat
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO

import pytest
from pyarrow import parquet

from tests.lake.lake_world import FIELDS, PARTS, LakeWorld, request_of
from vault_etl.audit.entries import Action, AuditRequest, Phase
from vault_etl.base.errors import (
    AuditError,
    ConfigurationError,
    DataError,
    IntegrityError,
    UnavailableError,
    UsageError,
)
from vault_etl.crypto.fields import FieldName
from vault_etl.lake.opened_folder import (
    RECEIPTS,
    OpenedFolder,
    OpenedStream,
    PlainForm,
    PlainWriter,
)
from vault_etl.lake.parquet_opened import JsonLines, ParquetFiles

IP = FieldName("ip")
REQUEST = replace(request_of(Action.LAKE_OPEN), fields=(IP,))
ADDRESSES = {f"198.51.100.{n}" for n in range(1, 7)}
NUMBERS = range(2, PARTS + 2)
"""Those of the parts: a set can leave some out, as those that Spark makes do."""
NAMES = [f"part-{n:05}.jsonl" for n in NUMBERS]


@pytest.fixture(scope="module")
def sealed(tmp_path_factory: pytest.TempPathFactory) -> LakeWorld:
    """Return a set that no test changes."""
    return LakeWorld(tmp_path_factory.mktemp("sealed"))


@pytest.fixture
def world(sealed: LakeWorld) -> LakeWorld:
    """Return the set, with an empty log."""
    sealed.vault.database.audit.clear()
    sealed.vault.audit.broken.clear()
    return sealed


def folder(
    world: LakeWorld,
    path: Path,
    request: AuditRequest = REQUEST,
    form: PlainForm | None = None,
) -> OpenedFolder:
    """The folder of a run, which lets the next one use it at once."""
    made = OpenedFolder(path, world.current(), request, form or JsonLines())
    made.close()
    return made


def open_into(world: LakeWorld, to: Any, *parts: int) -> list[int]:  # noqa: ANN401 - `OpenedParts`
    """Open what is left, or these parts; return the indices."""
    work = world.opening(["ip"])
    left = list(parts) or work.left(world.current(), to)
    work(REQUEST, world.current(), left, to)
    return left


def opened(path: Path) -> list[Any]:
    """The rows of all files of JSON lines."""
    files = sorted(path.glob("part-*.jsonl"))
    return [json.loads(line) for file in files for line in file.read_text().splitlines()]


def test_each_part_is_an_access_and_a_private_file(world: LakeWorld, tmp_path: Path) -> None:
    """The entry names manifest, part and rows; the receipts name the entries."""
    path = tmp_path / "case"
    assert open_into(world, folder(world, path)) == [0, 1, 2]
    assert sorted(each.name for each in path.iterdir()) == [RECEIPTS, *NAMES]
    assert stat.S_IMODE(path.stat().st_mode) == 0o700
    assert {stat.S_IMODE(each.stat().st_mode) for each in path.iterdir()} == {0o600}
    rows = opened(path)
    assert {row["ip"] for row in rows} == ADDRESSES
    assert set(rows[0]) == {"record_id", "user_id", "create_date", "ip", "home_ip"}
    entries = world.vault.database.audit
    assert [(e.phase, e.decision) for e in entries] == [
        ("intent", "allowed"),
        ("outcome", "done"),
    ] * PARTS
    current = world.current()
    assert {e.record_id for e in entries} == {current.manifest.set_id}
    assert entries[0].reason == f"a test asks [manifest {current.sha256.hex()} part 2]"
    receipts = [json.loads(line) for line in (path / RECEIPTS).read_text().splitlines()]
    assert [(r["file"], r["rows"]) for r in receipts] == [(name, 2) for name in NAMES]
    assert [r["audit_seq"] for r in receipts] == [e.seq for e in entries if e.phase == "intent"]


def test_parquet_has_the_same_rows(world: LakeWorld, tmp_path: Path) -> None:
    """With the same columns."""
    open_into(world, folder(world, tmp_path / "case", form=ParquetFiles()))
    tables = [parquet.read_table(tmp_path / "case" / f"part-{n:05}.parquet") for n in NUMBERS]
    assert {ip for table in tables for ip in table["ip"].to_pylist()} == ADDRESSES
    assert tables[0].schema.names == ["record_id", "user_id", "create_date", "ip", "home_ip"]


def test_an_interrupted_run_is_continued(world: LakeWorld, tmp_path: Path) -> None:
    """What is open is not opened again; half a receipt and a file without an outcome go."""
    path = tmp_path / "case"
    open_into(world, folder(world, path), 0)
    (path / "part-00002.jsonl.opening").write_text("plaintext")
    with (path / RECEIPTS).open("a") as file:
        file.write('{"file": "part-0')
    again = folder(world, path)
    assert not (path / "part-00002.jsonl.opening").exists()
    assert open_into(world, again) == [1, 2]
    assert {row["ip"] for row in opened(path)} == ADDRESSES
    assert world.opening().left(world.current(), folder(world, path)) == []
    (path / NAMES[1]).unlink()
    assert open_into(world, folder(world, path)) == [1]


@pytest.mark.parametrize(
    "other",
    [
        replace(REQUEST, reason="another"),
        replace(REQUEST, fields=FIELDS),
        replace(REQUEST, ticket="T-1"),
        replace(REQUEST, purpose="abuse"),
    ],
)
def test_another_request_has_another_folder(
    world: LakeWorld, tmp_path: Path, other: AuditRequest
) -> None:
    """Its files would be covered by entries that say something else."""
    open_into(world, folder(world, tmp_path / "case"), 0)
    with pytest.raises(UsageError, match="what another request opened"):
        folder(world, tmp_path / "case", other)
    with pytest.raises(UsageError, match="what another request opened"):
        folder(world, tmp_path / "case", form=ParquetFiles())


def test_a_folder_that_others_can_read_is_refused(world: LakeWorld, tmp_path: Path) -> None:
    """And a link to one."""
    (tmp_path / "shared").mkdir(mode=0o755)
    (tmp_path / "private").mkdir(mode=0o700)
    (tmp_path / "link").symlink_to(tmp_path / "private")
    for name in ("shared", "link"):
        with pytest.raises(UsageError, match="only this user may read"):
            folder(world, tmp_path / name)


def test_a_folder_is_of_one_run_at_a_time(world: LakeWorld, tmp_path: Path) -> None:
    """The second one would delete the files that the first one writes."""
    path = tmp_path / "case"
    first = OpenedFolder(path, world.current(), REQUEST, JsonLines())
    with pytest.raises(UsageError, match="another run writes into"):
        folder(world, path)
    first.close()
    assert open_into(world, folder(world, path)) == [0, 1, 2]


def test_a_full_disk_is_on_the_record(world: LakeWorld, tmp_path: Path) -> None:
    """The rows cannot be written, so the outcome is a failed one, and no file is left."""
    with Path("/dev/full").open("wb", buffering=0) as full:

        class Full(JsonLines):
            def writer(self, file: BinaryIO) -> PlainWriter:
                del file
                return super().writer(full)

        to = folder(world, tmp_path / "case", form=Full())
        with pytest.raises(UnavailableError, match="No space left"):
            open_into(world, to)
    assert list((tmp_path / "case").iterdir()) == []
    assert [(e.decision, e.error_code) for e in world.vault.database.audit] == [
        ("allowed", None),
        ("failed", "unavailable"),
    ]


@pytest.mark.parametrize("phase", [Phase.INTENT, Phase.OUTCOME])
def test_without_the_log_there_is_no_plaintext(
    world: LakeWorld, tmp_path: Path, phase: Phase
) -> None:
    """No file and no output, if intent or outcome cannot be written."""
    world.vault.audit.broken.add(phase)
    output = io.BytesIO()
    scratch = world.scratch()
    for to in (folder(world, tmp_path / "case"), OpenedStream(scratch, output, JsonLines())):
        with pytest.raises(AuditError):
            open_into(world, to, 0)
    assert list((tmp_path / "case").iterdir()) == list(scratch.iterdir()) == []
    assert output.getvalue() == b""


def test_a_changed_file_is_found_before_its_intent(world: LakeWorld, tmp_path: Path) -> None:
    """The log has nothing of it."""
    name = world.current().manifest.parts[0].name
    content = world.stored[name]
    world.stored[name] = content[:-1] + bytes([content[-1] ^ 1])
    with pytest.raises(DataError, match="was changed"):
        open_into(world, folder(world, tmp_path / "case"))
    world.stored[name] = content
    assert world.vault.database.audit == []


def test_a_part_with_other_rows_is_refused_before_its_intent(
    world: LakeWorld, tmp_path: Path
) -> None:
    """Each row counts for the quota, by the number that the entry says."""
    current = world.current()
    parts = tuple(replace(part, rows=1) for part in current.manifest.parts)
    lies = replace(current, manifest=replace(current.manifest, parts=parts))
    work = world.opening(["ip"], lies)
    with pytest.raises(DataError, match="is not a part of this set"):
        work(REQUEST, lies, [0], folder(world, tmp_path / "case"))
    assert world.vault.database.audit == []


def test_a_part_with_more_rows_than_an_entry_is_about_is_refused(
    world: LakeWorld, tmp_path: Path
) -> None:
    """Before its file is fetched."""
    current = world.current()
    parts = tuple(replace(part, rows=1_000_001) for part in current.manifest.parts)
    large = replace(current, manifest=replace(current.manifest, parts=parts))
    with pytest.raises(ConfigurationError, match="has 1000001 rows"):
        world.opening(["ip"], large)(REQUEST, large, [0], folder(world, tmp_path / "case"))
    assert world.vault.database.audit == []


def test_a_value_that_does_not_open_keeps_its_part_closed(world: LakeWorld, tmp_path: Path) -> None:
    """The outcome says so; the files of the parts before it stay."""
    keys, open_all = world.vault.database.keys, world.opening(["ip"])
    to = folder(world, tmp_path / "case")
    open_all(REQUEST, world.current(), [0], to)
    gone = {key_id: key for key_id, key in keys.items() if key.field == IP and not key.generation}
    for key_id in gone:
        del keys[key_id]
    with pytest.raises(IntegrityError):
        world.opening(["ip"])(REQUEST, world.current(), [1], to)
    keys.update(gone)
    assert [each.name for each in sorted((tmp_path / "case").glob("part-*"))] == [NAMES[0]]
    last = world.vault.database.audit[-1]
    assert (last.action, last.decision, last.error_code) == ("lake open", "failed", "integrity")


def test_standard_output_gets_a_part_after_its_outcome(world: LakeWorld) -> None:
    """All rows, and nothing stays on the disk."""
    output, scratch = io.BytesIO(), world.scratch()
    open_into(world, OpenedStream(scratch, output, JsonLines()))
    rows = [json.loads(line) for line in output.getvalue().splitlines()]
    assert {row["ip"] for row in rows} == ADDRESSES
    assert list(scratch.iterdir()) == []
