"""Names of dropped fields: the names that may be shown, and how many are counted apart."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vault_etl.event.extra_fields import MAX_NAMES, MAX_SHOWN, OTHERS, ExtraFields, shown_names

SHOWN = ("email", "phone_number", "x-forwarded-for", "geo.city", "_id", "sha256", "ipv4", "a" * 64)
HIDDEN = (
    "",
    "203.0.113.7",
    "2001:db8::1",
    "fe80::1",
    "ann@example.com",
    "+4915112345678",
    "tel_4915112345678",
    "593-47-5928",
    "d41d8cd98f00b204e9800998ecf8427e",
    "a81bc81b-dead-4e5d-abff-90865d1e13b1",
    "Ann Example",
    "na\u00efve",
    "email\n",
    "\x1b[31m",
    "a" * 65,
    OTHERS,
)


def test_a_name_that_looks_like_a_fields_is_shown() -> None:
    """Letters, and what else names are made of."""
    assert shown_names(SHOWN) == tuple(sorted(SHOWN))


@pytest.mark.parametrize("name", HIDDEN)
def test_a_name_that_may_be_a_value_is_not_shown(name: str) -> None:
    """Addresses, numbers, e-mail addresses, ids and control sequences are counted, and not shown."""
    assert shown_names([name]) == (OTHERS,)


def test_the_most_frequent_names_are_shown_and_the_rest_is_counted() -> None:
    """The most frequent come first, equal ones by name; the rest is counted as `OTHERS`, at the end."""
    fields = ExtraFields()
    fields.add(["email", "phone", "phone", OTHERS])
    assert list(fields.most().items()) == [("phone", 2), ("email", 1), (OTHERS, 1)]
    fields.merge({f"f_{chr(97 + n % 26)}{chr(97 + n // 26)}": 5 for n in range(MAX_SHOWN)})
    assert list(fields.most().values()) == [5] * MAX_SHOWN + [4]
    assert fields.total == 5 * MAX_SHOWN + 4


@given(st.lists(st.text(max_size=5), max_size=300))
def test_every_dropped_field_is_counted(names: list[str]) -> None:
    """Few names are kept, and all fields are counted, however many names there are."""
    fields, parent = ExtraFields(), ExtraFields()
    fields.add(names)
    parent.merge(fields.counts)
    assert fields.total == parent.total == len(names) == sum(parent.most().values())
    assert len(fields.counts) <= MAX_NAMES + 1
    assert len(parent.most()) <= MAX_SHOWN + 1
