"""Nothing that a file carries is lost: files of every kind, and what becomes of each record in them.

`records` are in the file; each is stored, quarantined, or the whole file is refused (exit 65), and
then nothing of it is there. `lines` is what it would be as JSON lines: as many pieces in quarantine.
"""

from __future__ import annotations

import gzip
import json
import lzma
import tarfile
from collections.abc import Sequence
from io import BytesIO
from typing import Any, NamedTuple

import pytest

from tests.ingest.sources.loads import NO_QUEUE, loaded
from tests.kit.fakes.login_events import login_event
from tests.kit.vault import Vault
from vault_etl.ingest.sources.splitters import LineSplitter

BAD = login_event(ip="nowhere")
FIELDS = ("user_id", "device_type", "ip", "device_id", "locale", "app_version")


class Kind(NamedTuple):
    """A file, and the expected fate of its records."""

    name: str
    content: bytes
    records: int
    lines: int
    exit_code: int
    stored: int
    quarantined: int


def events(kind: str) -> Sequence[bytes]:
    """Return three events of this file alone, and one record that is not an event."""
    return [*(login_event(user_id=f"{kind} {n}") for n in range(3)), BAD]


def pretty(kind: str) -> Sequence[bytes]:
    """Return the same records, eight lines each."""
    return [json.dumps(json.loads(event), indent=2).encode() for event in events(kind)]


def csv(kind: str) -> bytes:
    """Return the same records, with a header row."""
    rows = [[json.loads(event)[name].encode() for name in FIELDS] for event in events(kind)]
    return b"\n".join(b",".join(row) for row in [[f.encode() for f in FIELDS], *rows])


def tarred(content: bytes) -> bytes:
    """Return an archive of one file."""
    out = BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        about = tarfile.TarInfo("f")
        about.size = len(content)
        archive.addfile(about, BytesIO(content))
    return out.getvalue()


def kinds() -> Sequence[Kind]:
    """Return files of every kind, odd ones included."""
    lines = b"\n".join(events("refused"))
    read = [
        ("lines", b"\n".join(events("lines")), 4),
        ("lines with marks", b"".join(b"\xef\xbb\xbf" + e + b"\r\n" for e in events("marks")), 4),
        ("array", b"[" + b", ".join(events("array")) + b"]", 1),
        ("pretty array", b"[\n" + b",\n".join(pretty("pretty array")) + b"\n]\n", 34),
        ("pretty", b"\n".join(pretty("pretty")), 32),
        ("concatenated", b"".join(events("concatenated")), 1),
        ("with commas", b",\n".join(events("with commas")), 4),
        ("sequence", b"".join(b"\x1e" + e + b"\n" for e in events("sequence")), 4),
        ("csv", csv("csv"), 5),
        ("null first", b"[null,\n" + b",\n".join(events("null first")[:3]) + b"]", 4),
        ("array.gz", gzip.compress(b"[" + b",".join(events("array.gz")) + b"]"), -1),
    ]
    refused = [
        ("utf-16", lines.decode().encode("utf-16"), 4, -1),
        ("utf-16 without a mark", lines.decode().encode("utf-16-le"), 4, -1),
        ("xz", lzma.compress(lines), 4, -1),
        ("tar", tarred(lines), 4, -1),
        ("plain.gz", lines, 4, 4),
        ("behind.gz", gzip.compress(lines) + b"junk", 4, -1),
        ("empty.gz", b"", 0, 0),
        ("zeros", bytes(10_240), 0, 1),
        ("cut off array", b"[" + b",".join(events("cut")) + b",", 4, 1),
        ("cut off object", b"\n".join(pretty("cut"))[:-9], 4, 31),
        ("csv without a column", csv("column").replace(b"device_id", b"device"), 4, 5),
        ("around a list", b'{"logins": [' + b",".join(events("around")) + b"]}", 4, 1),
        ("around a pretty list", b'{"n": 4,\n"logins": [' + b",".join(pretty("p")) + b"]}", 4, 30),
        ("mac csv", csv("mac csv").replace(b"\n", b"\r"), 4, 1),
        ("excel csv", b"sep=,\r\n" + csv("excel csv"), 4, 6),
        ("a log", b"2026-01-01 INFO started\n" * 12, 12, 12),
        ("a page", b"<!DOCTYPE html>\n<p>not found</p>\n", 0, 2),
    ]
    return [Kind(name, content, 4, as_lines, 0, 3, 1) for name, content, as_lines in read] + [
        Kind(name, content, records, as_lines, 65, 0, 0)
        for name, content, records, as_lines in refused
    ]


def rows(vault: Vault) -> tuple[int, int]:
    """Return the numbers of stored and quarantined rows."""
    return vault.count("user_logins"), vault.count("quarantine")


def test_no_record_of_a_file_is_lost(vault: Vault) -> None:
    """Each record is counted once; a second load knows each; a refused file leaves nothing."""
    for kind in kinds():
        splitter = LineSplitter(kind.name)
        as_lines = len(splitter.feed(kind.content) + splitter.finish())
        assert kind.lines in (as_lines, -1), kind.name
        (vault.home / kind.name).write_bytes(kind.content)
        before = rows(vault)
        done = vault.run("ingest", "ingest", "--file", kind.name, extra=NO_QUEUE)
        after = rows(vault)
        changed = (after[0] - before[0], after[1] - before[1])
        assert (done.code, *changed) == (kind.exit_code, kind.stored, kind.quarantined), kind.name
        if kind.exit_code:
            assert kind.name in done.stderr.splitlines()[0]
            assert "vault-etl: hint: " in done.stderr
        else:
            assert sum(changed) == kind.records == done.json["received"]
    for again in ("pretty array", "csv"):
        assert loaded(vault, "--file", again) == (0, 3, 0, 1)
        content = (vault.home / again).read_bytes()
        (vault.home / "of Windows").write_bytes(b"\xef\xbb\xbf" + content.replace(b"\n", b"\r\n"))
        assert loaded(vault, "--file", "of Windows") == (0, 3, 0, 1)


