"""The sections of `status` about the work itself: queue, commits, quarantine, workers and rotations."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from vault_etl.base.errors import ConfigurationError, UsageError
from vault_etl.doctor.diagnose import Verdict
from vault_etl.ingest.queue import QueueGauge

_LONG_ROTATION: Final = dt.timedelta(days=1)
_SHOWN: Final = 4
"""The number of reasons in the text; the values have all reasons."""

_UNITS: Final = (("days", 86_400), ("h", 3_600), ("min", 60), ("s", 1))


@dataclass(frozen=True, slots=True)
class Commits:
    """The last commit of a worker, and the messages committed recently. All times are the database's."""

    last: dt.datetime
    newest_sent: dt.datetime | None
    """The time at which the newest message of the last commit was sent; None: unknown."""
    now: dt.datetime
    since: dt.datetime
    messages: int
    """Messages committed from `since` to `now`."""

    @property
    def per_second(self) -> float:
        """The rate of commits from `since` to `now`."""
        return self.messages / max((self.now - self.since).total_seconds(), 1.0)


@dataclass(frozen=True, slots=True)
class QuarantinedLately:
    """Messages that were quarantined for one reason, today and yesterday (UTC)."""

    reason_code: str
    today: int
    yesterday: int


@dataclass(frozen=True, slots=True)
class Sessions:
    """The sessions of a login that may ingest."""

    login: str
    sessions: int
    last: dt.datetime | None
    """The time of the last activity; None if the owner may not see it."""


def queue(gauge: QueueGauge) -> Verdict:
    """Report the messages in the queue. Only CloudWatch has the age of the oldest message."""
    depth = gauge.depth()
    return Verdict.good(
        f"{depth.visible:,} visible, {depth.in_flight:,} in flight, {depth.delayed:,} delayed",
        visible=depth.visible,
        in_flight=depth.in_flight,
        delayed=depth.delayed,
    )


def dead_letters(find: Callable[[], QueueGauge]) -> Verdict:
    """Check that the dead-letter queue is empty: each message in it was received five times and never committed."""
    try:
        depth = find().depth()
    except UsageError:
        return Verdict.unknown("FIFO: `ingest --dead-letters` does not read one")
    except ConfigurationError as error:
        return Verdict.bad(str(error), error.hint)
    waiting = depth.visible + depth.in_flight + depth.delayed
    if waiting:
        hint = "remove the cause, then `vault-etl ingest --dead-letters`"
        return Verdict.bad(f"{waiting:,} waiting", hint, waiting=waiting)
    return Verdict.good("none", waiting=0)


def commits(found: Commits | None) -> Verdict:
    """Report the last commit of a worker, and the rate of the last minutes. None: no commit was ever made."""
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


def lag(found: Commits | None) -> Verdict:
    """Report the age that the newest message of the last commit had at that commit."""
    if found is None:
        return Verdict.good("nothing was committed yet", seconds=None, newest_sent=None)
    if found.newest_sent is None:
        return Verdict.good(
            "the last commit had only lines without a day", seconds=None, newest_sent=None
        )
    age = max(dt.timedelta(), found.last - found.newest_sent)
    return Verdict.good(
        f"the newest message was {_ago(age)} old at the last commit",
        seconds=age.total_seconds(),
        newest_sent=found.newest_sent,
    )


def quarantined(found: Sequence[QuarantinedLately]) -> Verdict:
    """Report quarantined messages by reason, today and yesterday. Alerts judge the numbers (docs/metrics.md)."""
    texts = [f"{each.reason_code} {each.today:,} ({each.yesterday:,})" for each in found[:_SHOWN]]
    more = f", and {len(found) - _SHOWN} more reasons" if len(found) > _SHOWN else ""
    return Verdict.good(
        f"today (yesterday): {', '.join(texts)}{more}" if texts else "none since yesterday",
        today={each.reason_code: each.today for each in found if each.today},
        yesterday={each.reason_code: each.yesterday for each in found if each.yesterday},
    )


def workers(found: Sequence[Sessions], now: dt.datetime) -> Verdict:
    """Report the sessions of each login that may ingest, and their last activity."""
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


def rotation(found: Sequence[tuple[str, dt.datetime]], now: dt.datetime) -> Verdict:
    """Check that no rotation of these (purpose and begin) has been under way for more than a day."""
    under_way = [{"purpose": purpose, "began_at": began} for purpose, began in found]
    texts = [f"{purpose} keys since {_moment(began)}" for purpose, began in found]
    if any(now - began > _LONG_ROTATION for _, began in found):
        hint = "`vault-etl keys rotate` continues the rotation"
        return Verdict.bad(", ".join(texts), hint, under_way=under_way)
    return Verdict.good(", ".join(texts) or "none under way", under_way=under_way)


def _moment(moment: dt.datetime) -> str:
    return f"{moment.astimezone(dt.UTC):%Y-%m-%dT%H:%M:%SZ}"


def _ago(age: dt.timedelta) -> str:
    """Format an age in the largest unit of which it has two or more. Clocks differ: a negative age counts as 0 s."""
    seconds = max(0, int(age.total_seconds()))
    unit, size = next(each for each in _UNITS if seconds >= 2 * each[1] or each is _UNITS[-1])
    return f"{seconds // size} {unit}"
