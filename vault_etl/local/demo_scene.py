"""Scenes of the demo: the events that it loads, and the personal value that it follows."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final


@dataclass(frozen=True, slots=True)
class Scene:
    """The events of a demo, in words too, and one of their values, which has the name of its field."""

    schema_file: str | None
    """The absolute path of the declaration; None for the default."""
    event: str
    field: str
    events_in_words: str
    message: str
    """A valid message, in words."""
    value: str
    """The value, in words that follow `an`."""


LOGINS: Final = Scene(
    schema_file=None,
    event="user_logins",
    field="ip",
    events_in_words="Login events",
    message="a login event",
    value="address",
)

SHOP: Final = Scene(
    schema_file=str(Path(__file__).with_name("shop.toml")),
    event="sign_ups",
    field="email",
    events_in_words="Sign-ups and orders",
    message="a sign-up or an order",
    value="e-mail address",
)
