"""Unattached months: every access reports that it did not read their rows, and where the rows are."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from tests.kit.events import event
from tests.kit.processes import fails
from tests.kit.vault import Vault
from tests.kit.vaults import filled_vault

WHY = ("--reason", "a test asks")
ADDRESS = "198.51.100.7"
ARCHIVE = "s3://kept-elsewhere/months/a-0a1b2c3d"
MONTHS = "SELECT to_char(now() AT TIME ZONE 'UTC' - make_interval(months => %s), 'YYYY-MM')"
RECORD_ARCHIVE = (
    "UPDATE closed_months SET archive = %s, archive_sha256 = sha256('manifest'), archived_at = '2026-01-31T12:00:00Z'"
    " WHERE partition = %s"
)
DROPPED = (
    "INSERT INTO closed_months (event, first, until, partition, dropped_at) SELECT 'user_logins',"
    " first_record_id('2020-02-01Z'), first_record_id('2020-03-01Z'), 'user_logins_2020_02', '2026-01-31T12:00:00Z'"
)
GONE = uuid.UUID("01700000-0000-7000-8000-000000000000")
"""A record id of February 2020."""


@dataclass(frozen=True, slots=True)
class Away:
    """A vault with a record of ann in an archived, a detached and an attached month; and a month that was dropped."""

    vault: Vault
    archived: str
    detached: str
    ids: dict[str, str]
    """The record of each month, by the month's state."""

    def named(self, *, archive: bool = True) -> list[dict[str, str | None]]:
        """The two months as JSON has them, without the times."""
        return [
            {
                "partition": self.archived,
                "state": "archived",
                "archive": ARCHIVE if archive else None,
            },
            {"partition": self.detached, "state": "detached", "archive": None},
        ]


@pytest.fixture(scope="module")
def away(keyed: Vault, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Away]:
    """Yield months that were loaded and detached by the real commands; the archive is only on the record."""
    home = tmp_path_factory.mktemp("away")
    mine = {"user_id": "ann", "ip": ADDRESS}
    with filled_vault(keyed, home, [event(**mine)]) as vault:
        archived, detached = (str(vault.sql(MONTHS, ago)[0][0]) for ago in (2, 1))
        lines = [event(**mine, create_date=f"{month}-15") for month in (archived, detached)]
        lines.append(event(user_id="bob", create_date=f"{detached}-20"))
        (home / "old.jsonl").write_text("\n".join(lines), encoding="utf-8")
        vault.ok("ingest", "ingest", "--file", str(home / "old.jsonl"))
        of_ann = "SELECT record_id FROM user_logins WHERE user_id = 'ann' ORDER BY 1"
        ids = [str(i) for (i,) in vault.sql(of_ann)]
        for month in (archived, detached):
            vault.ok("admin", "partitions", "detach", month, *WHY, "--yes")
        names = [f"user_logins_{month.replace('-', '_')}" for month in (archived, detached)]
        vault.sql(RECORD_ARCHIVE, ARCHIVE, names[0])
        vault.sql("SELECT partition_drop(%s, sha256('manifest'))", names[0])
        vault.sql(DROPPED)
        states = ("archived", "detached", "attached")
        yield Away(vault, names[0], names[1], dict(zip(states, ids, strict=True)))


def test_a_reveal_says_where_the_record_may_be(away: Away) -> None:
    """The error has month, state, time and archive, and how to restore it; the log says `not_found`."""
    vault = away.vault
    for state, words, back in (
        (
            "archived",
            f"{away.archived} is archived since 2026-01-31T12:00:00Z, in {ARCHIVE}",
            "partitions restore",
        ),
        ("detached", f"{away.detached} is detached since 20", "partitions attach"),
    ):
        for masked in ((), ("--masked",)):
            result = vault.run("reveal", "reveal", away.ids[state], *WHY, *masked)
            fails(result, 66, "there is no such record in the table: ")
            assert words in result.stderr
            assert back in result.stderr
            outcome = "SELECT decision, error_code FROM audit_log ORDER BY seq DESC LIMIT 1"
            assert vault.sql(outcome) == [("failed", "not_found")]
    result = vault.run("reveal", "reveal", str(GONE), *WHY)
    fails(result, 66, "user_logins_2020_02 was dropped on 2026-01-31T12:00:00Z")
    other = vault.run("reveal", "reveal", str(uuid.UUID(int=away_id(away) + 1)), *WHY)
    fails(other, 66, "there is no such record")
    assert "partition" not in other.stderr


def away_id(away: Away) -> int:
    """Return the id of the record in an unattached month."""
    return uuid.UUID(away.ids["attached"]).int


