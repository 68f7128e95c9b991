"""Output of `make demo` while it works, and its last lines, without the stack; tests/packaging runs the demo."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from vault_etl.cli import local
from vault_etl.cli.demo import next_commands
from vault_etl.cli.ui import told
from vault_etl.cli.ui.told import Told
from vault_etl.declaration.read import read_declaration
from vault_etl.local.demo_scene import LOGINS, SHOP, Scene
from vault_etl.local.state import StackState, StackStatus

INSTALL = Path(__file__).parents[2] / "requirements" / "told.py"


class Screen(io.StringIO):
    """Standard output that is a terminal."""

    def isatty(self) -> bool:
        """True: this stream is a terminal."""
        return True


def test_the_demo_is_never_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    """A waiting demo prints a dot each second, on a line of its own; none while a program has the terminal."""
    monkeypatch.setattr(told, "DOT_AFTER_S", 0.01)
    monkeypatch.setattr(sys, "stdout", screen := Screen())
    with Told() as telling:
        telling.step("starting")
        while screen.getvalue().count(".") < 3:
            time.sleep(0.01)
        with telling.silent():
            dots = screen.getvalue().count(".")
            time.sleep(0.1)
            assert screen.getvalue().count(".") == dots
        telling.say("started")
    lines = screen.getvalue().splitlines()
    assert (lines[0], set(lines[1]), lines[2]) == ("  starting", {"."}, "started")


def test_local_start_is_never_silent_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Dots and steps go to standard error; standard output has the data alone."""
    screen, data, step = Screen(), io.StringIO(), "vault-etl: starting PostgreSQL\n"

    class SlowStack:
        """A stack that starts when two dots are shown after its step."""

        def __init__(self, directory: Path, *, notify: Callable[[str], None]) -> None:
            self.directory, self._notify = directory, notify

        def start(self, _emulator: object, *, schema_file: str | None) -> StackStatus:
            assert schema_file is None
            self._notify("starting PostgreSQL")
            while screen.getvalue().partition(step)[2].count(".") < 2:
                time.sleep(0.01)
            return StackStatus(self.directory, None, None, StackState())

    monkeypatch.setattr(told, "DOT_AFTER_S", 0.01)
    monkeypatch.setattr(sys, "stderr", screen)
    monkeypatch.setattr(sys, "stdout", data)
    monkeypatch.setattr(local, "EmbeddedStack", SlowStack)
    local.start()
    assert screen.getvalue().lstrip(".\n").startswith(f"{step}..")
    assert json.loads(data.getvalue())["state"] == "stopped"


@pytest.mark.parametrize(
    ("terminal", "variables", "bold"),
    [
        (True, {}, True),
        (True, {"NO_COLOR": "1"}, False),
        (True, {"NO_COLOR": ""}, True),
        (True, {"TERM": "dumb"}, False),
        (False, {}, False),
    ],
)
def test_headings_stand_out_on_a_terminal(
    monkeypatch: pytest.MonkeyPatch,
    terminal: bool,
    variables: dict[str, str],
    bold: bool,
) -> None:
    """A title is bold on a terminal, and has no escape in a pipe or under NO_COLOR."""
    shown = Screen() if terminal else io.StringIO()
    monkeypatch.setattr(sys, "stdout", shown)
    monkeypatch.setenv("TERM", "xterm")
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    Told().title("A heading")
    assert ("\x1b[1m── A heading" in shown.getvalue()) is bold
    assert ("\x1b" in shown.getvalue()) is bold


@pytest.mark.parametrize("scene", [LOGINS, SHOP], ids=["logins", "shop"])
def test_the_value_of_a_scene_is_declared(scene: Scene) -> None:
    """The demo reads the columns of a required value, which has the name of its field."""
    event = read_declaration(scene.schema_file).event(scene.event)
    (value,) = (each for each in event.personal if each.name == scene.field)
    assert (value.field.name, value.required) == (scene.field, True)
    assert value.columns[0] == f"masked_{scene.field}"


def test_the_last_lines_of_another_scene_name_its_declaration() -> None:
    """The stack that a person starts then has the events that they saw."""
    assert f"export VAULT_ETL_SCHEMA_FILE={SHOP.schema_file}\n" in next_commands(SHOP)
    assert "duplicates --field email" in next_commands(SHOP)


@pytest.mark.parametrize("on_path", [True, False])
def test_the_last_lines_can_be_pasted(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, on_path: bool
) -> None:
    """A shell takes the lines as they are, and finds the command that printed them."""
    place = tmp_path / "a folder's bin"
    place.mkdir()
    script = place / "vault-etl"
    script.write_text('#!/bin/sh\necho ran "$@" >&2\n')
    script.chmod(0o755)
    monkeypatch.setattr(sys, "argv", [str(script)])
    monkeypatch.setenv("PATH", f"{place}:/usr/bin:/bin" if on_path else "/usr/bin:/bin")
    lines = next_commands(LOGINS)
    assert ("export PATH" in lines) is not on_path
    path = f"{place}:/usr/bin:/bin" if on_path else "/usr/bin:/bin"
    done = subprocess.run(
        ["/bin/sh", "-eu"],
        env={"PATH": path},
        input=lines,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "")
    ran = [line.removeprefix("ran ") for line in done.stderr.splitlines()]
    assert [words.split()[:2] for words in ran][:3] == [
        ["local", verb] for verb in ("start", "env", "seed")
    ]
    assert ran[-1] == "local stop"


def test_an_installation_tells_how_far_it_is() -> None:
    """Each second shows the last line of the program; a failure shows all lines, and keeps its exit code."""
    code = "import time; print('Collecting boto3', flush=True); time.sleep(2.5); print('why'); raise SystemExit(3)"
    done = subprocess.run(
        [sys.executable, str(INSTALL), sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=False,
    )
    lines = done.stdout.splitlines()
    assert done.returncode == 3
    assert lines[0].split() == ["1", "s", "Collecting", "boto3"]
    assert lines[-2:] == ["Collecting boto3", "why"]
