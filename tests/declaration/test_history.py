"""A new declaration is compared with every earlier one, and tables hold what all of them left."""

from __future__ import annotations

import pytest

from vault_etl.declaration.changes import Effect
from vault_etl.declaration.history import as_stored, changes_since
from vault_etl.declaration.model import Declaration
from vault_etl.declaration.parse import parse_declaration

LOGINS = """\
format = 1
[fields.ip]
kind = "ip"
[events.logins]
subject = "user"
day = "day"
{when}
[events.logins.personal]
ip = {{}}
[events.logins.plain]
user = {{type = "text", max = 64, required = true}}
day = {{type = "day"}}
{plain}
"""
OTHER = """
[events.others]
subject = "user"
day = "day"
when = {path = "$.type", equals = "other"}
[events.others.personal]
own_ip = {field = "ip", path = "$.own"}
[events.others.plain]
user = {type = "text", max = 64, required = true}
day = {type = "day"}
address = {type = "text", max = 64, path = "$.ip"}
"""
NARROW = 'when = {path = "$.type", equals = "login"}'


def declared(when: str = "", plain: str = "", more: str = "") -> Declaration:
    """A declaration of logins, and more."""
    return parse_declaration((LOGINS.format(when=when, plain=plain) + more).encode(), "a test")


def test_personal_stays_personal_in_two_steps() -> None:
    """The event takes fewer messages first, and another event takes the address of the others in clear then."""
    first, narrow = declared(), declared(NARROW)
    both = declared(NARROW, more=OTHER)
    assert not [c for c in changes_since([narrow], both) if c.effect is Effect.REFUSED]
    (refused,) = (c for c in changes_since([first, narrow], both) if c.effect is Effect.REFUSED)
    assert refused.where == "events.others.plain.address"
    assert "is personal" in refused.reason


@pytest.mark.parametrize(
    ("columns", "is_stored"),
    [
        (["required = true", "required = true"], True),
        (["required = true", "required = false"], False),
        (["required = false", "required = true"], False),
        (["required = true", "required = false", "required = true"], False),
        ([None, "required = true"], False),
    ],
)
def test_a_column_is_not_null_if_it_always_was_required(
    columns: list[str | None], is_stored: bool
) -> None:
    """Rows of a time when it was optional, or missing, have no value."""
    history = [
        declared(plain="" if c is None else f'os = {{type = "text", max = 8, {c}}}')
        for c in columns
    ]
    stored = as_stored(history)
    found = {column.name: column.required for column in stored.event("logins").plain}
    assert (found["os"], found["user"]) == (is_stored, True)
    assert stored.event("logins").subject.required