def test_a_batch_names_each_record_with_its_month(away: Away) -> None:
    """The others are shown, and in the file of evidence; the end counts those that are elsewhere."""
    vault = away.vault
    to = vault.home / "case.csv"
    ids = [*away.ids.values(), str(GONE)]
    result = vault.run("reveal", "reveal", *ids, *WHY, "--to", str(to))
    assert result.code == 66
    said = "of 4 records 1 do not exist and 2 are of months that are not in the table"
    assert said in result.stderr
    lines = [line for line in result.stderr.splitlines() if "vault-etl: warning" in line]
    assert [ARCHIVE in line for line in lines] == [True, False, False]
    assert len(to.read_text().splitlines()) == 2


@pytest.mark.parametrize(
    ("asked", "stdin"),
    [
        (("find", "--field", "ip"), ADDRESS),
        (("find", "--field", "ip"), f"{ADDRESS}\n198.51.100.8"),
        (("find", "--user-id", "ann"), None),
    ],
    ids=["value", "values", "user"],
)
def test_a_search_names_the_months_that_it_has_not_seen(
    away: Away, asked: tuple[str, ...], stdin: str | None
) -> None:
    """On standard error, with `--quiet` too, and in JSON, with the archive; what was dropped is nowhere to be seen."""
    result = away.vault.ok("reveal", *asked, *WHY, "--quiet", stdin=stdin)
    assert [
        {name: month[name] for name in ("partition", "state", "archive")}
        for month in result.json["not_searched"]
    ] == away.named()
    assert "not searched: 2 months that are not in the table" in result.stderr
    assert ARCHIVE in result.stderr
    assert "2020" not in result.stderr
    assert len(json.dumps(result.json).split(away.ids["attached"])) == 2


def test_tokens_and_duplicates_report_unattached_months(away: Away) -> None:
    """Analysts get the names of the months, and no location of an archive."""
    made = away.vault.ok("reveal", "tokens", "--field", "ip", *WHY, stdin=ADDRESS)
    assert "these tokens join no rows of 2 months" in made.stderr
    shared = away.vault.ok("analyst", "duplicates", "--field", "ip", "--quiet")
    assert f"{away.archived} is archived since" in shared.stderr
    assert f"{away.detached} is detached since" in shared.stderr
    assert ARCHIVE not in shared.stderr


def test_duplicates_of_some_days_name_the_months_that_have_such_days(away: Away) -> None:
    """By the days that their rows name: the 15th and, of the detached month, the 20th."""
    archived, detached = (name[-7:].replace("_", "-") for name in (away.archived, away.detached))
    for days, named in (
        (("--until", f"{archived}-15"), ["archived"]),
        (("--since", f"{archived}-16"), ["detached"]),
        (("--since", f"{detached}-16", "--until", f"{detached}-20"), ["detached"]),
        (("--since", f"{archived}-16", "--until", f"{detached}-14"), []),
        (("--since", f"{detached}-21"), []),
    ):
        shared = away.vault.ok("analyst", "duplicates", "--field", "ip", *days)
        told = [state for state in ("archived", "detached") if f"is {state} since" in shared.stderr]
        assert told == named, days


def test_a_user_of_whom_nothing_is_there_may_be_elsewhere(away: Away) -> None:
    """By `reveal --user-id` and `subject export`: exit 66 names the months."""
    vault = away.vault
    for asked in (("reveal", "--user-id", "eve"), ("subject", "export", "eve", "--to", "eve")):
        result = vault.run("reveal", *asked, *WHY)
        assert result.code == 66
        assert "no record of this user in the table, and months are not in it" in result.stderr
        assert f"where they are: {away.archived}, {away.detached}" in result.stderr


def test_an_export_says_what_is_not_in_it(away: Away) -> None:
    """On standard error, in its JSON and in its README, which names no archive to the recipient."""
    vault = away.vault
    result = vault.ok("reveal", "subject", "export", "ann", "--to", "ann", *WHY)
    assert (result.json["records"], result.json["not_searched"]) == (
        1,
        [away.archived, away.detached],
    )
    assert "not searched: 2 months" in result.stderr
    readme = (vault.home / "ann" / "README.txt").read_text(encoding="utf-8")
    assert f"months that are detached or archived ({away.archived}, {away.detached})" in readme
    assert ARCHIVE not in readme


def test_messages_of_closed_months_say_what_opens_them(away: Away) -> None:
    """A list and an access name the months; a retry and its dry run count the messages that wait for them."""
    vault, file = away.vault, away.vault.home / "late.jsonl"
    days = [f"{name[-7:].replace('_', '-')}-16" for name in (away.archived, away.detached)]
    file.write_text("\n".join(event(create_date=day) for day in (*days, "2020-02-16")))
    assert vault.ok("ingest", "ingest", "--file", str(file)).json["quarantined"] == 3
    dropped = "user_logins_2020_02 was dropped on 2026-01-31T12:00:00Z"
    opens = (
        f"{away.archived} is archived since 2026-01-31T12:00:00Z: `vault-etl partitions restore {away.archived}`",
        f"`vault-etl partitions attach {away.detached}` brings it back",
        f"{dropped}: `vault-etl partitions ensure user_logins_2020_02 --reopen`",
    )
    for dry_run in ("--dry-run", "--yes"):
        retry = vault.ok("re-encrypt", "quarantine", "retry", "--all", dry_run)
        assert (retry.json["moved"], retry.json["month_closed"]) == (0, 3)
        assert all(words in retry.stderr for words in opens)
    shown = vault.ok("reveal", "quarantine", "list")
    assert shown.stderr.count("`vault-etl partitions ") == 2 + 1 + 1
    one = shown.lines[0]["record_id"]
    look = vault.ok("reveal", "quarantine", "show", one, *WHY)
    assert look.stderr.count("`vault-etl quarantine retry --reason-code month_closed`") == 1
    assert vault.ok("reveal", "quarantine", "list", "--quiet").stderr == ""


