"""`vault-etl demo`: the whole job on an embedded stack, shown with the real commands."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Final

import typer

from vault_etl.base.errors import IncompleteError
from vault_etl.cli.ui.told import WIDTH, Told
from vault_etl.local.demo_probe import (
    StoredRow,
    kms_answer,
    most_shared_row,
    postgres_refusal,
)
from vault_etl.local.demo_scene import LOGINS, SHOP, Scene
from vault_etl.local.stack import EmbeddedStack

_EVENTS: Final = 300
_NEXT: Final = """\
vault-etl local start
eval "$(vault-etl local env)"
vault-etl local seed --events 300
vault-etl ingest
vault-etl duplicates --field {field}
vault-etl local stop
"""


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("demo")(_demo)


def _demo(
    *,
    directory: Annotated[
        Path | None,
        typer.Option("--dir", help="The folder of the stack. [default: a temporary folder]"),
    ] = None,
    shop: Annotated[
        bool,
        typer.Option(
            "--shop", help="Load sign-ups and orders, which a file declares, in place of logins."
        ),
    ] = False,
) -> None:
    """Show the whole job on an embedded Postgres and AWS emulator, then stop them.

    Needs neither Docker nor an AWS account, and leaves nothing behind.

    \b
    Examples:
      vault-etl demo
      vault-etl demo --shop
    """
    scene = SHOP if shop else LOGINS
    with tempfile.TemporaryDirectory(prefix="vault-etl-demo-") as temporary, Told() as told:
        place = directory or Path(temporary) / "stack"
        stack = EmbeddedStack(place, durable=False, notify=told.step)
        try:
            _tell(stack, scene, told)
        finally:
            told.write("\n")
            told.step("stopping PostgreSQL and the emulator, and deleting their files")
            stack.reset()
        told.title("That was it")
        told.say("Try it yourself: the same stack, in the background, in .vault-etl/")
        told.write(f"\n{next_commands(scene)}")


def next_commands(scene: Scene) -> str:
    """Lines for a shell, which find the command that runs now, and the declaration of the scene."""
    lines = _NEXT.format(field=scene.field)
    if scene.schema_file is not None:
        lines = f"export VAULT_ETL_SCHEMA_FILE={shlex.quote(scene.schema_file)}\n{lines}"
    ours = Path(sys.argv[0]).absolute()
    found = shutil.which(ours.name)
    on_path = found is not None and Path(found).absolute() == ours
    if on_path or not os.access(ours, os.X_OK):
        return lines
    return f'export PATH={shlex.quote(str(ours.parent))}:"$PATH"\n{lines}'


def _tell(stack: EmbeddedStack, scene: Scene, told: Told) -> None:
    told.title("A PostgreSQL and an AWS emulator (SQS, KMS, STS, IAM), both on loopback")
    stack.start(schema_file=scene.schema_file)
    told.say(
        "There are tables, keys, and a database login and an access key for every role. The"
        " prompts below name the role."
    )
    story = _Story(stack, told)

    if scene.schema_file is not None:
        told.title("The declaration: two events, and what is personal in them")
        story.run("analyst", "schema", "show")

    told.title(f"{scene.events_in_words} on the queue, and from there into Postgres")
    story.run("admin", "local", "seed", "--events", str(_EVENTS), "--dir", str(stack.directory))
    story.run("ingest", "ingest")
    told.say(
        "Every message is stored or quarantined, and only then deleted. A message that is not"
        f" {scene.message} is kept, sealed, with the reason."
    )

    told.title(f"Who shares an {scene.value}? Tokens tell, without a key")
    story.run("analyst", "duplicates", "--field", scene.field, "--limit", "5")
    row = most_shared_row(stack.environment("admin"), scene.event, scene.field)
    _show_sealed(stack, scene, row, told)

    told.title("The worker that wrote this row asks KMS to open it")
    told.quote(kms_answer(stack.environment("ingest"), stack.environment("admin"), row))
    told.say("The same call with the reveal role's credentials:")
    told.quote(kms_answer(stack.environment("reveal"), stack.environment("admin"), row))

    told.title("The only way back is audited")
    reveal = ("reveal", str(row.record_id), "--reason", "demo: show the way back")
    story.run("reveal", *reveal)
    story.run("audit", "audit", "list", "--record", str(row.record_id))

    told.title("New data keys: the old ones are retired, every row is re-encrypted")
    story.run("re-encrypt", "keys", "rotate", "--yes")
    story.run("audit", "keys", "list")
    story.run("reveal", *reveal[:2], "--reason", "demo: still the same value")

    told.title("New token keys: every row gets new tokens, all at once")
    story.run("re-encrypt", "keys", "rotate", "--tokens", "--yes")
    story.run("analyst", "duplicates", "--field", scene.field, "--limit", "2")
    told.say(f"The same rows share an {scene.value} before, during and after the rotation.")


class _Story:
    """Runs the real commands, each with the credentials of its role, and shows their output."""

    def __init__(self, stack: EmbeddedStack, told: Told) -> None:
        self._stack = stack
        self._told = told
        self._hidden = ("--dir", str(stack.directory))

    def run(self, role: str, *arguments: str) -> None:
        """Run `vault-etl ARGUMENTS`. Raises IncompleteError if it fails."""
        shown = " ".join(_quoted(word) for word in arguments if word not in self._hidden)
        prompt = f"\n{role}$ vault-etl {shown}".replace(" --reason", " \\\n    --reason")
        self._told.write(f"{prompt}\n")
        if sys.stdout.isatty():
            with self._told.silent():
                done = self._done(role, *arguments)
        else:
            done = self._done(role, *arguments, "--quiet", stdout=subprocess.PIPE)
            self._told.write(done.stdout)
        if done.returncode != 0:
            message = f"vault-etl {arguments[0]} ended with exit {done.returncode}"
            raise IncompleteError(message, hint="the lines above say why")

    def _done(
        self, role: str, *arguments: str, stdout: int | None = None
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-P", "-m", "vault_etl", *arguments, "--output", "table"],
            cwd=self._stack.directory,
            env=_environment(self._stack.environment(role)),
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            text=True,
            check=False,
        )


def _show_sealed(stack: EmbeddedStack, scene: Scene, row: StoredRow, told: Told) -> None:
    ciphertext = f"{scene.field}_ciphertext"
    told.say("One of these rows, as it is stored:")
    told.quote(f"{f'masked_{scene.field}':{len(ciphertext)}}  {row.token}")
    told.quote(f"{ciphertext}  {row.ciphertext.hex()}")
    told.say("An analyst may not even see the ciphertext:")
    refusal = postgres_refusal(stack.environment("analyst"), scene.event, ciphertext)
    told.quote(f"Postgres: {refusal}")


def _environment(role: Mapping[str, str]) -> dict[str, str]:
    kept = {
        name: os.environ[name]
        for name in ("PATH", "HOME", "LANG", "TERM", "COLUMNS", "NO_COLOR")
        if name in os.environ
    }
    kept.setdefault("COLUMNS", str(WIDTH + 2))
    nothing = {"AWS_CONFIG_FILE": os.devnull, "AWS_SHARED_CREDENTIALS_FILE": os.devnull}
    return {**kept, **nothing, **role}


def _quoted(word: str) -> str:
    return f'"{word}"' if " " in word else word
