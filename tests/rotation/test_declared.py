"""Rotations follow from the declaration: the same claims hold for the default and for one with more values."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Iterator
from typing import Final

import pytest

from tests.kit.databases import empty
from tests.kit.declarations import BOTH_APART, SHOP, WIDER, widest_first
from tests.kit.declared import DEVICE_ID, IP
from tests.kit.fakes.vault import rotate_request
from tests.rotation.declared_site import DeclaredSite, StoredValue, declared_site
from vault_etl.base.errors import DataError
from vault_etl.crypto.fields import FieldName
from vault_etl.declaration.model import Declaration
from vault_etl.local.postgres import RunningPostgres

EMAIL: Final = FieldName("email")
EVENTS: Final = (
    {"user_id": "u-1", "ip": "198.18.0.1", "home": {"ip": "198.18.0.2"}, "email": "a@b.example"},
    {"user_id": "u-2", "ip": "198.18.0.2", "home": {"ip": "198.18.0.1"}},
    {"user_id": "u-3", "ip": "198.18.0.1", "email": "a@b.example"},
    {"user_id": "u-4", "ip": "198.18.0.3"},
)
"""Equal addresses in both values of one field, and optional values that are not there."""

OF_SHOP: Final = (
    {
        "type": "sign-up",
        "customer": "u-1",
        "email": "a@b.example",
        "phone": "+41446681800",
        "client": {"ip": "198.18.0.1"},
    },
    {
        "type": "order",
        "customer": "u-2",
        "email": "a@b.example",
        "client": {"ip": "198.18.0.2"},
    },
    {
        "type": "sign-up",
        "customer": "u-3",
        "email": "c@d.example",
        "client": {"ip": "198.18.0.2"},
    },
    {"type": "order", "customer": "u-4", "email": "c@d.example"},
)
"""Equal values in two events, and optional ones that are not there."""

LATER: Final = {"user_id": "u-5", "type": "order", "customer": "u-5", "email": "c@d.example"}
"""A message of every declaration here."""


@pytest.fixture(
    params=[
        *BOTH_APART,
        pytest.param(WIDER, id="wider"),
    ]
)
def site(
    request: pytest.FixtureRequest,
    postgres: RunningPostgres,
    migrated_for: Callable[[Declaration], str],
) -> Iterator[DeclaredSite]:
    """A vault of each declaration, with four records."""
    yield from _loaded(postgres, request.param, migrated_for)


@pytest.fixture
def wide(
    postgres: RunningPostgres, migrated_for: Callable[[Declaration], str]
) -> Iterator[DeclaredSite]:
    """A vault of the wider declaration, with the records of `EVENTS`."""
    yield from _loaded(postgres, WIDER, migrated_for)


def _loaded(
    postgres: RunningPostgres,
    declaration: Declaration,
    migrated_for: Callable[[Declaration], str],
) -> Iterator[DeclaredSite]:
    template = migrated_for(declaration)
    with empty(postgres, template) as scratch, declared_site(scratch, declaration) as made:
        made.load(*(OF_SHOP if declaration is SHOP else EVENTS))
        yield made


def texts(site: DeclaredSite) -> list[tuple[uuid.UUID, str, bytes]]:
    """What each value opens to."""
    return [(value.record_id, value.name, value.text) for value in site.values()]


def keys_of(site: DeclaredSite) -> dict[FieldName, set[int]]:
    """The data keys by field."""
    found: dict[FieldName, set[int]] = {}
    for value in site.values():
        found.setdefault(value.field, set()).add(value.key_id)
    return found


def assert_equal_values_have_equal_tokens(values: Iterable[StoredValue]) -> None:
    """In all values of a field, of whatever event."""
    by_value: dict[tuple[FieldName, bytes], set[uuid.UUID]] = {}
    for value in values:
        by_value.setdefault((value.field, value.text), set()).add(value.token)
    assert {len(tokens) for tokens in by_value.values()} == {1}


def test_each_field_has_a_token_key_and_each_value_its_fields_data_key(site: DeclaredSite) -> None:
    """`keys init` makes one a field; two values of one field are under one data key."""
    made = [key.field for key in site.keys.token_keys()]
    assert sorted(made) == sorted(site.declaration.field_names)
    found = keys_of(site)
    assert set(found) == set(site.declaration.field_names)
    assert {len(keys) for keys in found.values()} == {1}


def test_all_data_keys_are_rotated(site: DeclaredSite) -> None:
    """Every value opens to the same text, under another key."""
    before, old = texts(site), keys_of(site)
    report = site.rotate()
    assert (report.values_reencrypted, report.values_remaining) == (len(before), 0)
    assert texts(site) == before
    assert all(not keys & old[field] for field, keys in keys_of(site).items())


def test_the_data_keys_of_one_field_are_rotated(site: DeclaredSite) -> None:
    """All values of the field, of whatever name, are under other keys; no other value is."""
    before, old = texts(site), keys_of(site)
    of_field = [value for value in site.values() if value.field == IP]
    assert site.rotate(IP).values_reencrypted == len(of_field)
    assert texts(site) == before
    changed = {field for field, keys in keys_of(site).items() if keys != old[field]}
    assert changed == {IP}


def test_all_tokens_are_rotated(site: DeclaredSite) -> None:
    """Equal values have equal tokens afterwards, other ones than before, and what is not there has none."""
    before = {(value.record_id, value.name): value for value in site.values()}
    report = site.rotate_tokens()
    assert (report.generation, report.rows, report.left_out) == (2, len(EVENTS), 0)
    assert len(report.created) == len(site.declaration.fields)
    after = site.values()
    assert {(value.record_id, value.name) for value in after} == before.keys()
    assert_equal_values_have_equal_tokens(after)
    for value in after:
        old = before[value.record_id, value.name]
        assert (value.text, value.next_token) == (old.text, old.token)
        assert value.token != old.token


def test_an_event_that_comes_while_a_generation_is_pending_has_both_tokens(
    site: DeclaredSite,
) -> None:
    """The rotation gives a next token to all others."""
    site.begin(rotate_request(*site.declaration.field_names), 1)
    site.load(LATER)
    assert site.rotate_tokens().rows == len(EVENTS)
    assert all(value.next_token for value in site.values())


def test_a_rotation_of_tokens_is_aborted(site: DeclaredSite) -> None:
    """No value has a next token any more; all are what they were."""
    before = site.values()
    site.begin(rotate_request(*site.declaration.field_names), 1)
    site.load(LATER)
    aborted = site.abort()
    assert len(aborted.destroyed) == len(site.declaration.fields)
    assert aborted.rows == 1
    known = {value.record_id for value in before}
    assert [value for value in site.values() if value.record_id in known] == before
    assert not any(value.next_token for value in site.values())


def test_a_value_that_does_not_open_keeps_the_tokens_where_they_are(site: DeclaredSite) -> None:
    """Nothing is cut over, until the record is left out: then it has no token, and all others have new ones."""
    event = widest_first(site.declaration)[0]
    bad = site.values(of=event.name)[0].record_id
    site.scratch.sql(
        f"UPDATE vault_etl.{event.name}"  # noqa: S608
        " SET ip_ciphertext = set_byte(ip_ciphertext, 30, 255 - get_byte(ip_ciphertext, 30))"
        " WHERE record_id = %s",
        bad,
    )
    with pytest.raises(DataError, match=f"no next token in 1 records: {bad}"):
        site.rotate_tokens()
    assert site.rotate_tokens(bad).left_out == 1
    quoted = (f'"{value.token}"' for value in event.personal)
    ((generation, *tokens),) = site.scratch.sql(
        f"SELECT token_generation, {', '.join(quoted)}"  # noqa: S608
        f" FROM vault_etl.{event.name} WHERE record_id = %s",
        bad,
    )
    assert (generation, set(tokens)) == (2, {None})


@pytest.mark.parametrize("name", ["masked_home_ip", "masked_ip", "masked_ip_network"])
def test_a_token_must_be_one_in_all_values_of_its_field(wide: DeclaredSite, name: str) -> None:
    """An address that has one next token as `ip` and another one as `home_ip` is not cut over, nor is a network."""
    site = wide
    site.begin(rotate_request(*site.declaration.field_names), 1)
    once = {"ip": "203.0.113.7", "home": {"ip": "203.0.113.7"}}
    site.load({"user_id": "u-5", **once})
    ((record_id,),) = site.scratch.sql(
        f"UPDATE vault_etl.user_logins SET next_{name} = gen_random_uuid() WHERE user_id = 'u-5'"  # noqa: S608
        " RETURNING record_id"
    )
    with pytest.raises(DataError, match="do not map one to one") as raised:
        site.rotate_tokens()
    assert str(record_id) in str(raised.value)
    assert {value.token for value in site.values() if value.text == b"203.0.113.7"} != set()


def test_a_record_without_any_optional_value_is_no_missing_one(wide: DeclaredSite) -> None:
    """The comparison wants a next token for each token, and none where none is."""
    wide.load({"user_id": "u-6"})
    assert wide.rotate_tokens().rows == len(EVENTS) + 1
    named = {value.name for value in wide.values() if value.field in {IP, DEVICE_ID, EMAIL}}
    assert named == {"ip", "device_id", "home_ip", "email"}


def test_a_forged_token_of_a_derived_form_is_found(wide: DeclaredSite) -> None:
    """The record gets no next token, until it is left out: no token of a derived form stays then either."""
    column = "masked_ip_network"
    ((bad,),) = wide.scratch.sql(
        f"UPDATE vault_etl.user_logins SET {column} = gen_random_uuid() WHERE user_id = 'u-4'"  # noqa: S608
        " RETURNING record_id"
    )
    with pytest.raises(DataError, match=f"no next token in 1 records: {bad}"):
        wide.rotate_tokens()
    assert wide.rotate_tokens(bad).left_out == 1
    (tokens,) = wide.scratch.sql(
        f"SELECT masked_ip, {column} FROM vault_etl.user_logins WHERE record_id = %s",  # noqa: S608
        bad,
    )
    assert tokens == (None, None)


def test_a_detached_month_gets_the_tokens_of_the_active_generation(site: DeclaredSite) -> None:
    """A rotation does not see the month; its rows have the same values, and other tokens, afterwards."""
    event = widest_first(site.declaration)[0].name
    before = {(value.record_id, value.name): value for value in site.values(of=event)}
    rows, others = len({record_id for record_id, _ in before}), site.values()
    name = site.detach(event)
    assert site.values(of=event) == []
    assert site.rotate_tokens().rows == len({value.record_id for value in others}) - rows
    report = site.retoken(name)
    assert (report.generation, report.rows, report.left_out) == (2, rows, 0)
    after = site.values(of=event, table=f"vault_etl_detached.{name}")
    assert {(value.record_id, value.name) for value in after} == before.keys()
    for value in after:
        old = before[value.record_id, value.name]
        assert (value.text, value.next_token) == (old.text, None)
        assert value.token != old.token
    site.attach(name)
    assert_equal_values_have_equal_tokens(site.values())
