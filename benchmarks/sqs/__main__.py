"""Serve one queue on a free port of 127.0.0.1, until standard input ends.

    .venv/bin/python -m benchmarks.sqs --messages 60000 [--bodies FILE] [--delay-ms 10] [--capacity 100]
        [--redelivered 20] [--tls DIR]

The first line of standard output is {"endpoint": …, "queue_url": …}; the last one has the statistics. Any credentials
are accepted, and no signature is checked. Messages are made up, or read from FILE, one a line,
which is read again if it has too few.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import resource
import socket
import sys
import time
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path

from benchmarks.sqs.actions import Actions
from benchmarks.sqs.certificate import server_context
from benchmarks.sqs.connection import Connection, Turns, Waiting
from benchmarks.sqs.messages import MessageQueue
from vault_etl.event.made_up_events import made_up_events

QUEUE_PATH = "/000000000000/login-events"


async def serve(arguments: argparse.Namespace) -> None:
    """Serve until standard input ends."""
    loop = asyncio.get_running_loop()
    queue = MessageQueue()
    queue.add(_bodies(arguments), int(time.time() * 1000), arguments.redelivered)
    context = server_context(arguments.tls) if arguments.tls else None
    listening = socket.create_server(("127.0.0.1", 0), backlog=100)
    scheme, port = "https" if context else "http", listening.getsockname()[1]
    endpoint = f"{scheme}://127.0.0.1:{port}"
    actions = Actions(queue, endpoint + QUEUE_PATH)
    waiting, delay = Waiting(), arguments.delay_ms / 1000
    turns = Turns(arguments.capacity) if arguments.capacity else None
    await loop.create_server(
        lambda: Connection(actions, waiting, delay, turns), sock=listening, ssl=context
    )
    _print({"endpoint": endpoint, "queue_url": actions.url})
    used = _cpu()
    await loop.run_in_executor(None, sys.stdin.read)
    left = {"visible": queue.visible, "in_flight": queue.in_flight}
    _print({**asdict(actions.statistics), **left, "cpu_seconds": round(_cpu() - used, 3)})


def _bodies(arguments: argparse.Namespace) -> Iterable[str]:
    if arguments.bodies is None:
        return made_up_events(arguments.messages, seed=1, messy_every=0)
    lines = arguments.bodies.read_text(encoding="utf-8").splitlines()
    return itertools.islice(itertools.cycle(lines), arguments.messages)


def _print(value: object) -> None:
    sys.stdout.write(json.dumps(value) + "\n")
    sys.stdout.flush()


def _cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def main() -> None:
    """Parse the arguments, and serve."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--messages", type=int, default=60_000)
    parser.add_argument("--bodies", type=Path)
    parser.add_argument("--delay-ms", type=float, default=0)
    parser.add_argument("--capacity", type=float, help="requests a second, one after the other")
    parser.add_argument("--redelivered", type=int, default=0, help="percent of the messages")
    parser.add_argument("--tls", type=Path, help="a folder for the certificate, ca.pem")
    asyncio.run(serve(parser.parse_args()))


if __name__ == "__main__":
    main()
