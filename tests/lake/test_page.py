"""The blocks of docs/how-to/lake.md run: those of the shell, and those of DuckDB on what they made."""

from __future__ import annotations

import csv
import uuid

import duckdb
import pytest

from tests.kit.pages import documented, shell
from tests.kit.samples import stored_samples
from tests.kit.vault import Vault

pytestmark = pytest.mark.command

PAGE = "how-to/lake.md"


def test_the_page_runs(vault: Vault, monkeypatch: pytest.MonkeyPatch) -> None:
    """DuckDB reads what was sealed: it groups by tokens, generations and key ids, and joins a table of tokens."""
    events = stored_samples()
    names = list(dict.fromkeys(name for event in events for name in event))
    with (vault.home / "logins.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, names)
        writer.writeheader()
        writer.writerows(events)
    pages = [f"{event['ip']},/{number % 3}" for number, event in enumerate(events)]
    (vault.home / "visits.csv").write_text("\n".join(["ip,page", *pages]))
    (vault.home / "lake").mkdir()
    for block in documented(PAGE, "sh")[:2]:
        done = shell(block, vault.environment("ingest"), vault.home)
        assert done.returncode == 0, done.stderr
    monkeypatch.chdir(vault.home)
    view, devices, counts, join = documented(PAGE, "sql")[:4]
    with duckdb.connect() as connection:
        connection.execute(view)
        shared = dict(connection.execute(devices).fetchall())
        users: dict[str, set[str]] = {}
        for event in events:
            users.setdefault(event["device_id"], set()).add(event["user_id"])
        assert sorted(shared.values()) == sorted(len(u) for u in users.values() if len(u) > 1)
        assert all(isinstance(token, uuid.UUID) for token in shared if token)
        generations, keys = (part for part in counts.split(";") if part.strip())
        assert connection.execute(generations).fetchall() == [(1, len(events))]
        stored = vault.sql(
            "SELECT key_id FROM vault_etl.data_keys WHERE field = 'ip' AND purpose = 'data'"
        )
        assert connection.execute(keys).fetchall() == [(stored[0][0], len(events))]
        joined = dict(connection.execute(join).fetchall())
        assert joined.keys() == {"/0", "/1", "/2"}
        ((tokens,),) = connection.execute(
            "SELECT count(masked_ip) FROM 'visits.parquet'"
        ).fetchall()
        assert tokens == len(events)
