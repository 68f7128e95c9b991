"""`duplicates` through the real command: its filters, its days, and a reader that stops reading."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Iterator

import pytest

from tests.kit.events import event
from tests.kit.processes import fails, terminal
from tests.kit.proxy import FaultProxy
from tests.kit.vault import Vault
from tests.kit.vaults import filled_vault

OFTEN, TWICE, ONCE = "198.51.100.1", "198.51.100.2", "198.51.100.3"
LOGINS = [
    (OFTEN, "ann", "2026-01-29"),
    (OFTEN, "bob", "2026-01-30"),
    (OFTEN, "bob", "2026-01-31"),
    (TWICE, "cyd", "2026-01-31"),
    (TWICE, "cyd", "2026-01-31"),
    (ONCE, "dan", "2026-01-30"),
]


@pytest.fixture(scope="module")
def six_logins(keyed: Vault, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Vault]:
    """Six logins of four users from three addresses on three days."""
    bodies = [event(ip=ip, user_id=user, create_date=day) for ip, user, day in LOGINS]
    with filled_vault(keyed, tmp_path_factory.mktemp("shared"), bodies) as vault:
        yield vault


def shared(vault: Vault, *more: str) -> list[tuple[int, int, str, str]]:
    """Return the printed columns of each token, without the token."""
    lines = vault.ok("analyst", "duplicates", "--field", "ip", *more).lines
    return [(ln["count"], ln["users"], ln["first_seen"], ln["last_seen"]) for ln in lines]


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ((), [(3, 2, "2026-01-29", "2026-01-31"), (2, 1, "2026-01-31", "2026-01-31")]),
        (("--min-users", "2"), [(3, 2, "2026-01-29", "2026-01-31")]),
        (("--min-count", "3"), [(3, 2, "2026-01-29", "2026-01-31")]),
        (("--limit", "1"), [(3, 2, "2026-01-29", "2026-01-31")]),
        (("--until", "2026-01-30"), [(2, 2, "2026-01-29", "2026-01-30")]),
        (("--since", "2026-01-31"), [(2, 1, "2026-01-31", "2026-01-31")]),
        (("--since", "2026-01-30", "--until", "2026-01-30"), []),
        (("--since", "2026-01-30", "--min-count", "2", "--min-users", "2"), []),
    ],
)
def test_filters_leave_out_what_they_say(
    six_logins: Vault, asked: tuple[str, ...], expected: list[tuple[int, int, str, str]]
) -> None:
    """By count, by distinct users, and by day: both days included."""
    assert shared(six_logins, *asked) == expected


@pytest.mark.parametrize(
    ("asked", "name"),
    [
        (("--since", "2026-02-30"), "--since"),
        (("--until", "31.01.2026"), "--until"),
        (("--min-users", "0"), "--min-users"),
        (("--min-count", "1"), "--min-count"),
    ],
)
def test_what_is_no_day_or_no_number_is_refused(
    six_logins: Vault, asked: tuple[str, ...], name: str
) -> None:
    """Exit 2, and it is named."""
    fails(six_logins.run("analyst", "duplicates", "--field", "ip", *asked), 2, name)


def test_placeholders_are_left_out_and_named_when_asked_for(vault: Vault) -> None:
    """Placeholders ("null", 0.0.0.0) are stored in every generation, and are no shared device for the analyst."""
    vault.send([event(device_id=text, ip="0.0.0.0") for text in ("null", "NULL", "d-1", "d-1")])  # noqa: S104
    vault.ok("ingest", "ingest")
    asked = ("duplicates", "--field")
    for generation in (1, 2):
        if generation > 1:
            vault.ok("re-encrypt", "keys", "rotate", "--tokens", "--yes")
        assert [line["count"] for line in vault.ok("analyst", *asked, "device_id").lines] == [2]
        assert vault.ok("analyst", *asked, "ip").lines == []
        shown = vault.ok("analyst", *asked, "device_id", "--placeholders").lines
        assert {(line["placeholder"], line["count"]) for line in shown} == {("null", 2), (None, 2)}
        (address,) = vault.ok("analyst", *asked, "ip", "--placeholders").lines
        assert (address["placeholder"], address["count"]) == ("0.0.0.0", 4)  # noqa: S104


def test_duplicates_needs_no_key_and_no_credentials(six_logins: Vault) -> None:
    """The command does not call AWS."""
    none: dict[str, str | None] = {"AWS_ACCESS_KEY_ID": None, "AWS_SECRET_ACCESS_KEY": None}
    with FaultProxy(six_logins.endpoint) as aws:
        asked = ("duplicates", "--field", "ip")
        six_logins.ok("analyst", *asked, extra={**none, "AWS_ENDPOINT_URL": aws.url})
    assert aws.calls == []


def test_a_terminal_shows_what_is_read_and_for_how_long(six_logins: Vault) -> None:
    """One statement has no progress to show; a pipe gets no such line."""
    asked = ("analyst", "duplicates", "--field", "ip")
    with terminal(six_logins, *asked) as shown:
        shown.screen.expect(r"grouping about [0-9,]+ records.*0:00:0")
        assert "2026-01-29" in shown.finish().stdout
    with terminal(six_logins, *asked, "--quiet") as quiet:
        assert "grouping" not in quiet.finish().stdout
    assert six_logins.ok(*asked).stderr == ""


def test_counts_are_exact_while_a_token_rotation_backfills(six_logins: Vault) -> None:
    """Some rows have their next tokens already: no group is torn apart, and none counted twice."""
    before = shared(six_logins)
    six_logins.sql(
        "UPDATE user_logins SET next_masked_ip = md5(masked_ip::text)::uuid, next_token_generation = 2"
        " WHERE create_date = '2026-01-31'"
    )
    try:
        assert shared(six_logins) == before
    finally:
        six_logins.sql("UPDATE user_logins SET next_masked_ip = NULL, next_token_generation = NULL")


def test_a_pager_that_waits_blocks_no_session(six_logins: Vault) -> None:
    """While the output is not read, a cut-over can lock the table at once; then all rows come."""
    rows = 20_000
    six_logins.sql(
        "INSERT INTO user_logins (record_id, user_id, device_type, masked_device_id, create_date)"
        " SELECT (lpad('', 20, '0') || lpad(i::text, 12, '0'))::uuid, 'u', 'd',"
        " md5((i / 2)::text)::uuid, '2026-01-31' FROM generate_series(2, %s) AS i",
        2 * rows + 1,
    )
    try:
        with subprocess.Popen(
            six_logins.command("duplicates", "--field", "device_id", "--limit", "1000000"),
            env=six_logins.environment("analyst"),
            cwd=six_logins.home,
            stdout=subprocess.PIPE,
            text=True,
        ) as process:
            guard = threading.Timer(60, process.kill)
            guard.start()
            assert process.stdout is not None
            first = process.stdout.readline()
            six_logins.sql(
                "BEGIN; LOCK TABLE user_logins IN ACCESS EXCLUSIVE MODE NOWAIT; ROLLBACK"
            )
            assert process.poll() is None  # the pipe is full: it has more to say
            rest = process.stdout.readlines()
            guard.cancel()
        assert process.returncode == 0
        assert first
        assert len(rest) == rows
    finally:
        six_logins.sql("DELETE FROM user_logins WHERE user_id = 'u'")
