"""The sections of `status` that `doctor` has no check for: how the work goes, and not what it rests on."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Final

from vault_etl.base.errors import ConfigurationError, UsageError
from vault_etl.doctor.doctor import Verdict
from vault_etl.doctor.status import StatusFacts
from vault_etl.ingest.queue import QueueGauge

_LONG_ROTATION: Final = dt.timedelta(days=1)
_SHOWN: Final = 4
"""Reasons in the text; the values have all of them."""

_UNITS: Final = (("days", 86_400), ("h", 3_600), ("min", 60), ("s", 1))


def queue(gauge: QueueGauge) -> Verdict:
    """What waits. The age of its oldest message is CloudWatch's alone to tell."""
    depth = gauge.depth()
    return Verdict.good(
        f"{depth.visible:,} visible, {depth.in_flight:,} in flight, {depth.delayed:,} delayed",
        visible=depth.visible,
        in_flight=depth.in_flight,
        delayed=depth.delayed,
    )


def dead_letters(find: Callable[[], QueueGauge]) -> Verdict:
    """Not ok with a single one: it was received five times, and never committed."""
    try:
        depth = find().depth()
    except UsageError:
        return Verdict.unknown("FIFO: `ingest --dead-letters` does not read one")
    except ConfigurationError as error:
        return Verdict.bad(str(error), error.hint)
    waiting = depth.visible + depth.in_flight + depth.delayed
    if waiting:
        hint = "see to the cause, then `vault-etl ingest --dead-letters`"
        return Verdict.bad(f"{waiting:,} waiting", hint, waiting=waiting)
    return Verdict.good("none", waiting=0)


def commits(facts: StatusFacts) -> Verdict:
    """When a worker committed last, and how much was committed in the last minutes."""
    found = facts.commits()
    if found is None:
        return Verdict.good("none yet", last_commit=None, messages_per_second=0.0)
    minutes = int((found.now - found.since).total_seconds() // 60)
    return Verdict.good(
        f"last {_moment(found.last)} ({_ago(found.now - found.last)} ago),"
        f" {found.per_second:,.1f}/s over {minutes} min",
        last_commit=found.last,
        messages_per_second=round(found.per_second, 3),
        since=found.since,
        messages=found.messages,
    )


def lag(facts: StatusFacts) -> Verdict:
    """How old the newest message of the last commit was by then."""
    found = facts.commits()
    if found is None:
        return Verdict.good("nothing was committed yet", seconds=None, newest_sent=None)
    if found.newest_sent is None:
        return Verdict.good(
            "the last commit was of lines without a day", seconds=None, newest_sent=None
        )
    age = max(dt.timedelta(), found.last - found.newest_sent)
    return Verdict.good(
        f"the newest message was {_ago(age)} old at the last commit",
        seconds=age.total_seconds(),
        newest_sent=found.newest_sent,
    )


def quarantined(facts: StatusFacts, now: dt.datetime) -> Verdict:
    """By reason, today against yesterday. Its number is told and not judged: alerts do that (docs/metrics.md)."""
    today = now.replace(hour=0, minute=0, second=0, microsecond=0)
    found = facts.quarantined_lately(today, today - dt.timedelta(days=1))
    texts = [f"{each.reason_code} {each.today:,} ({each.yesterday:,})" for each in found[:_SHOWN]]
    more = f", and {len(found) - _SHOWN} more reasons" if len(found) > _SHOWN else ""
    return Verdict.good(
        f"today (yesterday): {', '.join(texts)}{more}" if texts else "none since yesterday",
        today={each.reason_code: each.today for each in found if each.today},
        yesterday={each.reason_code: each.yesterday for each in found if each.yesterday},
    )


def workers(facts: StatusFacts, now: dt.datetime) -> Verdict:
    """The sessions that may ingest, and when the last of them did something."""
    found = facts.sessions()
    texts = []
    for each in found:
        last = "" if each.last is None else f", active {_ago(now - each.last)} ago"
        texts.append(f"{each.login}: {each.sessions} session{'s' * (each.sessions > 1)}{last}")
    return Verdict.good(
        "; ".join(texts) or "no session of a login that may ingest",
        logins=[
            {"login": each.login, "sessions": each.sessions, "last_active": each.last}
            for each in found
        ],
    )


def rotation(facts: StatusFacts, now: dt.datetime) -> Verdict:
    """What is under way. After a day it was left half way."""
    found = facts.rotations()
    under_way = [{"purpose": purpose, "began_at": began} for purpose, began in found]
    texts = [f"{purpose} keys since {_moment(began)}" for purpose, began in found]
    if any(now - began > _LONG_ROTATION for _, began in found):
        hint = "`vault-etl keys rotate` goes on with it"
        return Verdict.bad(", ".join(texts), hint, under_way=under_way)
    return Verdict.good(", ".join(texts) or "none under way", under_way=under_way)


def _moment(moment: dt.datetime) -> str:
    return f"{moment.astimezone(dt.UTC):%Y-%m-%dT%H:%M:%SZ}"


def _ago(age: dt.timedelta) -> str:
    """In the largest unit of which there are two or more: clocks differ, so none is below zero."""
    seconds = max(0, int(age.total_seconds()))
    unit, size = next(each for each in _UNITS if seconds >= 2 * each[1] or each is _UNITS[-1])
    return f"{seconds // size} {unit}"
