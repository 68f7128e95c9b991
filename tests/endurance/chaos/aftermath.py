"""Claims that must hold after the chaos: by record, by count, and in every byte that was written."""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.attacks.leaks.search import base64_inside, found
from tests.endurance.chaos.site import Site
from tests.endurance.chaos.traffic import Sent
from tests.kit.dumps import dump
from vault_etl.records.messages import Outcome

SETTLED = ("stored", "duplicates", "quarantined", "already_quarantined")
SAMPLE = 20
"""Of the sent values, searched for in every form; the others by what they have in common."""

PREFIXES = ("198.18.", "198.19.", "2001:db8:", "person-", "+4144")
"""Of all made-up addresses, e-mail addresses and telephone numbers."""

DEVICE = re.compile(rb"(?<![\w-])\d{3}-\d{2}-\d{4}(?![\w-])")
DEVICE_HEX = re.compile(rb"(?:3\d){3}2d(?:3\d){2}2d(?:3\d){4}")


def every_message_is_there_once(site: Site, sent: Iterable[Sent]) -> None:
    """Each event is one record, each other message one quarantined body, and there is nothing else."""
    tails: dict[str, Counter[str]] = {}
    for message in sent:
        table = message.event.event.name if message.event else "quarantine"
        tails.setdefault(table, Counter()).update([message.tail])
    assert tails.keys() == {"quarantine", *(event.name for event in site.declaration.events)}
    for table, expected in tails.items():
        rows = site.vault.sql(f"SELECT record_id FROM {table}")  # noqa: S608 - a name of ours
        assert Counter(record_id.hex[12:] for (record_id,) in rows) == expected


def the_sums_hold(summary: Mapping[str, Any]) -> None:
    """The law: received = stored + duplicates + quarantined + already_quarantined + given_back."""
    settled = sum(summary[outcome] for outcome in SETTLED)
    assert summary["received"] == settled + summary["given_back"]
    assert summary["deleted"] <= settled


def no_batch_tells_too_much(site: Site, lines: Iterable[Mapping[str, Any]]) -> None:
    """A batch's outcomes are its messages; and together they stored no more than there is.

    Less can be told than was done: who is killed between a commit and its report tells nothing.
    """
    told: Counter[str] = Counter()
    batches = [line for line in lines if line["event"] == "batch"]
    assert batches
    for line in batches:
        assert line["messages"] == sum(line[outcome] for outcome in Outcome)
        told.update({outcome: line[outcome] for outcome in Outcome})
    assert told[Outcome.STORED] <= site.stored()
    assert told[Outcome.QUARANTINED] <= site.vault.count("quarantine")


def nothing_is_readable(site: Site, told: bytes, sent: Iterable[Sent]) -> None:
    """No personal value, in any form, in a dump, what was `told`, or any file left behind."""
    sent = list(sent)
    values = [
        value.expose().decode()
        for message in sent
        if message.event
        for value in message.event.personal.values()
    ]
    written = told + site.vault.server.log.read_bytes() + files_of(site.vault.home)
    dumped = dump(site.vault)
    bodies = "\n".join(message.body for message in sent).encode()
    assert readable(values, bodies)  # the search finds what is there
    assert readable(values, dumped) == set()
    assert readable(values, written) == set()


def readable(values: Sequence[str], haystack: bytes) -> set[str]:
    """Return the made-up values that the bytes contain."""
    seen = {value for value, _ in found(random.Random(0).sample(values, SAMPLE), haystack)}
    for prefix in PREFIXES:
        forms = [prefix.encode(), prefix.encode().hex().encode()]
        forms += [base64_inside(prefix.encode(), before).encode() for before in range(3)]
        seen |= {prefix for form in forms if form in haystack}
    for pattern in (DEVICE, DEVICE_HEX):
        seen |= {match.group().decode() for match in pattern.finditer(haystack)}
    return seen


def files_of(home: Path) -> bytes:
    """Read the files that the commands left in their home, which is their working directory; the database is dumped."""
    return b"".join(
        path.read_bytes()
        for path in home.rglob("*")
        if path.is_file() and "postgres" not in path.relative_to(home).parts
    )
