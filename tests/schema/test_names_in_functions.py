"""Declared names clash with no name in a function or a query: each name that these use is a column here."""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any, Final

import pytest

import vault_etl
from tests.kit.databases import empty
from tests.kit.declarations import DEFAULT
from tests.kit.declared import IP
from tests.kit.fakes.identity import FakeIdentity
from tests.kit.fakes.vault import rotate_request
from tests.rotation.declared_site import DeclaredSite, declared_site
from vault_etl.audit.entries import Action, AuditRequest
from vault_etl.audit.log import audit_request
from vault_etl.audit.postgres import PostgresAuditLog
from vault_etl.base.pii import Pii
from vault_etl.crypto.fields import EventName, FieldName
from vault_etl.declaration.json_path import JsonPath
from vault_etl.declaration.model import (
    Declaration,
    DeclaredEvent,
    Discriminator,
    PersonalValue,
    PlainColumn,
    PlainType,
)
from vault_etl.declaration.names import NAME, is_reserved_column
from vault_etl.declaration.sql import LINE, rendered
from vault_etl.erase.erase import RecordTarget, UserTarget
from vault_etl.erase.postgres import PostgresEraser
from vault_etl.local.postgres import RunningPostgres
from vault_etl.platform.postgres import Database
from vault_etl.platform.resources import resource_dir
from vault_etl.records.postgres_months import PostgresMonths
from vault_etl.reveal.duplicates import SharedTokenQuery
from vault_etl.reveal.find import Find, FindUser
from vault_etl.reveal.postgres import PostgresDisclosedValues
from vault_etl.reveal.postgres_duplicates import PostgresDuplicateFinder
from vault_etl.reveal.postgres_find import PostgresRecordFinder
from vault_etl.reveal.reveal import Reveal
from vault_etl.schema.postgres_migrations import PostgresMigrations

ADDRESS: Final = "198.51.100.7"
_WITHOUT: Final = re.compile(r"--[^\n]*|'[^']*'|%\(\w+\)s")
_BARE: Final = re.compile(r'(?<![\w.$"])[a-z]\w*(?![\w("])')
"""Names as SQL here has them: key words are in capitals. Names behind an alias, and functions, are left out."""


_ALIAS: Final = re.compile(
    r"\bAS (?:MATERIALIZED )?([a-z]\w+)|\b([a-z]\w+) AS (?:MATERIALIZED )?\("
)


@cache
def templates() -> Sequence[str]:
    """The rendered migrations and files of blocks that depend on the declaration, without comments and texts."""
    package = Path(vault_etl.__file__).parent
    paths = [*package.rglob("*.sql"), *resource_dir("migrations").glob("0*.sql")]
    texts = (path.read_text(encoding="utf-8") for path in paths)
    return [_WITHOUT.sub("", rendered(t, DEFAULT)) for t in texts if LINE in t or "{{" in t]


def names() -> Sequence[str]:
    """The bare names in them that a declaration may have: variables, parameters, columns, types."""
    found = {name for text in templates() for name in _BARE.findall(text)}
    words = {"user", "order", "current_user", "select", "default", "all"}
    taken = {
        column for event in DEFAULT.events for value in event.values for column in value.columns
    }
    return sorted(
        name
        for name in found | words
        if NAME.fullmatch(name) and not is_reserved_column(name) and name not in taken
    )


def token_names() -> Sequence[str]:
    """The names of columns and of queries where tokens are read by pages, in queries that are inside others."""
    texts = [text for text in templates() if " AS page" in text]
    found = {name for text in texts for pair in _ALIAS.findall(text) for name in pair}
    return sorted(found.intersection(names()))


def clashing() -> Declaration:
    """The login event with a column of each name, and another event with the second half of the tokens.

    A function has at most 100 arguments, and one takes each token twice.
    """
    (logins,) = DEFAULT.events
    kind_of = Discriminator(JsonPath.parse("$.event"), "logins")
    values = tuple(map(_value, token_names()))
    half = len(values) // 2
    others = sorted(set(names()) - {value.name for value in values[:half]})
    columns = tuple(PlainColumn(name, PlainType.BOOLEAN, _path(name)) for name in others)
    first = replace(logins, plain=(*logins.plain, *columns), personal=values[:half], when=kind_of)
    when = replace(kind_of, equals="others")
    second = replace(logins, name=EventName("others"), personal=values[half:], when=when)
    return replace(DEFAULT, events=(first, second))


