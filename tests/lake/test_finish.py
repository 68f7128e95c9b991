"""The end of a seal: one of two runs puts its manifest on the record, and nothing of the other is left."""

from __future__ import annotations

from pathlib import Path

import pytest
from typing_extensions import override

from tests.kit.declarations import DEFAULT
from tests.kit.sets import MADE_AT, NO_KEYS, SET_ID, VAULT_ID, FolderSet
from vault_etl.archives.manifest import Column
from vault_etl.base.errors import IncompleteError, StoppedError, UnavailableError
from vault_etl.lake.finish import FinishSet
from vault_etl.lake.seal import SealedPart, SetRegistry

pytestmark = pytest.mark.unit

FIRST = {"keys-00001.json", "manifest-00001.json", "manifest-00001.sig"}


class Record(SetRegistry):
    """The record of one set, which may raise an error before or after it takes a manifest."""

    def __init__(self) -> None:
        self.sha256: object = None
        self.raises: Exception | None = None

    @override
    def record(self, *counts: object, **_: object) -> None:
        if self.raises is not None:
            raise self.raises
        self.sha256 = counts[-1]


def finish(of: FolderSet, record: Record, part: SealedPart) -> None:
    """Finish a set of one part."""
    FinishSet(
        vault_id=VAULT_ID,
        set_id=SET_ID,
        event=DEFAULT.events[0],
        declaration_sha256=bytes(32),
        columns=(Column("record_id", "uuid"),),
        keys=NO_KEYS,
        store=of.store,
        writer=of.writer,
        registry=record,
        now=lambda: MADE_AT,
        tool="vault-etl 0.1.0",
    )([part])


@pytest.fixture
def sealed(tmp_path: Path) -> tuple[FolderSet, SealedPart]:
    """A set of one part and its mark, without a manifest."""
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    of = FolderSet(tmp_path / "set", scratch)
    part = of.put("part-00001.parquet", b"rows")
    of.put("part-00001.0badcafe.sealed", b"a mark")
    return of, SealedPart(part, (), ())


def test_a_finished_set_has_no_marks(sealed: tuple[FolderSet, SealedPart]) -> None:
    """Its manifest is on the record."""
    of, part = sealed
    record = Record()
    finish(of, record, part)
    assert set(of.names()) == {"part-00001.parquet", *FIRST}
    assert of.reader.read().sha256 == record.sha256


@pytest.mark.parametrize("error", [StoppedError("x"), UnavailableError("x")])
def test_a_manifest_that_the_record_may_have_stays(
    sealed: tuple[FolderSet, SealedPart], error: Exception
) -> None:
    """The next run writes a version above it, and deletes it with the marks."""
    of, part = sealed
    record = Record()
    record.raises = error
    with pytest.raises(type(error)):
        finish(of, record, part)
    assert set(of.names()) >= FIRST
    record.raises = None
    finish(of, record, part)
    assert of.reader.read().manifest.version == 2
    assert set(of.names()).isdisjoint(FIRST)
    assert len(of.names()) == 4


def test_a_manifest_that_the_record_refuses_is_deleted(
    sealed: tuple[FolderSet, SealedPart],
) -> None:
    """Another run has finished the set: its files stay."""
    of, part = sealed
    record = Record()
    finish(of, record, part)
    there = of.names()
    record.raises = IncompleteError("another manifest")
    with pytest.raises(IncompleteError):
        finish(of, record, part)
    assert of.names() == there
