#!/usr/bin/env python3
"""Writes docs/benchmarks.md and its plots from benchmarks/results/.

.venv/bin/python docs/generate_benchmarks.py
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any, Final
from xml.sax.saxutils import escape

from benchmarks.__main__ import ALWAYS
from benchmarks.results import LATEST, RUNS

HERE: Final = Path(__file__).parent
PAGE: Final = HERE / "benchmarks.md"

Row = Mapping[str, Any]
"""A member of `latest.json`."""

INTRODUCTION: Final = """# Benchmarks

<!-- Written by docs/generate_benchmarks.py from benchmarks/results/. `make bench` runs both. -->

`make bench` measures all of this page but its sections on growth again, each subject beside its peer in one run; the
runs of this page took {minutes} minutes. `make bench-quick` gives a first impression. A ratio is the subject's value
divided by the peer's. A figure alone says more about the machine than about the code.
[benchmarks/README.md](../benchmarks/README.md) has the measurements that were made once, for a decision.
"""

SECTIONS: Final = {
    "ingest": """## Ingest

The queue is a process that speaks SQS's JSON protocol. Its receipt handles, digests and headers have real sizes, and
it delays each answer by 0, 5, 10 or 20 ms. Once all is deleted, it answers polls at once: no program waits for its
end. Postgres keeps what it acknowledges. Each program shares the machine with
both. Each run begins with a full queue and an empty table, and its rows are counted at the end.

- A program is measured while it is warm: imports, first connections and what Node compiles are not in it.
- Events a second are counted from the deletion of a quarter of the messages to that of three quarters.
- CPU is of the client's processes, less the CPU of a run on a quarter of the messages. The CPU of a run on an empty
  queue has its own lines.
- A run of vault-etl loads {events} events, four times what it has in flight. A peer loads {half}, and half of them with
  a delay or TLS; {few} where each is a transaction.

The programs:

- **a message at a time**: boto3, SHA-256 in the place of tokens, `INSERT` and commit for each message, into a table
  without an index.
- **boto3 threads**: a thread receives 100 messages, makes tokens (HMAC) and ciphertexts (AES-256-GCM), writes them by
  `execute_values` in one transaction, and deletes them, ten a call.
- **sqs-consumer**: Node with `sqs-consumer`, `@aws-sdk/client-sqs` and `pg`. A consumer makes the same tokens and
  ciphertexts, and writes ten messages by one `INSERT` of arrays.
- **vault-etl**: the command `ingest` with its defaults. The database also checks each row, counts the values of each
  key and fences keys, which no peer does.

The second and the third write the columns and indexes of vault-etl's table. They have four threads or consumers, and
two more for each millisecond of delay, so that they stay busy too.
""",
    "start": """## Start

Whole processes, beside a Python that does nothing: with bytecode in the cache, and the first time, when Python compiles
each module. `find` and `reveal` ask Postgres, and moto in the place of KMS and STS.
""",
    "loading": """## Loading

The server's work for a message that the loader of `ingest` stores, in batches of 1,000, beside a bare `COPY` of the new
rows alone into an equal table, in as many transactions and without triggers. Of the messages 0, 1 or 20 % were stored
before and come again. Indexes and checks are the same.
""",
    "rotation": """## Rotation

`keys rotate` and `keys rotate --tokens` beside one bare `UPDATE … FROM` that writes as many bytes into the same rows
of an equal copy. The time is that of the whole command; the CPU is of the command and of the server's sessions.
""",
    "lake": """## Lake

Files of made-up login events, sealed, opened and rotated by the functions that the library, the commands and Spark
share, in one process and in one for each processor. The peer is the limit: pyarrow reads the sealed files and writes
them again. The keys are in memory: neither KMS nor Postgres is asked, and the start of Python is not in it. A row has
four plain values and two personal ones.
""",
    "lake-spark": """## A lake on Spark

`python -m benchmarks lake-spark --record` seals, opens and rotates files of made-up login events by `vault_etl.spark`,
on a cluster of two executors with one core each, on this machine. The peer is Spark, which reads the plaintext and
writes it again. The CPU is of all processes of the cluster. Postgres and KMS are the embedded stack's.
""",
    "lake-growth": """## Growth of a lake

