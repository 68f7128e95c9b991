"""`vault-etl demo`: the whole story on an embedded stack, told by the real commands."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Final

import typer

from vault_etl.adapters.embedded.demo_probe import (
    StoredRow,
    kms_answer,
    most_shared_row,
    postgres_refusal,
)
from vault_etl.adapters.embedded.stack import EmbeddedStack
from vault_etl.errors import IncompleteError

_EVENTS: Final = 300
_WIDTH: Final = 78
_NEXT: Final = """\
Try it yourself: the same stack, in the background, in .vault-etl/

  vault-etl local start                    (make demo put it in .venv/bin/)
  eval "$(vault-etl local env)"
  vault-etl local seed --events 300
  vault-etl ingest
  vault-etl duplicates --field device_id
  vault-etl local stop"""


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("demo")(_demo)


def _demo(
    *,
    directory: Annotated[
        Path | None,
        typer.Option("--dir", help="Where to put the stack. [default: a temporary place]"),
    ] = None,
) -> None:
    """Show the whole job on an embedded Postgres and AWS emulator, then stop them.

    Needs neither Docker nor an AWS account. Nothing is left behind.

    \b
    Example:
      vault-etl demo
    """
    with tempfile.TemporaryDirectory(prefix="vault-etl-demo-") as temporary:
        stack = EmbeddedStack(directory or Path(temporary) / "stack", durable=False)
        try:
            _tell(stack)
        finally:
            stack.reset()


def _tell(stack: EmbeddedStack) -> None:
    _title("A PostgreSQL and an AWS emulator (SQS, KMS, STS, IAM), both on loopback")
    stack.start()
    _say(
        "Tables and keys are made, and for every role a database login and an access key of its"
        " own. The prompts below name the role."
    )
    story = _Story(stack)

    _title("Login events on the queue, and from there into Postgres")
    story.run("admin", "local", "seed", "--events", str(_EVENTS), "--dir", str(stack.directory))
    story.run("ingest", "ingest")
    _say(
        "Every message is stored or quarantined, and only then deleted. A message that is no"
        " login event is kept, sealed, with the reason why."
    )

    _title("Who shares an address? Tokens tell, and need no key")
    story.run("analyst", "duplicates", "--field", "ip", "--limit", "5")
    row = most_shared_row(stack.environment("admin"))
    _show_sealed(stack, row)

    _title("The worker that wrote this row asks KMS to open it")
    _quote(kms_answer(stack.environment("ingest"), stack.environment("admin"), row))
    _say("The same call with the reveal role's credentials:")
    _quote(kms_answer(stack.environment("reveal"), stack.environment("admin"), row))

    _title("The one way back is on the record")
    reveal = ("reveal", str(row.record_id), "--reason", "demo: show the way back")
    story.run("reveal", *reveal)
    story.run("audit", "audit", "list", "--record", str(row.record_id))

    _title("New data keys: the old ones are retired, every row is sealed anew")
    story.run("re-encrypt", "keys", "rotate", "--yes")
    story.run("audit", "keys", "list")
    story.run("reveal", *reveal[:2], "--reason", "demo: still the same value")

    _title("New token keys: every row gets other tokens, all of them at once")
    story.run("re-encrypt", "keys", "rotate", "--tokens", "--yes")
    story.run("analyst", "duplicates", "--field", "ip", "--limit", "2")
    _say("The same rows share an address, before and after, and at every moment in between.")

    _title("That was it")
    _say(_NEXT, wrap=False)


class _Story:
    """Runs the real commands, each with its own role's credentials, and shows what they print."""

    def __init__(self, stack: EmbeddedStack) -> None:
        self._stack = stack
        self._hidden = ("--dir", str(stack.directory))

    def run(self, role: str, *arguments: str) -> None:
        """Run `vault-etl ARGUMENTS`. Raises IncompleteError if it fails."""
        shown = " ".join(_quoted(word) for word in arguments if word not in self._hidden)
        _say("", wrap=False)
        _say(f"{role}$ vault-etl {shown}".replace(" --reason", " \\\n    --reason"), wrap=False)
        quiet = [] if sys.stderr.isatty() else ["--quiet"]
        done = subprocess.run(
            [sys.executable, "-P", "-m", "vault_etl", *arguments, "--output", "table", *quiet],
            cwd=self._stack.directory,
            env=_environment(self._stack.environment(role)),
            stdin=subprocess.DEVNULL,
            check=False,
        )
        if done.returncode != 0:
            message = f"vault-etl {arguments[0]} ended with exit {done.returncode}"
            raise IncompleteError(message, hint="the lines above say why")


def _show_sealed(stack: EmbeddedStack, row: StoredRow) -> None:
    _say("One of these rows, as it lies in the table:")
    _quote(f"masked_ip      {row.masked_ip}")
    _quote(f"ip_ciphertext  {row.ip_ciphertext.hex()}")
    _say("An analyst may not even see the ciphertext:")
    refusal = postgres_refusal(
        stack.environment("analyst"), "SELECT ip_ciphertext FROM public.user_logins"
    )
    _quote(f"Postgres: {refusal}")


def _environment(role: Mapping[str, str]) -> dict[str, str]:
    kept = {
        name: os.environ[name]
        for name in ("PATH", "HOME", "LANG", "TERM", "COLUMNS", "NO_COLOR")
        if name in os.environ
    }
    kept.setdefault("COLUMNS", str(_WIDTH + 2))
    nothing = {"AWS_CONFIG_FILE": os.devnull, "AWS_SHARED_CREDENTIALS_FILE": os.devnull}
    return {**kept, **nothing, **role}


def _title(text: str) -> None:
    _say(f"\n── {text} {'─' * max(0, _WIDTH - 4 - len(text))}", wrap=False)


def _say(text: str, *, wrap: bool = True) -> None:
    sys.stdout.write((textwrap.fill(text, _WIDTH) if wrap else text) + "\n")
    sys.stdout.flush()


def _quote(text: str) -> None:
    sys.stdout.write(
        textwrap.fill(text, _WIDTH, initial_indent="  ", subsequent_indent="    ") + "\n"
    )
    sys.stdout.flush()


def _quoted(word: str) -> str:
    return f'"{word}"' if " " in word else word
