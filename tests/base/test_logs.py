"""Log lines: their forms, their levels, and what they never show."""

from __future__ import annotations

import json
import uuid

import pytest

from vault_etl.base import logs
from vault_etl.base.pii import Pii

VALUE = "203.0.113.77"


def test_a_line_is_an_object_with_bound_fields_first(capsys: pytest.CaptureFixture[str]) -> None:
    """JSON has the fields in their order, then event, level and time in UTC."""
    logs.configure("json", verbose=False, quiet=False)
    logs.get_logger().bind(pid=7).info("batch", stored=3, cause=None)
    line = json.loads(capsys.readouterr().err)
    moment = line.pop("timestamp")
    assert list(line.items()) == [
        *(("pid", 7), ("stored", 3), ("cause", None), ("event", "batch"), ("level", "info"))
    ]
    assert moment.endswith("Z")


def test_a_text_has_columns_and_quotes_what_would_run_together(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Fields are in the order of their names. Blanks, quotes and what a terminal would obey are quoted."""
    logs.configure("text", verbose=False, quiet=False)
    logs.get_logger().warning("not ready", b="two words", a=1.5, c="plain", d="\x1b[2J")
    _, _, rest = capsys.readouterr().err.partition(" ")
    assert rest == f"[warning  ] {'not ready':30} a=1.5 b='two words' c=plain d='\\x1b[2J'\n"


@pytest.mark.parametrize(
    ("verbose", "quiet", "written"),
    [
        (True, False, ["debug", "info", "warning", "error"]),
        (False, False, ["info", "warning", "error"]),
        (False, True, ["warning", "error"]),
    ],
)
def test_options_choose_the_levels(
    capsys: pytest.CaptureFixture[str], verbose: bool, quiet: bool, written: list[str]
) -> None:
    """`--verbose` adds debug lines, and `--quiet` leaves warnings and errors."""
    logs.configure("json", verbose=verbose, quiet=quiet)
    log = logs.get_logger()
    for tell in (log.debug, log.info, log.warning, log.error):
        tell("x")
    said = [json.loads(line)["level"] for line in capsys.readouterr().err.splitlines()]
    assert said == written


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_an_object_is_its_type_alone(capsys: pytest.CaptureFixture[str], log_format: str) -> None:
    """No exception and no value is written, whatever its text is."""
    logs.configure(log_format, verbose=False, quiet=False)  # type: ignore[arg-type]
    logs.get_logger().error(
        "failed", error=ValueError(VALUE), value=Pii(VALUE.encode()), many=[Pii(VALUE.encode())]
    )
    text = capsys.readouterr().err
    assert VALUE not in text
    assert (text.count("ValueError"), text.count("Pii")) == (1, 2)


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_what_json_does_not_have_is_its_type_alone(
    capsys: pytest.CaptureFixture[str], log_format: str
) -> None:
    """The line is written, with its other fields."""
    logs.configure(log_format, verbose=False, quiet=False)  # type: ignore[arg-type]
    itself: list[object] = [VALUE]
    itself.append(itself)
    logs.get_logger().info(
        "told", a={uuid.UUID(int=0): VALUE}, b={(VALUE,): 1}, c=itself, d=float("nan"), e=3
    )
    text = capsys.readouterr().err
    assert VALUE not in text
    if log_format == "json":
        line = json.loads(text)
        assert [line[name] for name in "abcde"] == ["dict", "dict", "list", "float", 3]
    else:
        assert text.endswith(' a="dict" b="dict" c="list" d="float" e=3\n')
