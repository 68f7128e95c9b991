"""Time of commands that do little but start, beside an interpreter that does nothing; with cached bytecode, or none.

`python -X importtime -m vault_etl --help` says what is imported, and how long each import takes.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from benchmarks.results import Result, median_results
from benchmarks.size import Size
from benchmarks.stack import Stack, embedded_stack
from benchmarks.used import used_by

NOTHING: Final = "python -c pass"
RUNS_A_ROUND: Final = 2
"""The quickest of a round counts: what else the machine does makes the others slower. Without bytecode there is one
run, of which that is a small part.
"""
CACHED: Final = {"PYTHONDONTWRITEBYTECODE": ""}
"""An interpreter takes an empty variable for one that is not set."""

_REASON: Final = ("--quiet", "--reason", "benchmark")


def run(size: Size) -> Iterator[Result]:
    """Start each command in turn."""
    with embedded_stack() as stack, tempfile.TemporaryDirectory() as empty:
        commands = {NOTHING: ("-c", "pass")}
        for words in _commands(_stored_record(stack)):
            commands[f"vault-etl {_name(words)}"] = ("-m", "vault_etl", *words)
        settings = stack.on("vault_etl")
        never_cached = {"PYTHONDONTWRITEBYTECODE": "1", "PYTHONPYCACHEPREFIX": empty}
        yield from _measured("start", size, commands, {**settings, **CACHED}, RUNS_A_ROUND)
        yield from _measured("start/no bytecode", size, commands, {**settings, **never_cached}, 1)


def _commands(record_id: str) -> Sequence[Sequence[str]]:
    return (
        ("--help",),
        ("reveal", "--help"),
        ("config",),
        ("schema", "show"),
        ("duplicates", "--field", "ip"),
        ("find", "--user-id", "4711", *_REASON),
        ("reveal", record_id, *_REASON),
    )


def _name(words: Sequence[str]) -> str:
    """Name a command by its words and the options that it has no values for."""
    return " ".join(words[:2]) if words[1:2] in {("--help",), ("show",)} else words[0]


def _stored_record(stack: Stack) -> str:
    """Store some records, and return the id of one."""
    settings = stack.on("vault_etl")
    stack.command("local", "seed", "--events", "10", "--dir", str(stack.directory / "stack"))
    stack.command("ingest", extra=settings)
    # More than all runs take: a denied reveal would be measured instead.
    policy = json.dumps({"reveals_an_hour": 10_000, "tokens_an_hour": 10_000, "purposes": {}})
    owner = stack.on("vault_etl", "owner")
    stack.command("audit", "policy", "set", "-", *_REASON, extra=owner, text=policy)
    with stack.session("vault_etl") as cursor:
        cursor.execute("SELECT record_id::text FROM vault_etl.user_logins LIMIT 1")
        ((record_id,),) = cursor.fetchall()
    return str(record_id)


def _measured(
    bench: str,
    size: Size,
    commands: Mapping[str, Sequence[str]],
    environment: Mapping[str, str],
    times: int,
) -> Iterator[Result]:
    samples: defaultdict[str, list[Mapping[str, float]]] = defaultdict(list)
    for _ in range(size.rounds):
        for name, arguments in commands.items():
            runs = [used_by((sys.executable, *arguments), environment) for _ in range(times)]
            least = {
                "ms": min(each.seconds for each in runs) * 1000,
                "CPU ms": min(each.cpu for each in runs) * 1000,
            }
            samples[name].append(least)
    pairs = [(name, NOTHING) for name in commands if name != NOTHING]
    yield from median_results(bench, samples, pairs)
