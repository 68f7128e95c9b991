"""A function of the same name cannot take a call of ours."""

from __future__ import annotations

import re
from collections.abc import Iterator

from tests.kit.scratch import Scratch

_TYPED = """
SELECT proname, proargtypes::regtype[]::text[], prosrc FROM pg_proc WHERE pronamespace = 'vault_etl'::regnamespace
"""


def calls(source: str) -> Iterator[tuple[str, list[str]]]:
    """Return the functions of `public` that a block calls, each with the texts of its arguments."""
    for call in re.finditer(r"vault_etl\.(\w+)\(", source):
        depth, arguments = 1, [""]
        for character in source[call.end() :]:
            depth += {"(": 1, "[": 1, ")": -1, "]": -1}.get(character, 0)
            if not depth:
                break
            if character == "," and depth == 1:
                arguments.append("")
            else:
                arguments[-1] += character
        yield call.group(1), [argument.strip() for argument in arguments]


def test_a_literal_has_the_type_of_its_parameter(shared: Scratch) -> None:
    """PostgreSQL takes a bare literal for text: a function of this name with a text parameter would be called."""
    functions = shared.sql(_TYPED)
    types = {name: parameters for name, parameters, _ in functions}
    bare = [
        (name, called, number, argument)
        for name, _, source in functions
        for called, arguments in calls(source)
        for number, argument in enumerate(arguments)
        if re.fullmatch(r"NULL|'[^']*'", argument) and types[called][number] != "text"
    ]
    assert not bare
    assert sum(1 for *_, source in functions for _ in calls(source)) > 20
