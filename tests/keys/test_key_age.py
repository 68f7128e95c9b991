"""Due keys: keys are due when they are older than they may be, and not before."""

from __future__ import annotations

import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vault_etl.crypto.fields import ROTATED, KeyPurpose
from vault_etl.keys.age import KeyAge, key_age

NEVER = dt.timedelta()
DAY = dt.timedelta(days=1)
AGES = st.timedeltas(dt.timedelta(), dt.timedelta(days=4_000))


@given(age=AGES, limit=AGES.filter(bool))
def test_keys_are_due_when_older_than_they_may_be(age: dt.timedelta, limit: dt.timedelta) -> None:
    """Keys at the limit itself are not due."""
    assert KeyAge(KeyPurpose.DATA, age, limit).is_due == (age > limit)
    assert not KeyAge(KeyPurpose.DATA, limit, limit).is_due


@given(age=st.none() | AGES)
def test_an_age_limit_of_0_days_is_no_limit(age: dt.timedelta | None) -> None:
    """With 0 days no key is ever due."""
    assert not KeyAge(KeyPurpose.TOKEN, age, NEVER).is_due


@given(limit=AGES)
def test_a_purpose_without_a_key_is_not_due(limit: dt.timedelta) -> None:
    """A purpose without a key is not due, and has no age."""
    none = KeyAge(KeyPurpose.DATA, None, limit)
    assert (none.is_due, none.age_days) == (False, None)


def test_a_purpose_has_its_own_age_and_limit() -> None:
    """A purpose without an age has no limit either."""
    ages = {KeyPurpose.DATA: 91 * DAY}
    limits = {KeyPurpose.DATA: 90 * DAY, KeyPurpose.TOKEN: 365 * DAY}
    data, token = (key_age(purpose, ages, limits) for purpose in ROTATED)
    assert (data.is_due, data.age_days, data.limit_days) == (True, 91, 90)
    assert (token.is_due, token.age_days, token.limit_days) == (False, None, 365)
    assert key_age(KeyPurpose.DATA, ages, {}).limit_days is None


@pytest.mark.parametrize(
    ("age", "limit", "text"),
    [
        (None, 90 * DAY, "there is no active data key"),
        (12.9 * DAY, 90 * DAY, "the oldest active data key is 12 days old, and due after 90"),
        (12 * DAY, NEVER, "the oldest active data key is 12 days old, and never due"),
    ],
)
def test_the_text_of_a_key_age_is_for_people(
    age: dt.timedelta | None, limit: dt.timedelta, text: str
) -> None:
    """Age and limit in days."""
    assert str(KeyAge(KeyPurpose.DATA, age, limit)) == text
