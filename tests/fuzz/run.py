"""Searches for bytes that break a law of `targets.py`, guided by coverage (Atheris, on LLVM's libFuzzer).

    python -m tests.fuzz.run SECONDS           every target, within this time in all
    python -m tests.fuzz.run --target NAME …   one target, with libFuzzer's own arguments

An input that covers new code goes into `corpus/TARGET/`, and so does an input that breaks a law, as
`crash-…`: the tests replay both, so commit them.
"""

from __future__ import annotations

import importlib
import importlib.util
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

HERE: Final = Path(__file__).parent
ROOT: Final = HERE.parents[1]
CORPUS: Final = HERE / "corpus"
TARGETS: Final = ("event", "enveloped", "fields", "ciphertext", "content", "manifest")
MAX_BYTES: Final = 8_192
"""Of an input: room for the deepest nesting that is let through, and for every field."""
SLOW_SECONDS: Final = 5
"""An input that takes longer is a finding: one message would hold up a batch."""


def main(arguments: list[str]) -> int:
    """Return the exit code: 0, or 1 if a law was broken."""
    if arguments[:1] == ["--target"]:
        _fuzz(arguments[1], arguments[2:])
        return 0  # never reached: libFuzzer exits by itself
    if importlib.util.find_spec("atheris") is None:
        sys.stderr.write("error: the fuzzer, Atheris, has no build for this platform\n")
        sys.stderr.write("hint: Linux on x86_64 has one; `make test` replays the corpus anywhere\n")
        return 1
    seconds = int(arguments[0]) if arguments else 60
    failed = [name for name in TARGETS if not _search(name, max(1, seconds // len(TARGETS)))]
    for name in failed:
        sys.stderr.write(f"error: {name} breaks a law: see {CORPUS / name}/crash-*\n")
    return 1 if failed else 0


def _search(name: str, seconds: int) -> bool:
    """Return True if no law was broken. New inputs are kept if they cover more than the corpus."""
    kept = (CORPUS / name).relative_to(ROOT)  # without spaces, whatever the path of the clone
    with tempfile.TemporaryDirectory() as found:
        ended = _run(
            name,
            found,
            str(kept),
            f"-max_total_time={seconds}",
            f"-max_len={MAX_BYTES}",
            f"-timeout={SLOW_SECONDS}",
            f"-artifact_prefix={kept}/",
            f"-dict={(HERE / name).relative_to(ROOT)}.dict",
            "-print_final_stats=1",
        )
        _run(name, "-merge=1", f"-max_len={MAX_BYTES}", str(kept), found)
    return ended == 0


def _run(name: str, *arguments: str) -> int:
    command = [sys.executable, "-m", "tests.fuzz.run", "--target", name, *arguments]
    return subprocess.run(command, check=False, cwd=ROOT).returncode


def _fuzz(name: str, arguments: list[str]) -> None:
    atheris = importlib.import_module("atheris")  # a module without types
    sys.modules.pop("ipaddress", None)  # coverage sees no module that was imported before
    with atheris.instrument_imports(include=["ipaddress", "json", "vault_etl"]):
        targets = importlib.import_module("tests.fuzz.targets")
    # To merge, libFuzzer runs its first argument in a shell, without quotes.
    program = f"{shlex.quote(sys.executable)} -m tests.fuzz.run --target {name}"
    atheris.Setup([program, *arguments], targets.TARGETS[name])
    atheris.Fuzz()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
