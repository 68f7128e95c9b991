"""Rotations that are killed repeatedly while ingest runs leave no trace in the end."""

from __future__ import annotations

import os
import random
import secrets
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from tests.endurance.workers.processes import listening, running, stopped
from tests.kit.declarations import BOTH_APART, widest_first
from tests.kit.processes import finish
from tests.kit.vault import Vault
from tests.kit.waiting import until
from tests.rotation.contents import Contents, contents, of_bodies, of_events
from tests.rotation.events import dated_messages, load_file
from tests.rotation.feed import Feed
from tests.rotation.kills import Kill, Killer, rotating
from tests.rotation.watch import Growth, Watch, holding

SEED_VARIABLE = "CHAOS_SEED"
WORKERS = 2
END_S = 120


@dataclass(frozen=True, slots=True)
class Form:
    """One form of the test. `rate` is the rotation's, in rows a second; 0 is as fast as it can.

    `lapse`: the claims of a killed worker are freed at once, without a wait.
    """

    rows: int
    months: int
    kills: int
    rate: int
    per_second: float
    backlog: int
    look_s: float
    lapse: bool


SHORT = Form(800, 16, kills=3, rate=300, per_second=40, backlog=100, look_s=0.05, lapse=True)
LONG = Form(40_000, 24, kills=10, rate=0, per_second=1_500, backlog=3_000, look_s=0.2, lapse=False)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("rotation_empty", BOTH_APART, indirect=True)
@pytest.mark.parametrize("purpose", ["data", "token"])
def test_a_rotation_survives_kills(rotation_empty: Vault, purpose: str) -> None:
    """Three kills beside two workers that ingest, then two rotations at once; the draw is always the same."""
    storm(rotation_empty, SHORT, purpose, int(os.environ.get(SEED_VARIABLE, "6")))


@pytest.mark.chaos
@pytest.mark.timeout(1_500)
@pytest.mark.parametrize("purpose", ["data", "token"])
def test_a_rotation_survives_many_kills(large: Vault, purpose: str) -> None:
    """Ten kills, 40,000 rows and more, both at full speed."""
    seed = int(os.environ.get(SEED_VARIABLE) or secrets.randbelow(10**6))
    storm(large, LONG, purpose, seed)


def storm(vault: Vault, form: Form, purpose: str, seed: int) -> None:
    """Load, rotate and kill, rotate twice at once, and check all invariants."""
    print(f"\nrotation: {SEED_VARIABLE}={seed}")  # noqa: T201 - to run the same again
    declaration = vault.declaration
    bulk = dated_messages(declaration, form.rows, form.months)
    load_file(vault, bulk, END_S)
    growth = Growth(vault, form.look_s)
    with Watch(vault) as watch, running(vault, "--follow", workers=WORKERS) as ingest:
        until(lambda: listening(vault, WORKERS))
        began = time.monotonic()
        since = watch.value("SELECT clock_timestamp()")
        with growth.watched(), Feed(vault, form.per_second, form.backlog) as feed:
            killer = Killer(watch, purpose, form.rows, random.Random(f"{seed} {purpose}"))
            killed = kill(vault, watch, killer, form, purpose)
            codes = two_at_once(vault, form, purpose)
        took = time.monotonic() - began
        until(
            lambda: stored(vault) == form.rows + len(feed.events),
            END_S,
            told=lambda: (
                f"{stored(vault)} of {form.rows} + {len(feed.events)} stored,"
                f" {vault.count('quarantine')} of {len(feed.others)} in quarantine"
            ),
        )
        until(lambda: vault.count("quarantine") == len(feed.others), END_S)
        assert stopped(ingest, signal.SIGTERM).code == 0
        report(form, killed, codes, feed.sent, took, growth)

        found = contents(vault)
        assert found.records == of_events([*bulk, *feed.events], declaration)
        assert found.bodies == of_bodies(feed.others)
        assert found.wrong_tokens == ()
        assert growth.grown == set()
        EXPECTED[purpose](watch, found, since, growth)
    assert {each.ended for each in killed} <= {None, 0}, killed  # a busy machine may be too late
    assert sum(each.in_the_middle for each in killed) > len(killed) // 3, killed
    assert feed.sent > 0


def stored(vault: Vault) -> int:
    """The number of records of all events."""
    return sum(vault.count(event.name) for event in vault.declaration.events)


def kill(vault: Vault, watch: Watch, killer: Killer, form: Form, purpose: str) -> list[Kill]:
    """Begin or continue, and be killed, this many times. No cut-over is made, because an analyst blocks it."""
    killed = []
    view = f"{widest_first(vault.declaration)[0].name}_masked"
    with holding(vault, f"SELECT count(*) FROM {view}", "analyst"):  # noqa: S608
        for share in killer.shares(form.kills + 1)[:-1]:  # two processes do the last part at once
            killed.append(killer.kill(rotating(vault, *options(form, purpose)), share))
            if form.lapse:
                watch.let_claims_lapse()
        if purpose == "token":  # another kill during the tries of the cut-over
            process = rotating(vault, *options(form, "token"))
            watch.until(lambda: watch.is_filled() or process.poll() is not None, END_S)
            killed.append(killer.kill(process, 0))
    return killed


def two_at_once(vault: Vault, form: Form, purpose: str) -> list[int]:
    """Two processes continue together. One finishes; the other finishes too, or says that another was faster."""
    both = [rotating(vault, *options(form, purpose)) for _ in range(2)]
    results = [finish(each, END_S) for each in both]
    codes = sorted(result.code for result in results)
    assert codes[0] == 0, [result.stderr for result in results]
    assert codes[1] in ({0} if purpose == "data" else {0, 75, 78}), [r.stderr for r in results]
    return codes


def options(form: Form, purpose: str) -> list[str]:
    """The options of the command."""
    rate = ["--rate", str(form.rate)] if form.rate else []
    return [*rate, *(["--tokens"] if purpose == "token" else [])]


def new_data_keys(watch: Watch, found: Contents, since: object, growth: Growth) -> None:
    """Every value is sealed under a key made since, and the old keys were seen retired."""
    old = {
        key for (key,) in watch.rows("SELECT key_id FROM data_keys WHERE created_at < %s", since)
    }
    active = {key for (key,) in watch.rows("SELECT key_id FROM data_keys WHERE state = 'active'")}
    assert not old & found.key_ids
    assert found.key_ids <= active  # no key that one run made and the next run retired
    assert growth.retired
    assert watch.rows("SELECT * FROM key_rotations") == []


def new_tokens(watch: Watch, found: Contents, since: object, growth: Growth) -> None:
    """Every record's token is of the new generation; old tokens are kept beside it where there were any."""
    del since, growth
    assert {active for active, _ in found.generations} == {2}
    assert {kept for _, kept in found.generations} <= {1, None}
    assert watch.rows("SELECT * FROM key_rotations") == []


EXPECTED: dict[str, Callable[[Watch, Contents, object, Growth], None]] = {
    "data": new_data_keys,
    "token": new_tokens,
}


def report(
    form: Form, killed: list[Kill], codes: list[int], sent: int, took: float, growth: Growth
) -> None:
    """Print the figures of a run."""
    where = ", ".join(
        f"{each.share:.0%} ({each.done} of {each.done + each.left} ranges)" for each in killed
    )
    print(  # noqa: T201 - the same
        f"rotation: {form.rows} rows; killed at {where}; two at once: {codes}; {sent} messages in"
        f" {took:.0f} s; {len(growth.retired)} retired keys in {growth.looks} looks"
    )
