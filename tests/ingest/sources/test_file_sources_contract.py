"""`FileSources`: a source is found again, and two contents are never confused."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import closing

import pytest

from tests.kit.fakes.file_sources import FakeFileSources
from tests.kit.vault import Vault
from vault_etl.ingest.sources.open_lines import FileSources, Load
from vault_etl.ingest.sources.postgres import PostgresFileSources
from vault_etl.platform.postgres import Database

NAME = b"n" * 32
MAY, JUNE = b"m" * 32, b"j" * 32


@pytest.fixture(params=["fake", "postgres"])
def sources(request: pytest.FixtureRequest) -> Iterator[FileSources]:
    """The adapters, without a known source. Postgres acts as the role ingest."""
    if request.param == "fake":
        yield FakeFileSources()
        return
    vault: Vault = request.getfixturevalue("database")
    with closing(Database(vault.database_url("ingest"))) as connection:
        yield PostgresFileSources(connection)


def begin(sources: FileSources) -> tuple[Load, tuple[int, ...]]:
    """Begin a load of the same source. Return it with the points where it must agree."""
    found = sources.find(NAME)
    return Load(uuid.uuid4(), found.source_id), found.points


def test_a_source_is_created_once(sources: FileSources) -> None:
    """The same digest finds the source again; another digest is another source."""
    found = sources.find(NAME)
    assert sources.find(NAME) == found
    assert sources.find(b"o" * 32).source_id != found.source_id
    assert found.points == ()


def test_a_load_replaces_the_load_that_it_agrees_with(sources: FileSources) -> None:
    """A killed load is replaced too; so a growing source has one point, at its end."""
    killed, _ = begin(sources)
    assert sources.reached(killed, 3, MAY)
    for end in (5, 9):
        load, points = begin(sources)
        assert points == ((3,) if end == 5 else (5,))
        assert sources.reached(load, points[0], MAY)
        assert sources.reached(load, end, MAY)
        assert sources.loaded(load, points)
    assert begin(sources)[1] == (9,)


def test_other_lines_are_refused(sources: FileSources) -> None:
    """A point of a killed load, or of a whole one, must agree; a refusal does not move the point."""
    may, _ = begin(sources)
    assert sources.reached(may, 3, MAY)
    for _ in range(2):
        june, points = begin(sources)
        assert points == (3,)
        assert not sources.reached(june, 3, JUNE)
        assert not sources.loaded(june, points)
        assert sources.loaded(may, ())


def test_a_load_that_does_not_reach_the_others_is_not_whole(sources: FileSources) -> None:
    """Its content ends too early, and nothing tells which load the stored lines belong to."""
    may, _ = begin(sources)
    assert sources.reached(may, 3, MAY)
    short, points = begin(sources)
    assert sources.reached(short, 2, JUNE)
    assert not sources.loaded(short, points)
    empty, points = begin(sources)
    assert not sources.loaded(empty, points)


def test_a_concurrent_load_of_other_lines_is_refused(sources: FileSources) -> None:
    """Both loads began before any point existed: one of them gets the refusal."""
    may, _ = begin(sources)
    june, _ = begin(sources)
    assert sources.reached(may, 3, MAY)
    assert sources.reached(june, 4, JUNE)
    assert not sources.loaded(june, ())
    assert not sources.loaded(may, ())


def test_the_same_load_twice_at_once_is_whole_twice(sources: FileSources) -> None:
    """Both loads end at the same point, and each checks it again."""
    loads = [begin(sources)[0] for _ in range(2)]
    for load in (*loads, *loads):
        assert sources.reached(load, 3, MAY)
    for load in loads:
        assert sources.reached(load, 3, MAY)
        assert sources.loaded(load, ())


def test_points_below_a_whole_load_are_dropped(sources: FileSources) -> None:
    """All of its lines are stored, so a wrong load stores nothing, and blocks no name."""
    may, _ = begin(sources)
    assert sources.reached(may, 3, MAY)
    assert sources.loaded(may, ())
    june, points = begin(sources)
    assert sources.reached(june, 2, JUNE)
    assert not sources.reached(june, 3, JUNE)
    assert begin(sources)[1] == points == (3,)
