"""Runs a command of our own, such as `vault-etl migrate`, with the settings of the stack alone."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from vault_etl.base.errors import ConfigurationError

_SECONDS = 120

RunCommand = Callable[[Sequence[str], Mapping[str, str], Path], None]
"""Arguments (without the program), environment, working directory. Raises if the command fails."""


def run_own_command(
    arguments: Sequence[str], environment: Mapping[str, str], directory: Path
) -> None:
    """Run `vault-etl ARGUMENTS` to its end in `directory`, where no `vault-etl.toml` stands.

    Raises ConfigurationError with the command's own error and hint.
    """
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    nothing = {"AWS_CONFIG_FILE": os.devnull, "AWS_SHARED_CREDENTIALS_FILE": os.devnull}
    done = subprocess.run(
        [sys.executable, "-P", "-m", "vault_etl", *arguments],
        cwd=directory,
        env={**kept, **nothing, **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=_SECONDS,
        check=False,
    )
    if done.returncode == 0:
        return
    said = {
        kind: text
        for line in done.stderr.splitlines()
        for program, kind, text in [[*line.split(": ", 2), "", ""][:3]]
        if program == "vault-etl"
    }
    message = (
        f"vault-etl {' '.join(arguments)} failed: {said.get('error', f'exit {done.returncode}')}"
    )
    raise ConfigurationError(message, hint=said.get("hint"))
