"""Login events in several months, each of another user, and ways to load them into a vault."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterable

from tests.kit.events import event
from tests.kit.messages import event_of, message, texts_of
from tests.kit.vault import Vault
from vault_etl.declaration.model import Declaration

SETTINGS = {
    "VAULT_ETL_DRAIN_WAIT": "0",
    "VAULT_ETL_FOLLOW_WAIT": "1",
    "VAULT_ETL_LINGER": "0.2",
    "VAULT_ETL_RECEIVERS": "2",
}


def dated_events(count: int, months: int, *, prefix: str = "u", back: int = 0) -> list[str]:
    """Make `count` events, equally many in each of `months` months, the last `back` months ago.

    The users are called `prefix`-0 and so on. Two of them share an address, and three a device.
    """
    return [
        json.dumps(
            json.loads(
                event(
                    user_id=f"{prefix}-{n}",
                    ip=f"198.18.{n // 2 // 250}.{n // 2 % 250}",
                    device_id=f"dev-{n // 3:05}",
                )
            )
            | {"create_date": month(back + n % months).isoformat()}
        )
        for n in range(count)
    ]


def dated_messages(declaration: Declaration, count: int, months: int) -> list[str]:
    """Make `count` messages of the declared events in turn, equally many in each of the last `months` months.

    Two messages in a row, of two events, share their values.
    """
    made = []
    for n in range(count):
        event = event_of(declaration, n)
        body = message(event, f"u-{n}", texts_of(event, n // 2), month(n % months))
        made.append(body.decode())
    return made


def month(back: int) -> dt.date:
    """The first day of the month, this many months ago."""
    today = dt.datetime.now(dt.UTC).date()
    months = today.year * 12 + today.month - 1 - back
    return dt.date(months // 12, months % 12 + 1, 1)


def load_file(vault: Vault, bodies: Iterable[str], seconds: float = 120) -> None:
    """Load bodies as lines of a file, valid or not."""
    lines = vault.home / "events.jsonl"
    lines.write_text("\n".join(bodies), encoding="utf-8")
    vault.ok("ingest", "ingest", "--file", lines.name, "--keep-going", seconds=seconds)


MONTHS = 4
"""The months of the records: each month is a range of its own."""


RECORDS = 24
