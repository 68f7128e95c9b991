"""The parsers of declarations, and what the one of the default knows."""

from __future__ import annotations

import functools
from typing import Final

from tests.kit.declarations import DEFAULT
from vault_etl.declaration.model import PersonalValue
from vault_etl.event.events import EventParser
from vault_etl.event.known_names import KnownNames

parser_of = functools.cache(EventParser)
"""The parser of a declaration, made once."""

LOGINS: Final = parser_of(DEFAULT)
parse_event: Final = LOGINS.parse

NAMES: Final = KnownNames.of(DEFAULT)
KNOWN: Final = NAMES.known
REQUIRED: Final = NAMES.required

MAX_CODE_POINTS: Final = {
    value.name: limit
    for value in DEFAULT.events[0].values
    if (
        limit := value.field.kind.max_code_points if isinstance(value, PersonalValue) else value.max
    )
    and value.name != "ip"  # its kind has a reason of its own
}
"""The most code points of each text."""