def test_quarantined_records_are_unchanged(vault: Vault) -> None:
    """A body is byte for byte the record: a record of an array is an event under its own id once corrected."""
    odd = b'{"user_id" : "\\u0075",\n  "ip": "x"}'
    (vault.home / "f").write_bytes(b"[" + login_event() + b", " + odd + b", 7]")
    assert loaded(vault, "--file", "f") == (1, 0, 2, 0)
    shown = [
        vault.ok("reveal", "quarantine", "show", str(row), "--reason", "x").json["body"]
        for (row,) in vault.sql("SELECT record_id FROM vault_etl.quarantine")
    ]
    assert sorted(shown) == ["7", odd.decode()]


def test_a_stream_is_checked_before_anything_is_written(vault: Vault) -> None:
    """The name of a refused stream stays free: the converted stream is loaded under the same --source."""
    source = ("--file", "-", "--source", "s")
    refused = vault.run("ingest", "ingest", *source, extra=NO_QUEUE, stdin="no event\n" * 3)
    assert (refused.code, refused.stdout, rows(vault)) == (65, "", (0, 0))
    assert loaded(vault, *source, stdin=(b"[" + b",".join(events("s")) + b"]").decode()) == (
        3,
        0,
        1,
        0,
    )
    grown = b"".join([*events("s"), login_event(user_id="new")]).decode()
    assert loaded(vault, *source, stdin=grown) == (1, 3, 0, 1)
    assert loaded(vault, *source, "--keep-going", stdin=grown + "{") == (0, 4, 1, 1)


def test_keep_going_quarantines_records_that_are_not_objects(vault: Vault) -> None:
    """Each record is quarantined once, and found again."""
    (vault.home / "f").write_bytes(b"no event\n" * 12)
    assert loaded(vault, "--file", "f", "--keep-going") == (0, 0, 12, 0)
    assert loaded(vault, "--file", "f", "--keep-going") == (0, 0, 0, 12)


def dry(vault: Vault, *args: str, **options: Any) -> Any:  # noqa: ANN401 - what was printed
    """Return the output of `--dry-run`, without any setting."""
    nothing = {
        name: None for name in vault.environment("ingest") if name.startswith(("VAULT", "AWS"))
    }
    return vault.ok("ingest", "ingest", *args, "--dry-run", extra=nothing, **options).json


@pytest.mark.parametrize("name", ["f.json", "f.csv.gz"])
def test_a_dry_run_counts_the_reasons_and_writes_nothing(bare_vault: Vault, name: str) -> None:
    """The first records of each reason are numbered; the command needs no database, keys or AWS."""
    content = csv("dry") + b"\nfew,cells" if "csv" in name else b"".join(events("dry")) + b"[1]"
    (bare_vault.home / name).write_bytes(gzip.compress(content) if "gz" in name else content)
    numbers = (5, 6) if "csv" in name else (4, 5)
    other = "not_json" if "csv" in name else "not_an_object"
    assert dry(bare_vault, "--file", name) == {
        "records": 5,
        "events": 3,
        "quarantined": 2,
        "extra_fields": 0,
        "extra_field_names": {},
        "reasons": [
            {"reason_code": "not_an_address", "path": "$.ip", "count": 1, "first": [numbers[0]]},
            {"reason_code": other, "path": "$", "count": 1, "first": [numbers[1]]},
        ],
    }


def test_a_dry_run_refuses_what_a_load_refuses(bare_vault: Vault) -> None:
    """The exit codes are the same, for a stream too, which then needs no --source."""
    many = b"\n".join([BAD, login_event(create_date="1969-01-01"), *[BAD] * 8])
    found = dry(bare_vault, "--file", "-", stdin=many.decode())
    assert [(r["reason_code"], r["count"], r["first"]) for r in found["reasons"]] == [
        ("not_an_address", 9, [1, 3, 4, 5, 6]),
        ("sent_out_of_range", 1, [2]),
    ]
    extra = login_event(email="x@example.com").decode()
    assert dry(bare_vault, "--file", "-", stdin=extra)["extra_field_names"] == {"email": 1}
    assert dry(bare_vault, "--file", "-", "--strict", stdin=extra)["quarantined"] == 1
    (bare_vault.home / "f").write_bytes(b"no event\n" * 12)
    early = ("--file", "f", "--sent", "1969-12-31")
    for args, code in ((("--file", "f"), 65), (("--file", "gone"), 66), ((), 2), (early, 2)):
        done = bare_vault.run("ingest", "ingest", *args, "--dry-run", extra=NO_QUEUE)
        assert (done.code, done.stdout) == (code, "")
    assert dry(bare_vault, "--file", "f", "--keep-going")["quarantined"] == 12


def test_a_file_without_records_is_reported(vault: Vault) -> None:
    """An empty archive loads nothing, and the command says so."""
    (vault.home / "f.gz").write_bytes(gzip.compress(b""))
    done = vault.ok("ingest", "ingest", "--file", "f.gz", extra=NO_QUEUE)
    assert done.json["received"] == 0
    assert "no records" in done.stderr
