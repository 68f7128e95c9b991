"""`lake seal`, `lake list` and `lake verify`, run with the rights of the role ingest."""

from __future__ import annotations

import csv
import json
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.kit.fakes.login_events import login_event
from tests.kit.samples import stored_samples
from tests.kit.vault import SAMPLES, Result, Vault
from vault_etl.local.template import ARCHIVE_BUCKET

pytestmark = pytest.mark.command

NO_DATABASE = {"VAULT_ETL_DATABASE_URL": None}
DYING = Path(__file__).with_name("dying_seal.py")
TOKENS = ("masked_ip", "masked_device_id")


def seal(vault: Vault, *args: str, **options: Any) -> Result:  # noqa: ANN401 - as `Vault.run`
    """Run `lake seal`, with JSON as its output."""
    return lake(vault, "seal", *args, **options)


def lake(vault: Vault, *args: str, **options: Any) -> Result:  # noqa: ANN401 - as `Vault.run`
    """Run a command of the lake as the role ingest, with JSON as its output."""
    return vault.run("ingest", "lake", *args, "--output", "json", **options)


def rows_of(folder: Path) -> list[dict[str, Any]]:
    """The rows of a set."""
    rows: list[dict[str, Any]] = []
    for path in sorted(folder.glob("part-*.parquet")):
        rows += pq.read_table(path).to_pylist()
    return rows


def plain(rows: list[dict[str, Any]]) -> Counter[tuple[str, ...]]:
    """The plain values and tokens of rows, which do not depend on the way to seal."""
    names = (
        "user_id",
        "device_type",
        "locale",
        "app_version",
        "create_date",
        "event_time",
        *TOKENS,
    )
    return Counter(tuple(str(row[name]) for name in names) for row in rows)


def write_csv(path: Path, events: list[dict[str, Any]]) -> None:
    """Write events with a header row."""
    names = list(dict.fromkeys(name for event in events for name in event))
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, names)
        writer.writeheader()
        writer.writerows(events)


def test_a_set_has_the_rows_that_ingest_stores(vault: Vault) -> None:
    """From JSON lines, CSV and Parquet. Rejected records are in quarantine, the set is on record, and verifies."""
    vault.ok("ingest", "ingest", "--file", str(SAMPLES))
    stored = vault.sql(
        "SELECT user_id, device_type, locale, app_version, create_date, event_time, masked_ip,"
        " masked_device_id FROM vault_etl.user_logins"
    )
    wanted = Counter(tuple(str(value) for value in row) for row in stored)
    events = stored_samples()
    write_csv(vault.home / "logins.csv", events)
    pq.write_table(pa.Table.from_pylist(events), vault.home / "logins.parquet", row_group_size=30)
    for source, rejected in ((str(SAMPLES), 1), ("logins.csv", 0), ("logins.parquet", 0)):
        place = f"{Path(source).suffix[1:]}-set"
        dry = seal(vault, source, "--dry-run").json
        assert (dry["events"], dry["quarantined"]) == (99, rejected)
        done = seal(vault, source, "--to", place)
        assert done.code == 0, done.stderr
        summary = done.json
        assert (summary["rows"], summary["sealed"], summary["quarantined"]) == (99, 99, rejected)
        rows = rows_of(vault.home / place)
        assert plain(rows) == wanted
        assert all(row["token_generation"] == 1 for row in rows)
        assert [row["record_id"] for row in rows] == sorted(row["record_id"] for row in rows)
    assert vault.count("quarantine") == 2
    assert vault.count("audit_log WHERE action LIKE 'lake%'") == 0
    keys = json.loads((vault.home / "csv-set" / "keys-00001.json").read_text())["keys"]
    assert Counter(key["purpose"] for key in keys) == {"data": 2, "token": 2}
    listed = vault.ok("audit", "lake", "list", "--output", "json").lines
    assert {(each["rows"], each["state"]) for each in listed} == {(99, "whole")}
    verified = lake(vault, "verify").lines
    assert [(each["result"], each["rows"], each["lost_values"]) for each in verified] == [
        ("recorded", 99, 0)
    ] * 3
    again = seal(vault, "logins.csv", "--to", "csv-set")
    assert (again.code, "another set of this vault" in again.stderr) == (2, True)

    must_name_damage(vault)