`python -m benchmarks lake-growth --size huge --record` does the same to one file of more and more rows, in one process,
which took {minutes} minutes. Batches of 10,000 rows are in memory at a time.
""",
    "growth": """## Growth

`python -m benchmarks growth --size huge --record` measures each command on vaults of more and more rows, which took
{minutes} minutes. A vault has 24 months, a data key for a thousand rows, and a tenth as many entries of the audit log.
Pages are the 8 KiB pages that the server read; they do not depend on the machine. CPU is of the command and of the
server's sessions, and memory is the command's.

`duplicates` groups all rows, `audit verify` checks all entries, and `keys list` lists all keys. An ingest writes into
indexes that are deeper in a larger vault. `find` and `erase` cost the same in any vault. Memory grows with a list of
keys, and by a few bytes for each message of a longer queue; a short queue fills no buffer.
""",
}

METRIC_PLOTS: Final = {
    "events/s": (
        "bench-ingest-rate.svg",
        "Events a second, by the delay of each answer of the queue",
    ),
    "client CPU µs an event": ("bench-ingest-cpu.svg", "CPU of the client, microseconds an event"),
}

GROWTH_PLOT: Final = (
    "bench-growth.svg",
    "Pages that each command reads, as a multiple of those on the smallest vault",
)

_DIGITS: Final = 2
"""Of a figure that is not whole."""
_WIDTH: Final = 870
_BAR: Final = 16
_LEFT: Final = 210
_RIGHT: Final = 90
_COLOURS: Final = ("#00796b", "#80cbc4", "#3949ab", "#ef6c00", "#757575")
_STYLE: Final = (
    'text { font: 13px system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; fill: #212121 }'
    " .g { font-weight: 600 } .l { text-anchor: end }"
)


def page(rows: Sequence[Row], runs: Mapping[str, Row]) -> str:
    """Return the text of the page."""
    minutes = sum(run["seconds"] for name, run in runs.items() if name in ALWAYS) / 60
    parts = [INTRODUCTION.format(minutes=f"{minutes:.0f}")]
    for name, text in SECTIONS.items():
        own = [row for row in rows if row["bench"].partition("/")[0] == name]
        if own:
            events, minutes = runs[name]["events"], runs[name]["seconds"] / 60
            said = text.format(
                events=f"{events:,}",
                half=f"{events // 2:,}",
                few=f"{events // 40:,}",
                minutes=f"{minutes:.0f}",
            )
            tables = _growth_tables(own) if "growth" in name else [_table(own)]
            parts += [said, *_pictures(name), *tables, _run(runs[name])]
    return "\n".join(parts)


def pictures(rows: Sequence[Row]) -> Mapping[str, str]:
    """Return the text of each plot, by the name of its file."""
    plots = {file: (title, _groups(rows, metric)) for metric, (file, title) in METRIC_PLOTS.items()}
    plots[GROWTH_PLOT[0]] = GROWTH_PLOT[1], _growth(rows)
    return {file: bars(title, groups) for file, (title, groups) in plots.items() if groups}


def bars(title: str, groups: Mapping[str, Mapping[str, float]]) -> str:
    """Return an SVG of horizontal bars: a group for each setting, a bar for each program."""
    most = max(value for group in groups.values() for value in group.values())
    names = list(dict.fromkeys(name for group in groups.values() for name in group))
    lines, y = [], 12
    for setting, group in groups.items():
        lines.append(f'<text class="g" x="12" y="{y + 12}">{escape(setting)}</text>')
        for name, value in group.items():
            y += _BAR + 3
            width = (_WIDTH - _LEFT - _RIGHT) * value / most
            colour = _COLOURS[names.index(name) % len(_COLOURS)]
            lines += [
                f'<text class="l" x="{_LEFT - 8}" y="{y + 13}">{escape(name)}</text>',
                f'<rect x="{_LEFT}" y="{y}" width="{width:.1f}" height="{_BAR}" fill="{colour}"/>',
                f'<text x="{_LEFT + width + 6:.1f}" y="{y + 13}">{_figure(value)}</text>',
            ]
        y += 2 * _BAR
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {y}" width="{_WIDTH}" height="{y}"'
        f' role="img" aria-labelledby="t">\n  <title id="t">{escape(title)}</title>\n  <style>{_STYLE}</style>\n'
        f'  <rect x="0" y="0" width="{_WIDTH}" height="{y}" fill="#ffffff"/>\n'
    )
    return head + "".join(f"  {line}\n" for line in lines) + "</svg>\n"


def _groups(rows: Sequence[Row], metric: str) -> Mapping[str, Mapping[str, float]]:
    groups: dict[str, dict[str, float]] = {}
    for row in rows:
        if row["bench"].startswith("ingest/") and row["metric"] == metric:
            group = groups.setdefault(row["bench"].partition("/")[2], {})
            group[row["subject"]] = row["value"]
            group[row["peer"]] = row["peer_value"]
    return {
        setting: dict(sorted(group.items(), key=lambda item: not item[0].startswith("vault-etl")))
        for setting, group in groups.items()
    }


def _growth(rows: Sequence[Row]) -> Mapping[str, Mapping[str, float]]:
    """Return the pages of each command by the size of the vault, as multiples of those of the smallest."""
    return {
        command.replace("`", ""): {
            size: value / next(iter(sizes.values())) for size, value in sizes.items()
        }
        for (command, metric), sizes in _by_size(rows, "growth").items()
        if metric == "pages"
    }


def _by_size(rows: Sequence[Row], bench: str) -> Mapping[tuple[str, str], Mapping[str, float]]:
    """Return the values of each command and metric by size, the smallest first."""
    found: dict[tuple[str, str], dict[str, float]] = {}
    for row in rows:
        if row["bench"] == bench:
            for names, value in ((row["peer"], row["peer_value"]), (row["subject"], row["value"])):
                command, _, size = names.rpartition(", ")
                found.setdefault((command, row["metric"]), {})[size] = value
    return found


def _growth_tables(rows: Sequence[Row]) -> Iterator[str]:
    for bench in dict.fromkeys(row["bench"] for row in rows):
        values = _by_size(rows, bench)
        sizes = list(dict.fromkeys(size for by_size in values.values() for size in by_size))
        lines = [f"| command | metric | {' | '.join(sizes)} |", "|---" * (len(sizes) + 2) + "|"]
        for (command, metric), by_size in values.items():
            cells = [command, metric, *(_figure(by_size[size]) for size in sizes)]
            lines.append(f"| {' | '.join(cells)} |")
        yield "\n".join(lines) + "\n"


def _pictures(name: str) -> Iterator[str]:
    shown = {"ingest": [*METRIC_PLOTS.values()], "growth": [GROWTH_PLOT]}
    for file, title in shown.get(name, ()):
        yield f"![{title}.](pictures/{file})\n"


def _table(rows: Sequence[Row]) -> str:
    has_settings = any("/" in row["bench"] for row in rows)
    head = ["setting"] * has_settings + ["subject", "peer", "metric", "value", "peer's", "ratio"]
    lines = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    for bench, group in groupby(rows, key=lambda row: row["bench"]):
        for row in group:
            cells = [bench.partition("/")[2]] * has_settings
            cells += [row["subject"], row["peer"], row["metric"]]
            cells += [_figure(row["value"]), _figure(row["peer_value"]), f"{row['ratio']:.2f}"]
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _figure(value: float) -> str:
    return f"{value:,.0f}" if round(value) >= 10**_DIGITS else f"{value:,.{_DIGITS}g}"


def _run(run: Row) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in run["versions"].items())
    return (
        f"Medians; rounds of interleaved runs: {run['rounds']}. On {run['date']}: {run['processors']} processors"
        f" ({run['processor']}, {run['system']}), a load of {run['load']} at the end; {versions}.\n"
    )


def written() -> Mapping[Path, str]:
    """Return the text of every file that this script writes."""
    rows = json.loads(LATEST.read_text(encoding="utf-8"))
    runs = json.loads(RUNS.read_text(encoding="utf-8"))
    plots = {HERE / "pictures" / name: text for name, text in pictures(rows).items()}
    return {PAGE: page(rows, runs), **plots}


def main() -> None:
    """Write the page and its plots."""
    for path, text in written().items():
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
