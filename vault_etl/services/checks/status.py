"""The sections of `status` that `doctor` has no check for: how the work goes, and not what it rests on."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Callable
from typing import Final

from vault_etl.core.quarantine import sent_at
from vault_etl.errors import ConfigurationError, UsageError
from vault_etl.ports.queue import QueueGauge
from vault_etl.ports.status import StatusFacts
from vault_etl.services.doctor import Verdict

RATE_MINUTES: Final = 5
"""Of the rate, by the time of sending: long enough for a slow queue to show."""

_LONG_ROTATION: Final = dt.timedelta(days=1)


def queue(gauge: QueueGauge) -> Verdict:
    """What waits. The age of its oldest message is CloudWatch's alone to tell."""
    depth = gauge.depth()
    return Verdict.good(
        f"{depth.visible:,} visible, {depth.in_flight:,} in flight, {depth.delayed:,} delayed"
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
        return Verdict.bad(f"{waiting:,} waiting", hint)
    return Verdict.good("none")


def records(facts: StatusFacts, now: dt.datetime) -> Verdict:
    """What was stored last, by the time of sending in its id, and how many of the last minutes there are."""
    newest = facts.newest_record()
    if newest is None:
        return Verdict.good("none yet")
    began = now - dt.timedelta(minutes=RATE_MINUTES)
    first = uuid.UUID(int=int(began.timestamp() * 1000) << 80)
    sent, recent = sent_at(newest), facts.recent_records(first)
    when = "without a time" if sent is None else f"{sent:%Y-%m-%dT%H:%M:%SZ}"
    return Verdict.good(
        f"the newest was sent {when}; {recent / RATE_MINUTES:,.1f} a minute"
        f" over the last {RATE_MINUTES}"
    )


def quarantined(facts: StatusFacts, now: dt.datetime) -> Verdict:
    """By reason, today against yesterday. Its number is told and not judged: alerts do that (docs/metrics.md)."""
    today = now.replace(hour=0, minute=0, second=0, microsecond=0)
    found = facts.quarantined_lately(today, today - dt.timedelta(days=1))
    texts = [f"{each.reason_code} {each.today:,} ({each.yesterday:,})" for each in found]
    return Verdict.good(
        f"today (yesterday): {', '.join(texts)}" if texts else "none since yesterday"
    )


def workers(facts: StatusFacts, now: dt.datetime) -> Verdict:
    """The sessions that may ingest; of this login's own, when the last of them did something."""
    texts = []
    for each in facts.sessions():
        last = (
            ""
            if each.last is None
            else f", active {max(0, int((now - each.last).total_seconds()))} s ago"
        )
        texts.append(f"{each.login}: {each.sessions} session{'s' * (each.sessions > 1)}{last}")
    return Verdict.good("; ".join(texts) or "no session of a login that may ingest")


def rotation(facts: StatusFacts, now: dt.datetime) -> Verdict:
    """What is under way. After a day it was left half way."""
    under_way = facts.rotations()
    texts = [f"{purpose} keys since {began:%Y-%m-%dT%H:%M:%SZ}" for purpose, began in under_way]
    if any(now - began > _LONG_ROTATION for _, began in under_way):
        return Verdict.bad(", ".join(texts), "`vault-etl keys rotate` goes on with it")
    return Verdict.good(", ".join(texts) or "none under way")
