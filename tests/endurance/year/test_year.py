"""A year in fast motion, twice: what months, keys and tokens go through in a vault's life, on one small stack."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest

from tests.endurance.year.months import MONTHS, ROWS, SHARED, WHY, Year, last_months
from tests.kit.vault import Vault


@pytest.fixture
def year(vault: Vault, tmp_path: Path) -> Year:
    """24 months, filled, up to this one."""
    vault.set_policy({"reveals_an_hour": 100_000, "purposes": {}})
    ((today,),) = vault.sql("SELECT (now() AT TIME ZONE 'UTC')::date")
    assert isinstance(today, dt.date)
    archives = tmp_path / "archives"
    archives.mkdir()
    made = Year(vault, archives, last_months(today, MONTHS))
    made.load()
    return made


def rotate(year: Year) -> None:
    """New data keys for the table, and new tokens."""
    year.vault.ok("re-encrypt", "keys", "rotate", "--yes")
    year.vault.ok("re-encrypt", "keys", "rotate", "--tokens", "--yes")


def end_of_generation(year: Year, generation: int) -> int:
    """The exit code of the attempt to destroy the token keys of a generation."""
    rows = year.vault.ok("audit", "keys", "list", "--each").lines
    key = next(row["key_id"] for row in rows if row.get("generation") == generation)
    return year.vault.run("rotate", "keys", "destroy", str(key), "--yes").code


@pytest.mark.timeout(900)  # some eighty commands
def test_a_year_in_fast_motion(year: Year) -> None:
    """Months go out, into archives, and come back; keys and tokens change twice; nothing is lost or counted wrong."""
    vault = year.vault
    year.archive(0, 1, 2, 3, 4)
    for month in (5, 6, 7):
        year.partitions("detach", month)
    year.partitions("archive", 5, "--to", str(year.archives))
    assert year.states() == ["archived"] * 5 + ["detached"] * 3 + ["attached"] * 16
    assert year.counted() == year.held()

    rotate(year)
    vault.ok("rotate", "keys", "destroy", "--unused", "--yes")
    assert end_of_generation(year, 1) != 0, "months that are elsewhere have its tokens"
    year.erase(1, 5, 6, 20)  # in an archive, in both, in a detached month, and in the table
    assert year.counted() == year.held()

    year.partitions("drop", 7, "--without-archive")
    year.partitions("drop", 4, "--archive")
    year.dropped |= {4, 7}
    year.bring_back(0, 1, 2, 3, 5, 6)
    assert end_of_generation(year, 1) == 0
    assert (
        year.states()
        == ["attached"] * 4 + ["dropped", "attached", "attached", "dropped"] + ["attached"] * 16
    )
    assert year.counted() == year.held()

    year.archive(0, 1)
    year.partitions("detach", 2)
    rotate(year)
    year.erase(0, 2)
    assert end_of_generation(year, 2) != 0
    year.bring_back(0, 1, 2)
    assert end_of_generation(year, 2) == 0
    vault.ok("re-encrypt", "keys", "rotate", "--yes")
    vault.ok("rotate", "keys", "destroy", "--unused", "--yes")

    assert year.counted() == year.held()
    kept = {key: login for key, login in year.logins.items() if login.month not in year.dropped}
    assert year.revealed() == {
        key: (None, None) if key in year.erased else (login.ip, login.device_id)
        for key, login in kept.items()
    }
    shared = [key for key, login in kept.items() if login.ip == SHARED]
    found = vault.ok("reveal", "find", "--field", "ip", *WHY, stdin=SHARED).json
    assert sorted(row["record_id"] for row in found["records"]) == sorted(shared)
    assert vault.count("user_logins") == len(kept) == (MONTHS - 2) * ROWS
    vault.ok("audit", "audit", "verify")
    vault.ok("audit", "doctor", "--deep")
    vault.ok("admin", "migrate", "--check")
    assert year.kept() == {}