def must_name_damage(vault: Vault) -> None:
    """One changed byte of any file is named; other sets are verified all the same."""
    folder = vault.home / "csv-set"
    for path in sorted(folder.iterdir()):
        whole = path.read_bytes()
        changed = bytearray(whole)
        changed[len(changed) // 2] ^= 1
        path.write_bytes(changed)
        done = lake(vault, "verify")
        assert (done.code, "1 of 3 sets are damaged" in done.stderr) == (65, True), path
        results = {each["location"]: each["result"] for each in done.lines}
        assert results.pop(str(folder)) == "damaged"
        assert list(results.values()) == ["recorded"] * 2
        path.write_bytes(whole)


def test_a_set_in_s3(vault: Vault) -> None:
    """Two sources, the second from standard input, become a set in the bucket of archives."""
    (vault.home / "f").write_bytes(login_event(user_id="u-1"))
    place = f"s3://{ARCHIVE_BUCKET}/logins-2024"
    done = seal(vault, "f", "-", "--to", place, stdin=login_event(user_id="u-2").decode())
    assert done.code == 0, done.stderr
    assert (done.json["rows"], done.json["location"]) == (2, place)
    s3 = vault.emulator.client("s3")
    found = s3.list_objects_v2(Bucket=ARCHIVE_BUCKET, Prefix="logins-2024/")["Contents"]
    names = {each["Key"].rpartition("/")[2] for each in found}
    assert names == {
        *("part-00001.parquet", "keys-00001.json", "manifest-00001.json", "manifest-00001.sig")
    }
    (verified,) = lake(vault, "verify", place, "--offline", extra=NO_DATABASE).lines
    assert (verified["result"], verified["rows"], verified["other_files"]) == ("signed", 2, 0)
    s3.delete_object(Bucket=ARCHIVE_BUCKET, Key="logins-2024/part-00001.parquet")
    broken = lake(vault, "verify", place, "elsewhere")
    assert (broken.code, [each["result"] for each in broken.lines]) == (65, ["damaged", "unknown"])
    why = ("--reason", "no more")
    other = vault.run("owner", "lake", "drop", "s3://vault-etl-archives/other", *why, "--yes")
    assert other.code == 66
    assert vault.run("erase", "lake", "drop", place, *why, "--yes").code == 77
    assert (
        vault.ok("owner", "lake", "drop", place, "--dry-run", "--output", "json").json["rows"] == 2
    )
    vault.ok("owner", "lake", "drop", place, *why, "--yes")
    assert "Contents" not in s3.list_objects_v2(Bucket=ARCHIVE_BUCKET, Prefix="logins-2024/")
    assert vault.ok("audit", "lake", "list", "--output", "json").lines == []
    entries = vault.sql("SELECT phase, reason FROM vault_etl.audit_log WHERE action = 'lake drop'")
    assert [entry[0] for entry in entries] == ["intent", "outcome"]
    assert all(place in entry[1] for entry in entries)


def test_killed_runs_are_continued(vault: Vault) -> None:
    """SIGKILL at many points of one set, and then a whole run: each record is there once, in the set or quarantine."""
    lines = [login_event(user_id=f"u-{number}") for number in range(2_000)]
    lines[::200] = [b"{}"] * 10
    (vault.home / "f").write_bytes(b"\n".join(lines))
    killed = 0
    for points in (3, 8, 9, 13, 1_000):
        command = [sys.executable, "-W", "error", str(DYING), str(points), "100000"]
        done = subprocess.run(
            [*command, "lake", "seal", "f", "--to", "set", "--output", "json"],
            env=vault.environment("ingest"),
            cwd=vault.home,
            capture_output=True,
            check=False,
        )
        killed += done.returncode == -signal.SIGKILL
        if done.returncode == 0:
            break
        assert done.returncode == -signal.SIGKILL, done.stderr
        assert [each["result"] for each in lake(vault, "verify").lines] == ["unfinished"]
    assert killed == 4
    users = Counter(row["user_id"] for row in rows_of(vault.home / "set"))
    assert users == Counter(f"u-{number}" for number in range(2_000) if number % 200)
    assert vault.count("quarantine") == 10
    (verified,) = lake(vault, "verify").lines
    assert (verified["rows"], verified["other_files"]) == (1_990, 0)
