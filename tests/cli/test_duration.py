"""Durations on the command line."""

from __future__ import annotations

import contextlib

import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st

from vault_etl.cli.ui.options import Duration

UNITS = {"": 1, "s": 1, "m": 60, "h": 3_600, "d": 86_400}


@given(number=st.integers(0, 999_999_999), unit=st.sampled_from(sorted(UNITS)))
def test_a_number_and_a_unit_are_so_many_seconds(number: int, unit: str) -> None:
    """A number without a unit is in seconds."""
    assert Duration()(f"{number}{unit}") == number * UNITS[unit]


@pytest.mark.parametrize(
    ("text", "seconds"), [("1.5h", 5_400), ("0.25s", 0.25), (" 10m ", 600), (600.0, 600), (0, 0)]
)
def test_a_duration_may_have_a_fraction_and_may_be_parsed_already(
    text: str | float, seconds: float
) -> None:
    """Typer passes the default through the parser too."""
    assert Duration()(text) == seconds


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "s",
        "-1s",
        "+1s",
        "1e3",
        "1 h",
        "1w",
        "1H",
        "10ms",
        "1.",
        ".5h",
        "1h30m",
        "inf",
        "nan",
        "1_000",
        "٣s",
        "1.5.5s",
        "9" * 10,
        "1s\n2",
    ],
)
def test_text_that_is_no_duration_is_refused(text: str) -> None:
    """The refusal gives an example of a duration."""
    with pytest.raises(typer.BadParameter, match="90s, 10m, 2h"):
        Duration()(text)


@given(text=st.text(max_size=12))
def test_any_text_is_a_duration_or_is_refused(text: str) -> None:
    """No other exception comes, and no duration is negative."""
    with contextlib.suppress(typer.BadParameter):
        assert 0 <= Duration()(text) < 10**14
