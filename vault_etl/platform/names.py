"""The names of one vault in Postgres: its schema, and the prefix of its roles.

SQL in this repository names the defaults: the schema `vault_etl`, the roles `vault_etl_…`. `Names.put_into` puts the
names of the settings there. Roles belong to the whole cluster, so each vault of a cluster needs a prefix of its own,
and each vault of a database a schema of its own (docs/adr/0050-one-schema-and-a-prefix.md).
"""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass
from typing import Final

SCHEMA: Final = "vault_etl"
ROLE_PREFIX: Final = "vault_etl_"
ROLES: Final = ("owner", "ingest", "reveal", "rotate", "re_encrypt", "erase", "audit", "analyst")

_ROLE: Final = "|".join(ROLES)
_WORD: Final = re.compile(rf"\bvault_etl(?:(?P<detached>_detached)|(?P<role>_(?:{_ROLE})?))?\b")


@dataclass(frozen=True, slots=True)
class Names:
    """The schema and the prefix of a vault, of forms that need no quotes (`settings/model.py`)."""

    schema: str = SCHEMA
    role_prefix: str = ROLE_PREFIX

    def put_into(self, text: str) -> str:
        """Return the text with the names of this vault in place of the defaults, whole words alone.

        The names need no quotes, so they fit wherever the default is: in an identifier, in a literal such as
        'vault_etl.vault'::regclass, and in a pattern.
        """
        return text if self == DEFAULT else _named(self, text)


DEFAULT: Final = Names()


@functools.lru_cache(maxsize=2_048)
def _named(names: Names, text: str) -> str:
    return _WORD.sub(lambda found: _name(names, found), text)


def _name(names: Names, found: re.Match[str]) -> str:
    if found["role"]:
        return names.role_prefix + found["role"].removeprefix("_")
    return names.schema + (found["detached"] or "")
