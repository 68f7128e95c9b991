"""The DAG of docs/how-to/airflow.md and the assets of docs/how-to/dagster.md are run by these programs."""

from __future__ import annotations

import csv
import datetime as dt
import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.kit.events import events
from tests.kit.integrations import run_program
from tests.kit.pages import documented
from tests.kit.vault import Vault

pytestmark = [pytest.mark.system, pytest.mark.timeout(400)]


@pytest.fixture
def day() -> str:
    """The day before yesterday, when the test began."""
    return (dt.datetime.now(dt.UTC) - dt.timedelta(days=2)).date().isoformat()


@pytest.fixture
def partner(vault: Vault, day: str) -> Path:
    """A folder with the partner's file of a day: three logins, and a row that is none."""
    rows = [json.loads(each) for each in events(4)]
    rows[3]["ip"] = "no-address-4711"
    folder = vault.home / "partner"
    folder.mkdir()
    with (folder / f"{day}.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    return folder


def test_airflow_runs_the_dag(vault: Vault, partner: Path, day: str) -> None:
    """The rows are in the vault, and no value is in what Airflow prints, logs and keeps in its database."""
    home = vault.home / "airflow"
    (home / "dags").mkdir(parents=True)
    (source,) = documented("how-to/airflow.md", "python")
    (home / "dags" / "partner_logins.py").write_text(source, encoding="utf-8")
    environment = {
        **vault.environment("ingest"),
        "PARTNER_LOGINS": str(partner),
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
    }
    made = run_program(["airflow", "db", "migrate"], environment, home)
    assert made.returncode == 0, made.stderr
    done = run_program(["airflow", "dags", "test", "partner_logins", day], environment, home)
    assert done.returncode == 0, done.stderr
    assert (vault.count("user_logins"), vault.count("quarantine")) == (3, 1)
    _must_hold_no_value(home, done.stdout + done.stderr)


def test_dagster_makes_the_assets(vault: Vault, partner: Path, day: str) -> None:
    """The rows are in the vault, their tokens in the file, and no value is in what Dagster prints and keeps."""
    home = vault.home / "dagster"
    home.mkdir()
    (source,) = documented("how-to/dagster.md", "python")
    (home / "definitions.py").write_text(source, encoding="utf-8")
    environment = {
        **vault.environment("ingest"),
        "PARTNER_LOGINS": str(partner),
        "DAGSTER_HOME": str(home),
        "DAGSTER_DISABLE_TELEMETRY": "yes",
    }
    command = ["dagster", "asset", "materialize", "-f", "definitions.py", "--select", "*"]
    done = run_program([*command, "--partition", day], environment, home)
    assert done.returncode == 0, done.stderr
    assert (vault.count("user_logins"), vault.count("quarantine")) == (3, 1)
    masked = pq.read_table(partner / f"{day}.tokens.parquet").to_pylist()
    found = vault.sql("SELECT user_id, masked_ip FROM user_logins")
    assert {(each["user_id"], each["masked_ip"]) for each in masked[:3]} == set(found)
    assert masked[3]["masked_ip"] is None
    _must_hold_no_value(home, done.stdout + done.stderr)


def _must_hold_no_value(home: Path, printed: str) -> None:
    kept = [path for path in home.rglob("*") if path.is_file()]
    assert any(path.suffix == ".db" for path in kept)
    for text in (printed.encode(), *(path.read_bytes() for path in kept)):
        assert b"203.0.0." not in text
        assert b"dev-0000" not in text
        assert b"no-address-4711" not in text
