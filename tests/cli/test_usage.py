"""Exits 2, 66 and 75: wrong requests, unknown objects, and declined questions."""

from __future__ import annotations

import subprocess

import pytest

from tests.kit.processes import fails, on_terminal, terminal
from tests.kit.samples import UNKNOWN
from tests.kit.vault import Result, Vault


@pytest.mark.parametrize(
    ("command", "names"),
    [
        (("reveal", UNKNOWN), "--reason"),
        (("reveal", UNKNOWN, "--reason", " \t\u202e"), "the reason is empty"),
        (("reveal", UNKNOWN, "--reason", "x" * 501), "longer than 500"),
        (("reveal", UNKNOWN, "--reason", "x", "--ticket", "x" * 65), "the ticket is longer"),
        (("reveal", UNKNOWN, "--reason", "x", "--purpose", "\u202e"), "the purpose is empty"),
        (("ingest", "--file", ""), "the argument after --file is empty"),
        (("reveal", "4711", "--reason", "x"), "argument 1 is not a record id"),
        (("reveal", "--reason", "x"), "no record id on standard input"),
        (("reveal", UNKNOWN, "--reason", "x", "--field", "user_id"), "--field"),
        (("reveal", UNKNOWN, "--reason", "x", "--output", "xml"), "--output"),
        (
            ("keys", "rotate"),
            "the command asks for confirmation, and there is no terminal to ask on",
        ),
        (("keys", "rotate", "--lazy"), "no terminal to ask on"),
        (("duplicates",), "missing option '--field'"),
        (("duplicates", "--field", "ip", "--limit", "0"), "--limit"),
        (("duplicates", "--field", "ip", "--limit", "99999999999999999999"), "--limit"),
        (("ingest", "--no-such-option"), "no such option: --no-such-option"),
        (("no-such-command",), "no such command"),
        (("keys", "no-such-command"), "no such command"),
        (("audit", "list", "--since", "2026-13-01"), "--since takes a day or a time such as 2026"),
        (
            ("audit", "list", "--action", "peek"),
            "--action takes one of reveal, reveal masked, find",
        ),
        (("ingest", "--max-messages", "\u0661\u0662"), "--max-messages takes a whole number"),
        (("ingest", "--workers", "1_0"), "--workers takes a whole number"),
        (("keys", "rotate", "--rate", "1e999"), "--rate takes a number"),
        (
            (
                "ingest",
                "--file",
                "x",
                "--sent",
                "\u0662\u0660\u0662\u0666-\u0660\u0661-\u0663\u0661",
            ),
            "--sent takes a day such as",
        ),
        (("reveal", f"+{UNKNOWN[1:]}", "--reason", "x"), "argument 1 is not a record id"),
        (("quarantine", "show", f"_{UNKNOWN[1:]}", "--reason", "x"), "ID takes an id such as"),
        (("keys", "destroy", "x"), "KEY_ID takes a whole number from 1 to 4294967295"),
        (("quarantine", "show", "4711", "--reason", "x"), "ID takes an id such as 01a1fc29-"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_wrong_command_line_is_told_in_one_line(
    loaded: Vault, command: tuple[str, ...], names: str
) -> None:
    """Exit 2, one line that names what is wrong, a hint, and nothing done."""
    fails(loaded.run("re-encrypt", *command), 2, names)


def test_the_name_of_a_file_that_is_empty_drains_no_queue(loaded: Vault) -> None:
    """`ingest --file "$UNSET"` is a wrong command line: what waits on the queue stays there."""
    loaded.renew_queue()  # other tests leave messages in it
    loaded.send(["{}"])
    fails(loaded.run("ingest", "ingest", "--file", ""), 2, "--file is empty")
    assert loaded.depth() == (1, 0, 0)
    loaded.renew_queue()


@pytest.mark.parametrize("command", [(), ("keys",), ("audit",)])
def test_a_command_group_without_a_subcommand_shows_its_help(
    loaded: Vault, command: tuple[str, ...]
) -> None:
    """The help lists the subcommands, on standard error, and the exit code is 2."""
    result = loaded.run("analyst", *command)
    assert (result.code, result.stdout) == (2, "")
    assert result.stderr.startswith("Usage: vault-etl")
    assert "error" not in result.stderr


def test_a_closed_standard_input_is_no_terminal(loaded: Vault) -> None:
    """`reveal ID <&-` cannot ask a person for a reason: exit 2, and no bug."""
    done = subprocess.run(
        ["/bin/sh", "-c", 'exec "$@" <&-', "sh", *loaded.command("reveal", UNKNOWN)],
        env=loaded.environment("reveal"),
        cwd=loaded.home,
        capture_output=True,
        text=True,
        check=False,
    )
    fails(Result(done.returncode, done.stdout, done.stderr), 2, "--reason")


def test_control_sequences_are_escaped_in_an_error(loaded: Vault) -> None:
    """A wrong option with an escape sequence in it is quoted, not obeyed."""
    result = loaded.run("analyst", "duplicates", "--\x1b[31mred")
    fails(result, 2, r"\x1b[31mred")
    assert "\x1b" not in result.stderr


def test_an_unknown_record_is_not_found(loaded: Vault) -> None:
    """Exit 66 for an id that no record has."""
    fails(loaded.run("reveal", "reveal", UNKNOWN, "--reason", "x"), 66, "no such record")


def test_a_reason_is_asked_for_on_a_terminal(loaded: Vault) -> None:
    """A terminal is asked for a missing `--reason`, and the answer is in the log."""
    with terminal(loaded, "reveal", "reveal", UNKNOWN) as shown:
        shown.expect("Reason: ")
        shown.type("typed by hand")
        assert shown.finish().code == 66
    entry = loaded.ok("audit", "audit", "list", "--record", UNKNOWN).lines[-1]
    assert entry["reason"] == "typed by hand"


def test_a_declined_rotation_does_nothing(loaded: Vault) -> None:
    """Exit 75 when the answer is no, and every key is as it was."""
    before = loaded.ok("audit", "keys", "list").stdout
    with terminal(loaded, "re-encrypt", "keys", "rotate") as shown:
        shown.expect("Retire 3 data keys and re-encrypt 199 values? [y/N]: ")
        shown.type("n")
        result = shown.finish()
    assert result.code == 75
    assert "vault-etl: error: declined, nothing was done" in result.stdout
    assert loaded.ok("audit", "keys", "list").stdout == before


def test_a_confirmed_rotation_is_done(quick: Vault) -> None:
    """The answer "y" on a terminal does what `--yes` does."""
    with terminal(quick, "re-encrypt", "keys", "rotate") as shown:
        shown.expect("[y/N]: ")
        shown.type("y")
        assert shown.finish().code == 0
    assert on_terminal(quick, "re-encrypt", "keys", "rotate", "--yes").code == 0
