"""`lake tokens`, run with the rights of the role ingest, and with those of reveal."""

from __future__ import annotations

import json
import uuid

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.kit.samples import stored_samples
from tests.kit.vault import Vault

pytestmark = pytest.mark.command


def stored_tokens(vault: Vault, column: str) -> dict[tuple[str, str], set[uuid.UUID]]:
    """The stored tokens of each user's day."""
    found: dict[tuple[str, str], set[uuid.UUID]] = {}
    rows = vault.sql(f"SELECT user_id, device_type, {column} FROM vault_etl.user_logins")  # noqa: S608
    for user, device, token in rows:
        found.setdefault((user, device), set()).add(uuid.UUID(str(token)))
    return found


def test_a_login_that_seals_makes_the_stored_tokens_without_an_entry(loaded: Vault) -> None:
    """Parquet and CSV give the tokens that `ingest` stored."""
    samples = [
        {name: event[name] for name in ("user_id", "device_type", "ip")}
        for event in stored_samples()
    ]
    pq.write_table(pa.Table.from_pylist(samples), loaded.home / "in.parquet")
    before = loaded.count("audit_log")
    done = loaded.ok(
        *("ingest", "lake", "tokens", "-f", "ip", "in.parquet", "--to", "out.parquet"),
        *("--output", "json"),
    )
    assert done.json == {
        "file": "out.parquet",
        "rows": len(samples),
        "without_token": 0,
        "generation": 1,
    }
    stored = stored_tokens(loaded, "masked_ip")
    for row in pq.read_table(loaded.home / "out.parquet").to_pylist():
        assert row["masked_ip"] in stored[row["user_id"], row["device_type"]]
        assert "ip" not in row
    assert loaded.count("audit_log") == before


def test_a_login_that_reveals_leaves_an_entry(loaded: Vault) -> None:
    """The entry has the reason, the field and the number of values. A value that the field cannot hold is named."""
    (loaded.home / "list.csv").write_text("ip,why\n203.0.113.7,a\n,b\nno address,c\n")
    command = ("lake", "tokens", "-f", "ip", "list.csv", "--to", "tokens.csv")
    denied = loaded.run("reveal", *command, "--reason", "list 7", "--column", "why")
    assert denied.code == 65, denied.stderr
    (loaded.home / "tokens.csv").unlink()
    done = loaded.run("reveal", *command, "--reason", "list 7", "--output", "json")
    assert done.code == 65
    assert "cannot hold 1 of these values: row 3" in done.stderr
    assert "no address" not in done.stderr + done.stdout
    assert done.json["without_token"] == 1
    lines = (loaded.home / "tokens.csv").read_text().splitlines()
    assert [line.count("-") for line in lines] == [0, 4, 0, 0]
    entries = loaded.ok("audit", "audit", "list", "--output", "json").stdout.splitlines()
    last = [entry for entry in map(json.loads, entries) if entry["action"] == "tokens"][-2:]
    assert {entry["phase"] for entry in last} == {"intent", "outcome"}
    assert any("list 7" in (entry["reason"] or "") for entry in last)


@pytest.mark.parametrize(
    ("args", "code", "text"),
    [
        (["gone.csv", "--to", "x.csv"], 66, "there is no file gone.csv"),
        (["list.csv", "--to", "x.txt"], 2, "no file of Parquet or CSV"),
        (["list.csv", "--to", "x.csv", "-f", "user_id"], 2, "not a field"),
    ],
)
def test_other_calls_are_refused(loaded: Vault, args: list[str], code: int, text: str) -> None:
    """The error says why, and no file is made."""
    done = loaded.run("ingest", "lake", "tokens", "-f", "ip", *args)
    assert (done.code, text in done.stderr) == (code, True), done.stderr
    assert not (loaded.home / "x.csv").exists()
