"""Time that `vault-etl --help` takes, beside an interpreter that does nothing: the least of several runs.

    .venv/bin/python -m benchmarks.start [--runs N]

`python -X importtime -m vault_etl --help` says what is imported, and how long each takes.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Sequence

_NOTHING = ("-c", "pass")
_HELP = ("-m", "vault_etl", "--help")


def main() -> None:
    """Print one JSON object: milliseconds of both, and the difference, which is to be 150 at most."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--runs", type=int, default=20)
    runs = parser.parse_args().runs
    nothing, shown = (_least(arguments, runs) for arguments in (_NOTHING, _HELP))
    json.dump({"pass": nothing, "help": shown, "more": round(shown - nothing, 1)}, sys.stdout)
    sys.stdout.write("\n")


def _least(arguments: Sequence[str], runs: int) -> float:
    """Milliseconds of the quickest run: what else the machine does makes the others slower."""

    def run() -> float:
        began = time.perf_counter()
        subprocess.run([sys.executable, *arguments], stdout=subprocess.DEVNULL, check=True)
        return time.perf_counter() - began

    return round(min(run() for _ in range(runs)) * 1000, 1)


if __name__ == "__main__":
    main()
