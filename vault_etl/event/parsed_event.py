"""A parsed event, whichever declared event it is."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import NamedTuple

from vault_etl.base.pii import Pii
from vault_etl.crypto.fields import FieldName
from vault_etl.declaration.model import DeclaredEvent

PlainValue = str | bool | dt.date | dt.datetime
"""A value of a plain column. A number is the text of its spelling, which loses no digit."""


class ParsedEvent(NamedTuple):
    """One message that passed the rules of its event."""

    event: DeclaredEvent
    subject: str
    day: dt.date | None
    """The day that the message names."""
    personal: Mapping[FieldName, Pii]
    """The personal values that the message has, by their names in the event, in the order of the declaration."""
    forms: Mapping[FieldName, Pii]
    """The canonical forms of these values, which their tokens are made from."""
    plain: Mapping[str, PlainValue]
    """The plain values that the message has, by their columns: subject, day and moments too."""
    extra_fields: tuple[str, ...]
    """The names of the dropped unknown fields, in the form that may be shown."""
