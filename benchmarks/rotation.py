"""Rotation beside the bare statement that writes as many bytes: rows a second, and CPU.

Loads made-up events by the real command into an embedded Postgres that keeps what it acknowledges, copies the database,
and then times, one after the other, on equal copies:

- one bare `UPDATE … FROM` that gives every row new ciphertexts, `keys rotate --yes`, and two of them at once, which
  share the rows;
- one bare `UPDATE … FROM` that gives every row both its next tokens, and `keys rotate --tokens --yes`.

Rotation's time is that of the whole process, its plan, its check and its last read of the table included. The CPU of a
row is that of the commands and of the server's sessions.
"""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

from benchmarks.results import Result, median_results
from benchmarks.size import Size
from benchmarks.stack import Spent, Stack, embedded_stack
from vault_etl.event.made_up_events import made_up_events

DAYS: Final = 60
"""Over which the events are spread: three partitions, as in the life of a table."""

_CIPHERTEXTS: Final = (
    """CREATE TABLE vault_etl.bare AS SELECT record_id,
        substring(ip_ciphertext FROM 1 FOR 17) || reverse(substring(ip_ciphertext FROM 18)) AS ip,
        substring(device_id_ciphertext FROM 1 FOR 17)
            || reverse(substring(device_id_ciphertext FROM 18)) AS device_id
    FROM vault_etl.user_logins""",
    """UPDATE vault_etl.user_logins AS r SET ip_ciphertext = b.ip, device_id_ciphertext = b.device_id
    FROM vault_etl.bare AS b WHERE b.record_id = r.record_id""",
)
_TOKENS: Final = (
    """CREATE TABLE vault_etl.bare AS SELECT record_id,
        md5(masked_ip::text)::uuid AS ip, md5(masked_device_id::text)::uuid AS device_id
    FROM vault_etl.user_logins""",
    """UPDATE vault_etl.user_logins AS r SET next_masked_ip = b.ip, next_masked_device_id = b.device_id,
        next_token_generation = 2::smallint
    FROM vault_etl.bare AS b WHERE b.record_id = r.record_id""",
)

ROWS_TIMES: Final = 4
"""More rows than other benches have, since the start of a command is a part of each run: about a second of CPU."""

BARE_SEALS: Final = "bare UPDATE of both ciphertexts"
BARE_TOKENS: Final = "bare UPDATE of both next tokens"
ROTATE: Final = "keys rotate"
TWICE: Final = "two keys rotate at once"
TOKENS: Final = "keys rotate --tokens"
PAIRS: Final = ((ROTATE, BARE_SEALS), (TWICE, BARE_SEALS), (TOKENS, BARE_TOKENS))


def run(size: Size) -> Iterator[Result]:
    """Run all five, `size.rounds` times in turn."""
    samples: defaultdict[str, list[Mapping[str, float]]] = defaultdict(list)
    with embedded_stack() as stack:
        rows = ROWS_TIMES * size.rows
        fill(stack, stack.directory, rows)
        for number in range(size.rounds):
            for name, act in ACTS.items():
                with stack.copy("vault_etl") as database:
                    spent = act(stack, database)
                samples[name].append(
                    {
                        "rows/s": rows / spent.seconds,
                        "CPU µs a row": spent.cpu / rows * 1e6,
                    }
                )
            size.say(f"round {number + 1} of {size.rounds}")
    yield from median_results("rotation", samples, PAIRS)


def fill(stack: Stack, directory: Path, rows: int) -> None:
    """Load made-up events, in the order of their days."""
    path = directory / "events.jsonl"
    first = dt.datetime.now(dt.UTC).date() - dt.timedelta(days=DAYS)
    with path.open("w", encoding="utf-8") as file:
        for index, body in enumerate(made_up_events(rows, seed=1, messy_every=0)):
            day = first + dt.timedelta(days=index * DAYS // rows)
            file.write(f'{body[:-1]}, "create_date": "{day}"}}\n')
    load = ("ingest", "--quiet", "--file", str(path))
    stack.command(*load, extra=stack.on("vault_etl"))
    path.unlink()


def update(stack: Stack, database: str, made: str, statement: str) -> Spent:
    """Make the new bytes, and then write them in one statement."""
    stack.sql(database, made, "VACUUM ANALYZE", "CHECKPOINT")
    return stack.spent(lambda: stack.sql(database, statement))


def rotate(stack: Stack, database: str, *options: str) -> Spent:
    """Rotate in one process."""
    stack.sql(database, "VACUUM ANALYZE", "CHECKPOINT")
    arguments = ("keys", "rotate", "--yes", "--quiet", *options)
    return stack.spent(lambda: stack.command(*arguments, extra=stack.on(database)))


def rotate_twice_at_once(stack: Stack, database: str) -> Spent:
    """Two processes, until the later of them ended."""
    stack.sql(database, "VACUUM ANALYZE", "CHECKPOINT")

    def act() -> None:
        arguments = ("keys", "rotate", "--yes", "--quiet")
        settings = stack.on(database)
        with ThreadPoolExecutor(2) as pool:
            runs = [pool.submit(stack.command, *arguments, extra=settings) for _ in range(2)]
        for run in runs:
            run.result()

    return stack.spent(act)


ACTS: Final[Mapping[str, Callable[[Stack, str], Spent]]] = {
    BARE_SEALS: lambda stack, database: update(stack, database, *_CIPHERTEXTS),
    ROTATE: rotate,
    TWICE: rotate_twice_at_once,
    BARE_TOKENS: lambda stack, database: update(stack, database, *_TOKENS),
    TOKENS: lambda stack, database: rotate(stack, database, "--tokens"),
}