def _path(name: str) -> JsonPath:
    return JsonPath(("words", name))


def _value(name: str) -> PersonalValue:
    return PersonalValue(FieldName(name), DEFAULT.field(IP), _path(name), name)


@pytest.fixture(scope="module")
def site(postgres: RunningPostgres) -> Iterator[DeclaredSite]:
    """A vault of this declaration with two records of each event."""
    declaration = clashing()
    with empty(postgres) as scratch:
        database = Database(scratch.url("admin"))
        PostgresMigrations(database, resource_dir("migrations"), declaration=declaration).apply()
        database.close()
        with declared_site(scratch, declaration) as made:
            for event in declaration.events:
                made.load(*([message(event)] * 2))
            yield made


def message(event: DeclaredEvent) -> Mapping[str, Any]:
    """A message with every value of the event."""
    values = {value.name for value in event.personal}
    words = {name: ADDRESS if name in values else True for name in names()}
    return {"event": event.when and event.when.equals, "words": words}


def stored(site: DeclaredSite) -> int:
    """Open all values, compare their tokens, and return how many values there are."""
    assert site.scratch.sql("SELECT * FROM vault_etl.values_miscounted()") == []
    return len(site.values())


def test_all_values_are_stored_and_rotated(site: DeclaredSite) -> None:
    """Each opens to its tokens, before and after rotations of the data keys and of the token keys."""
    before = stored(site)
    assert before == 2 * sum(len(event.personal) for event in site.declaration.events)
    assert site.rotate().values_remaining == 0
    site.begin(rotate_request(*site.declaration.field_names), 1)
    site.abort()
    assert site.rotate_tokens().rows == 2 * len(site.declaration.events)
    assert stored(site) == before


def test_accesses_find_and_open_them(site: DeclaredSite) -> None:
    """A value, a user's records, a record, and equal tokens; no plain column hides one of them."""
    with site.scratch.database("reveal") as database, site.scratch.database("analyst") as analyst:
        audit, finder = PostgresAuditLog(database), PostgresRecordFinder(database)
        find = Find(audit, finder, site.ring(), site.declaration)
        found = find(asked(Action.FIND, IP), Pii.of_text(ADDRESS), 100)
        assert found.holders.count == 2 * len(site.declaration.events)
        of_user, _ = FindUser(audit, finder)(asked(Action.FIND), "user-1")
        assert of_user.count == found.holders.count
        assert max(len(one.details) for one in of_user.newest) > len(names()) / 2
        values = PostgresDisclosedValues(database)
        reveal = Reveal(audit, values, site.ring(), PostgresMonths(database), site.declaration)
        for record in of_user.newest:
            shown = reveal(asked(Action.REVEAL, IP, record_id=record.record_id))
            assert {value and value.expose() for value in shown.values.values()} == {
                ADDRESS.encode()
            }
        query = SharedTokenQuery(field=IP, limit=9)
        (shared,) = PostgresDuplicateFinder(analyst, site.declaration).shared_tokens(query)
        assert shared.count == len([v for v in site.values() if v.field == IP])


def test_months_are_put_away_and_taken_back(site: DeclaredSite) -> None:
    """Their rows get the tokens of a rotation that went by."""
    before = stored(site)
    months = [site.detach(event.name) for event in site.declaration.events]
    assert site.rotate_tokens().rows == 0
    for month in months:
        assert site.retoken(month).rows == 2
        site.attach(month)
    assert stored(site) == before


def test_all_is_erased(site: DeclaredSite) -> None:
    """A record by its id, and all others by their user."""
    with site.scratch.database("erase") as database:
        eraser = PostgresEraser(database, site.declaration)
        ((record_id,),) = site.scratch.sql("SELECT record_id FROM vault_etl.others LIMIT 1")
        erased = eraser.erase(asked(Action.ERASE), RecordTarget(record_id))
        assert erased is not None
        assert erased.records == 1
        assert eraser.erase(asked(Action.ERASE), UserTarget("user-1")) is not None
    assert stored(site) == 0


def asked(action: Action, *fields: FieldName, record_id: uuid.UUID | None = None) -> AuditRequest:
    """A request of a person."""
    return audit_request(FakeIdentity(), action, "a test asks", fields=fields, record_id=record_id)
