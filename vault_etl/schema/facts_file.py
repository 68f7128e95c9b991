"""The file of the facts that no declaration changes, and with it the facts of a whole schema.

`migrations/schema.json` is written from a database that was migrated with the default declaration and the default names
(`docs/generate_schema.py`), and a test fails if it is not current. In the facts of an event, `{event}` is its name.
A function of an event is listed without its arguments, which follow from the declaration
(docs/adr/0052-schemas-by-declaration.md).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

from vault_etl.base.errors import ConfigurationError
from vault_etl.declaration.model import Declaration
from vault_etl.declaration.read import read_declaration
from vault_etl.schema.declared_facts import Facts, declared_facts
from vault_etl.schema.units import units_of

FILE: Final = "schema.json"

_EVENT: Final = "{event}"
_FUNCTION: Final = "function "


def expected_facts(folder: Path, declaration: Declaration) -> dict[str, dict[str, str]]:
    """Return the facts that the migrations in `folder` make for the declaration.

    Raises ConfigurationError if the file is missing.
    """
    path = folder / FILE
    if not path.exists():
        message = f"this installation of vault-etl has no {FILE} beside its migrations"
        raise ConfigurationError(message, hint="reinstall the package")
    declared = declared_facts(declaration, units_of(folder, declaration))
    signatures = {name.partition("(")[0]: name for name in declared if name.startswith(_FUNCTION)}
    listed: dict[str, dict[str, str]] = {}
    for name, aspects in json.loads(path.read_text(encoding="utf-8")).items():
        if _EVENT not in name:
            listed[name] = aspects
            continue
        for event in declaration.events:
            for of_event, values in _renamed({name: aspects}, _EVENT, event.name).items():
                listed[signatures.get(of_event, of_event)] = values
    # A function that a later migration drops is among the units, and not in the file.
    return {name: {**declared.get(name, {}), **aspects} for name, aspects in listed.items()}


def facts_file(facts: Facts, folder: Path) -> str:
    """Return the content of the file, from the facts of a database that was migrated for the default declaration."""
    default = read_declaration(None)
    (event,) = (event.name for event in default.events)
    declared = declared_facts(default, units_of(folder, default))
    left: dict[str, dict[str, str]] = {}
    for name, aspects in facts.items():
        rest = {each: aspects[each] for each in aspects.keys() - declared.get(name, {}).keys()}
        if name.startswith(f"{_FUNCTION}{event}_"):
            left |= _renamed({name.partition("(")[0]: rest}, event, _EVENT)
        elif event in name:
            left |= _renamed({name: rest}, event, _EVENT)
        else:
            left[name] = rest
    return json.dumps(left, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def _renamed(facts: Facts, old: str, new: str) -> dict[str, dict[str, str]]:
    return {
        name.replace(old, new): {
            aspect.replace(old, new): value.replace(old, new) for aspect, value in aspects.items()
        }
        for name, aspects in facts.items()
    }
