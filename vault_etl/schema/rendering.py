"""All migrations rendered for a declaration: their units, tables and indexes, and what another one does not have."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final

from vault_etl.declaration.model import Declaration
from vault_etl.schema.made_tables import MadeTable
from vault_etl.schema.online import Index, index_in
from vault_etl.schema.units import Unit, units_of

_LEAD: Final = re.compile(r"\A(?:\s+|--[^\n]*\n)+")


@dataclass(frozen=True)
class Rendering:
    """The units of all migrations in a folder, in order."""

    units: Sequence[Unit]

    @classmethod
    def of(cls, folder: Path, declaration: Declaration) -> Rendering:
        """Render the files of a folder."""
        return cls(units_of(folder, declaration))

    @cached_property
    def tables(self) -> Mapping[str, MadeTable]:
        """The tables, by their names without quotes. Partitions are left out."""
        made = {unit.name: MadeTable.of(unit.text) for unit in self.units if unit.kind == "table"}
        return {name: table for name, table in made.items() if table is not None}

    @cached_property
    def indexes(self) -> Sequence[Index]:
        """The indexes of the forms that can be made online."""
        found = (index_in(_bare(unit)) for unit in self.units if unit.kind == "index")
        return [index for index in found if index is not None]

    def besides(self, old: Rendering) -> Sequence[Unit]:
        """Return the units that `old` does not have, in order."""
        there = set(map(_bare, old.units))
        return [unit for unit in self.units if _bare(unit) not in there]


def _bare(unit: Unit) -> str:
    """Return the text without comments before it, and without the last semicolon."""
    return _LEAD.sub("", unit.text).rstrip().removesuffix(";")
