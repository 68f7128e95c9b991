"""Two contents under one `--source`: no line is lost silently, whatever was killed before."""

from __future__ import annotations

import gzip
from collections.abc import Sequence

import pytest

from tests.ingest.sources.loads import NO_QUEUE, loaded
from tests.kit.fakes.login_events import login_event
from tests.kit.vault import Result, Vault

NAME = ("--source", "May")
STREAM = ("--file", "-", *NAME)
FILE = ("--file", "f", *NAME)


def events(name: str, count: int) -> bytes:
    """Return `count` lines."""
    return b"".join(login_event(user_id=f"{name}-{n}") + b"\n" for n in range(count))


MAY, JUNE = events("may", 40), events("june", 40)


def stream(vault: Vault, content: bytes, *more: str) -> Result:
    """Load a stream."""
    return vault.run(
        "ingest", "ingest", *STREAM, *more, extra=NO_QUEUE, stdin=content.decode(), seconds=60
    )


def file(vault: Vault, content: bytes) -> Result:
    """Load a file."""
    (vault.home / "f").write_bytes(content)
    return vault.run("ingest", "ingest", *FILE, extra=NO_QUEUE)


def users(vault: Vault) -> set[str]:
    """Return the users of the stored events."""
    rows = vault.sql("SELECT user_id FROM vault_etl.user_logins")
    assert len({user for (user,) in rows}) == len(rows), "an event is stored twice"
    return {user for (user,) in rows}


def of(name: str, numbers: Sequence[int]) -> set[str]:
    """Return the users of these lines."""
    return {f"{name}-{n}" for n in numbers}


def test_a_file_of_other_lines_loads_nothing(vault: Vault) -> None:
    """A shorter file loads nothing either; a longer one is loaded from the point that was reached."""
    assert file(vault, MAY).code == 0
    for other in (JUNE, events("june", 10), MAY[:-1] + b" \n", events("may", 39), b""):
        done = file(vault, other)
        assert (done.code, done.stdout) == (65, "")
        assert "does not begin with the lines that were loaded under this --source" in done.stderr
        assert "nothing was loaded" in done.stderr
    assert users(vault) == of("may", range(40))
    assert file(vault, MAY + JUNE).code == 0
    assert users(vault) == of("may", range(40)) | of("june", range(40))


def test_a_stream_of_other_lines_reports_its_duplicates(vault: Vault) -> None:
    """Lines before the first difference count as known; the name stays valid for its lines."""
    assert stream(vault, MAY).code == 0
    shorter = stream(vault, events("june", 10))
    assert (shorter.code, shorter.stdout) == (65, "")
    assert ": 10 lines counted as duplicates, and were not stored" in shorter.stderr
    longer = stream(vault, JUNE + JUNE)
    assert longer.code == 65
    assert "lines counted as duplicates, and were not stored" in longer.stderr
    assert users(vault) == of("may", range(40))
    assert stream(vault, MAY).code == 0
    (vault.home / "f.gz").write_bytes(gzip.compress(MAY + JUNE))
    assert loaded(vault, "--file", "f.gz", *NAME) == (40, 40, 0, 0)


@pytest.mark.parametrize("load", [stream, file])
def test_an_interrupted_load_is_continued(vault: Vault, load: object) -> None:
    """Every line is stored once, whatever the number of interruptions."""
    (vault.home / "f").write_bytes(MAY)
    for _ in range(2):
        if load is stream:
            assert stream(vault, MAY, "--max-messages", "10").code == 0
        else:
            vault.ok("ingest", "ingest", *FILE, "--max-messages", "10", extra=NO_QUEUE)
    assert users(vault) == of("may", range(10))
    assert (stream(vault, MAY) if load is stream else file(vault, MAY)).code == 0
    assert users(vault) == of("may", range(40))


def test_other_lines_after_an_interrupted_load_are_noticed(vault: Vault) -> None:
    """The end of the first load is not stored, so lines of another would take its place."""
    assert stream(vault, MAY, "--max-messages", "10").code == 0
    assert file(vault, JUNE).code == 65
    assert users(vault) == of("may", range(10))
    assert stream(vault, JUNE).code == 65
    assert of("may", range(10)) <= users(vault)


def test_half_a_line_does_not_count_as_the_whole_line(vault: Vault) -> None:
    """Half the line was quarantined under its number, and the whole line has the same number."""
    assert file(vault, MAY[:-30]).code == 0
    assert vault.count("quarantine") == 1
    done = file(vault, MAY)
    assert (done.code, vault.count("quarantine")) == (65, 1)
