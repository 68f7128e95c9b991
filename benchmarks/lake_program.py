"""Work on the Parquet files of a folder, in one process or a pool of them: the program that the bench `lake` times.

.venv/bin/python -m benchmarks.lake_program VERB FROM TO PROCESSES

`copied` reads files and writes them again: the limit of the others, which seal, open and rotate as the lake does. The
keys are the same in each run, so that no KMS and no database is asked. Prints one object of JSON, of `Work`.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import itertools
import json
import multiprocessing
import re
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.lake_keys import BenchKeys
from tests.kit.fakes.receipts import any_receipt
from vault_etl.archives.parquet_parts import GROUP_ROWS, part_writer
from vault_etl.audit.opening import Opener
from vault_etl.crypto.record_id import first_millisecond, record_id_of_line
from vault_etl.declaration.read import read_declaration
from vault_etl.event.events import EventParser
from vault_etl.event.parsed_event import ParsedEvent
from vault_etl.lake.parquet_batches import BatchSealer
from vault_etl.lake.parquet_opening import BatchOpener, BatchRotator
from vault_etl.lake.parquet_plain import PlainRows

Batches = Iterator[Any]
"""Record batches of pyarrow, which has no types."""

_DECLARATION: Final = read_declaration(None)
_EVENT: Final = _DECLARATION.active_events[0]
_KEYS: Final = BenchKeys(_DECLARATION)
_DAY_MS: Final = first_millisecond(dt.date(2026, 1, 15))
_LOCALES: Final = ("RU", "PH", "ID", "CN", "FR", "US", "BR", "PL", "PT")


@dataclass(frozen=True, slots=True)
class Work:
    """The work on some files, without the start: seconds are of the whole run, CPU and memory of its processes."""

    rows: int
    seconds: float
    cpu: float
    bytes: int
    peak_bytes: int


def made_up(path: Path, rows: int, first: int) -> None:
    """Write a file of login events, always the same for the number of the first one."""
    names = (*_PLAINTEXT,)
    schema = pa.schema([pa.field(name, pa.string()) for name in names])
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        for begin in range(first, first + rows, GROUP_ROWS):
            numbers = range(begin, min(begin + GROUP_ROWS, first + rows))
            columns = [[make(number) for number in numbers] for make in _PLAINTEXT.values()]
            writer.write_batch(pa.record_batch(columns, schema=schema))


_PLAINTEXT: Final[dict[str, Callable[[int], str]]] = {
    "user_id": lambda n: f"user-{n * 7919 % 200_000}",
    "app_version": lambda n: f"2.3.{n % 40}",
    "device_type": lambda n: ("android", "ios")[n % 2],
    "ip": lambda n: f"198.{18 + n % 2}.{n // 2 % 256}.{n // 512 % 256}",
    "locale": lambda n: _LOCALES[n % len(_LOCALES)],
    "device_id": lambda n: f"{n % 1000:03}-{n // 1000 % 100:02}-{n // 100_000 % 10_000:04}",
}


def copied(source: Path) -> Batches:
    """Return the rows as they are. One row group is in memory: `iter_batches` would read the file ahead."""
    with pq.ParquetFile(source) as file:
        for group in range(file.num_row_groups):
            yield from file.read_row_group(group, use_threads=False).to_batches()


def sealed(source: Path) -> Batches:
    """Seal rows of plaintext, as `lake seal` reads them."""
    seal = BatchSealer(_EVENT, _KEYS.sealer(1), _KEYS.tokenizer(1)).seal
    parse, source_id = (
        EventParser(_DECLARATION, event=_EVENT.name, of_lines=True).parse,
        uuid.UUID(int=1),
    )
    rows: list[tuple[uuid.UUID, ParsedEvent]] = []
    with source.open("rb") as file:
        for piece in PlainRows(file, source.name, _EVENT).pieces():
            for number, record in piece:
                event = parse(record)
                if not isinstance(event, ParsedEvent):
                    sys.exit(f"row {number} is no event: {event.reason}")
                rows.append((record_id_of_line(source_id, number, _DAY_MS), event))
            if len(rows) >= GROUP_ROWS:
                yield seal(rows)
                rows = []
    if rows:
        yield seal(rows)


def opened(source: Path) -> Batches:
    """Open both values of sealed rows."""
    open_ = BatchOpener(_EVENT, _DECLARATION.field_names, Opener(any_receipt()), _KEYS.ring).open
    for batch in copied(source):
        yield open_(batch).expose()


def rotated(source: Path) -> Batches:
    """Give sealed rows new ciphertexts, and the tokens of another generation."""
    opener, keys = Opener(any_receipt()), _KEYS.ring
    rotate = BatchRotator(_EVENT, opener, keys, _KEYS.sealer(2), _KEYS.tokenizer(2)).rotate
    for batch in copied(source):
        yield rotate(batch)


VERBS: Final[dict[str, Callable[[Path], Batches]]] = {
    verb.__name__: verb for verb in (copied, sealed, opened, rotated)
}


def work(verb: str, source: Path, target: Path) -> Work:
    """Do it to one file."""
    began, cpu, rows = time.monotonic(), time.process_time(), 0
    batches = VERBS[verb](source)
    first = next(batches)
    with part_writer(target, first.schema) as writer:
        for batch in itertools.chain([first], batches):
            writer.write_batch(batch)
            rows += batch.num_rows
    spent = time.process_time() - cpu
    return Work(rows, time.monotonic() - began, spent, target.stat().st_size, _peak_bytes())


def _work(task: tuple[str, Path, Path]) -> Work:
    return work(*task)


def main() -> None:
    """Do it to each file of a folder, and print what it took."""
    verb, source, target, processes = sys.argv[1:]
    pa.set_cpu_count(1)
    tasks = [(verb, path, Path(target) / path.name) for path in sorted(Path(source).iterdir())]
    began = time.monotonic()
    if processes == "1":
        done = [_work(task) for task in tasks]
    else:
        with multiprocessing.get_context("fork").Pool(int(processes)) as pool:
            done = pool.map(_work, tasks, chunksize=1)
    whole = Work(
        sum(each.rows for each in done),
        time.monotonic() - began,
        sum(each.cpu for each in done),
        sum(each.bytes for each in done),
        max(each.peak_bytes for each in done),
    )
    sys.stdout.write(json.dumps(dataclasses.asdict(whole)))


def _peak_bytes() -> int:
    """Return the most memory that this process had since it began its program; Linux."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    (kilobytes,) = re.findall(r"VmHWM:\s+(\d+) kB", status)
    return 1024 * int(kilobytes)


if __name__ == "__main__":
    main()