def erase(away: Away, *target: str, code: int = 0) -> dict[str, Any]:
    """Erase, which ends with this code; the certificate."""
    result = away.vault.run("erase", "erase", *target, *WHY, "--yes")
    assert result.code == code, result.stderr
    if code == 75:
        names = ", ".join(result.json["archives"])
        assert f"{'s' * (', ' in names)} may still hold values: {names}" in result.stderr
        assert "vault-etl lake erase" in result.stderr
    return dict(result.json)


def pending(away: Away) -> list[tuple[str, str | None, str | None]]:
    """Return the erasures that archives lack: month, record, user."""
    found = away.vault.sql(
        "SELECT partition, record_id::text, user_id FROM archived_erasures JOIN closed_months USING (event, first)"
        " ORDER BY 1, 2, 3"
    )
    return [(month, record_id, user) for month, record_id, user in found]


def test_a_record_that_an_archive_may_hold_is_not_erased_completely(away: Away) -> None:
    """Exit 75, its archive is named, and the erasure is on the record for it: once, however often it is asked for."""
    record_id, vault = away.ids["archived"], away.vault
    plan = vault.ok("erase", "erase", record_id, "--dry-run").json
    assert (plan["records"], plan["archives"]) == (0, {away.archived: ARCHIVE})
    assert pending(away) == []
    for _ in range(2):
        certificate = erase(away, record_id, code=75)
        assert (certificate["records"], certificate["archives"]) == (0, {away.archived: ARCHIVE})
        assert pending(away) == [(away.archived, record_id, None)]
    last = "SELECT reason, record_id::text FROM audit_log ORDER BY seq DESC LIMIT 1"
    said = "erased records: 0, quarantined bodies: 0, left in archives: 1"
    assert vault.sql(last) == [(said, record_id)]


def test_an_archive_that_is_older_than_an_erasure_is_stale(away: Away) -> None:
    """Of a detached month with an archive: what was erased in its table is in the archive. One that is newer is not."""
    vault = away.vault
    assert erase(away, away.ids["detached"])["archives"] == {}
    vault.sql(RECORD_ARCHIVE, f"{ARCHIVE}-2", away.detached)
    assert erase(away, away.ids["detached"])["archives"] == {}
    for records in (1, 0):
        certificate = erase(away, "--user-id", "bob", code=75)
        assert certificate["records"] == records
        assert certificate["archives"] == {away.archived: ARCHIVE, away.detached: f"{ARCHIVE}-2"}
    assert [row for row in pending(away) if row[2]] == [
        (away.archived, None, "bob"),
        (away.detached, None, "bob"),
    ]


def test_a_user_without_rows_may_be_in_an_archive(away: Away) -> None:
    """The user may be in an archive, so the error is not `there is no such user`."""
    certificate = erase(away, "--user-id", "mallory", code=75)
    assert (certificate["records"], list(certificate["archives"])) == (0, [away.archived])
    unknown = str(uuid.UUID(int=away_id(away) + 1))
    fails(away.vault.run("erase", "erase", unknown, *WHY, "--yes"), 66, "there is no such record")
    dropped = away.vault.run("erase", "erase", str(GONE), *WHY, "--yes")
    fails(dropped, 66, "user_logins_2020_02 was dropped on 2026-01-31T12:00:00Z")
    months = {row["partition"]: row for row in away.vault.ok("admin", "partitions", "list").lines}
    assert months[away.archived]["erasures_since"] == 3
    away.vault.ok("audit", "audit", "verify")


def test_an_erasure_names_months_detached_by_hand(away: Away) -> None:
    """The erasure does not reach such a month, which has no record."""
    name = "user_logins_2021_07"
    away.vault.sql(f"CREATE TABLE {name} (LIKE user_logins)")
    result = away.vault.run("erase", "erase", "--user-id", "ann", *WHY, "--yes")
    away.vault.sql(f"DROP TABLE {name}")
    assert (
        f"not erased from: 1 month that is not in the table\n  {name} is detached" in result.stderr
    )
    assert (result.code, result.json["records"]) == (75, 1)
