"""Lines of files in Postgres: each once, in its month, whatever the number of loads and the file's name."""

from __future__ import annotations

import datetime as dt
import gzip
from collections import Counter
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.kit.fakes.login_events import login_event
from tests.kit.vault import Vault, sample_events
from vault_etl import settings
from vault_etl.app import ingest
from vault_etl.app.batches import batch_writer
from vault_etl.app.parts import Parts
from vault_etl.ingest.sources.open_lines import LineOpener
from vault_etl.records.messages import Outcome
from vault_etl.records.write_batch import BatchWriter

Load = Counter[Outcome]


@dataclass
class Loader:
    """Opens lines and stores them, with the environment and the rights of the role ingest."""

    opener: LineOpener
    writer: BatchWriter


@pytest.fixture
def writer(vault: Vault, monkeypatch: pytest.MonkeyPatch) -> Loader:
    """One process of `ingest`."""
    for name, value in vault.environment("ingest").items():
        monkeypatch.setenv(name, value)
    loaded, _ = settings.load(vault.environment("ingest"))
    parts = Parts(loaded)
    return Loader(ingest.line_opener(parts), batch_writer(parts))


def load(
    writer: Loader, path: Path, *, source: str | None = None, sent: dt.date | None = None
) -> Load:
    """Load a file. Return the outcomes of its lines."""
    outcomes: Load = Counter()
    with closing(writer.opener.open(str(path), source=source, sent=sent)) as lines:
        while messages := lines.receive(1):
            outcomes.update(writer.writer.write(messages).outcomes)
            lines.delete([message.receipt_handle for message in messages])
        assert lines.depth().visible == 0
    return outcomes


def test_loading_a_file_twice_stores_it_once(vault: Vault, writer: Loader, tmp_path: Path) -> None:
    """Another name or compression does not matter; a line that is not an event is quarantined once."""
    content = "\n".join(sample_events()).encode()
    (tmp_path / "a.jsonl").write_bytes(content)
    (tmp_path / "b.jsonl.gz").write_bytes(gzip.compress(content))
    first = load(writer, tmp_path / "a.jsonl")
    assert first == {Outcome.STORED: 99, Outcome.QUARANTINED: 1}
    for name in ("a.jsonl", "b.jsonl.gz"):
        again = load(writer, tmp_path / name)
        assert again == {Outcome.DUPLICATE: 99, Outcome.ALREADY_QUARANTINED: 1}
    assert (vault.count("user_logins"), vault.count("quarantine")) == (99, 1)


def test_two_equal_lines_are_two_events(vault: Vault, writer: Loader, tmp_path: Path) -> None:
    """They are two in one file, or in two files, but not in two files under one --source."""
    line = login_event() + b"\n"
    (tmp_path / "a").write_bytes(line + line)
    assert load(writer, tmp_path / "a") == {Outcome.STORED: 2}
    (tmp_path / "b").write_bytes(line)
    assert load(writer, tmp_path / "b") == {Outcome.STORED: 1}
    assert load(writer, tmp_path / "b", source="day") == {Outcome.STORED: 1}
    (tmp_path / "b").write_bytes(line + login_event(user_id="next") + b"\n")
    assert load(writer, tmp_path / "b", source="day") == {Outcome.DUPLICATE: 1, Outcome.STORED: 1}
    assert vault.count("user_logins") == 5


def _months_ago(months: int) -> dt.date:
    today = dt.datetime.now(dt.UTC).date()
    years, month = divmod(today.month - 1 - months, 12)
    return dt.date(today.year + years, month + 1, 11)


def test_each_line_goes_to_the_month_of_its_day(
    vault: Vault, writer: Loader, tmp_path: Path
) -> None:
    """The month is made; a line without a day goes to the file's month, or to the undated lines."""
    named, sent = _months_ago(20), _months_ago(7)
    lines = [login_event(create_date=named.isoformat()), login_event()]
    (tmp_path / "f").write_bytes(b"\n".join(lines))
    for day in (None, sent):
        load(writer, tmp_path / "f", sent=day)
    rows = vault.sql("SELECT tableoid::regclass::text, create_date FROM vault_etl.user_logins")
    assert sorted(rows) == sorted(
        [
            (f"user_logins_{named:%Y_%m}", named),
            (f"user_logins_{sent:%Y_%m}", sent),
            ("user_logins_undated", dt.date(1970, 1, 1)),
        ]
    )


def test_a_line_of_a_day_without_a_month_is_quarantined(
    vault: Vault, writer: Loader, tmp_path: Path
) -> None:
    """A day too long ago, too far ahead, or before 1970 quarantines its line once; the others are stored."""
    days = [_months_ago(25), _months_ago(-5), dt.date(1969, 12, 31), dt.date(1, 1, 1), dt.date.max]
    lines = [login_event(create_date=day.isoformat()) for day in days]
    (tmp_path / "f").write_bytes(b"\n".join([*lines, login_event()]))
    assert load(writer, tmp_path / "f") == {Outcome.QUARANTINED: 5, Outcome.STORED: 1}
    assert load(writer, tmp_path / "f") == {Outcome.ALREADY_QUARANTINED: 5, Outcome.DUPLICATE: 1}
    rows = vault.sql("SELECT DISTINCT reason_code, path FROM vault_etl.quarantine")
    assert rows == [("sent_out_of_range", "$.create_date")]
