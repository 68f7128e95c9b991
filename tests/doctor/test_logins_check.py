"""A login has a role, and no login that opens token keys reads tokens."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import pytest

from vault_etl.audit.log import Identity
from vault_etl.base.errors import UnavailableError
from vault_etl.doctor.checks import logins
from vault_etl.doctor.views import LoginRights, OddMember

REAL = "arn:aws:sts::111122223333:assumed-role/vault-etl-ingest/task"
EMULATED = [f"arn:aws:iam::{account}:user/x" for account in ("000000000000", "123456789012")]


@dataclass
class Facts:
    """`LoginFacts` as a test says."""

    superuser: bool = False
    roles: tuple[str, ...] = ("vault_etl_ingest",)
    this: bool = False
    others: tuple[str, ...] = ()
    odd: tuple[OddMember, ...] = ()

    def rights(self) -> LoginRights:
        """See `LoginFacts.rights`."""
        return LoginRights(self.superuser, self.roles)

    def mixed_logins(self) -> Mapping[str, bool]:
        """See `LoginFacts.mixed_logins`."""
        return dict.fromkeys(self.others, False) | ({"me": True} if self.this else {})

    def odd_members(self) -> Sequence[OddMember]:
        """See `LoginFacts.odd_members`."""
        return self.odd


@dataclass
class Somebody:
    """`Identity` of an ARN."""

    arn: str

    def actor(self) -> str:
        """See `Identity.actor`."""
        return self.arn

    def host(self) -> str:
        """See `Identity.host`."""
        return "host.example"


def by(arn: str) -> Callable[[], Identity]:
    """Whoever AWS says it is."""
    return lambda: Somebody(arn)


def test_roles_are_listed_without_their_prefix() -> None:
    """A login with none can do nothing, and is told what it lacks."""
    both = logins.roles(Facts(roles=("vault_etl_audit", "vault_etl_re_encrypt")))
    assert (both.ok, both.detail) == (True, "audit, re_encrypt")
    assert logins.roles(Facts(superuser=True)).ok
    none = logins.roles(Facts(roles=()))
    assert none.ok is False
    assert "GRANT" in str(none.hint)


MIXED = [
    Facts(this=True),
    Facts(others=("ana", "bob")),
    Facts(superuser=True),
    Facts(this=True, others=("ana",)),
]


@pytest.mark.parametrize("facts", MIXED, ids=["this", "others", "superuser", "both"])
def test_who_holds_both_is_a_fault(facts: Facts) -> None:
    """This login, another one, or one that may do everything."""
    verdict = logins.separation(facts, by(REAL))
    assert verdict.ok is False
    assert "REVOKE" in str(verdict.hint)
    assert ("this login" in verdict.detail) == (facts.this or facts.superuser)
    assert all(name in verdict.detail for name in facts.others)


@pytest.mark.parametrize("arn", EMULATED)
@pytest.mark.parametrize("facts", MIXED, ids=["this", "others", "superuser", "both"])
def test_in_an_emulator_it_is_a_warning(facts: Facts, arn: str) -> None:
    """Its accounts are nobody's, and its keys guard nothing; it is said all the same."""
    verdict = logins.separation(facts, by(arn))
    assert verdict.ok is True
    assert verdict.detail.startswith("warning: ")


def test_who_cannot_say_where_this_is_gets_no_excuse() -> None:
    """Without a word of AWS it counts as real."""

    def nobody() -> Identity:
        raise UnavailableError("STS cannot be reached")

    assert logins.separation(Facts(this=True), nobody).ok is False


def test_apart_is_as_it_should_be() -> None:
    """And AWS need not be asked."""

    def never() -> Identity:
        raise AssertionError

    assert logins.separation(Facts(), never).ok is True


ODD = Facts(odd=(OddMember("eve", "has SUPERUSER", True), OddMember("dba", "may grant x", False)))


def test_a_member_that_may_more_is_a_line_of_its_own() -> None:
    """With what to do; what an administrator may need is told where nothing is wrong."""
    (fault,) = logins.members(ODD, by(REAL))
    assert (fault.ok, fault.detail) == (False, "eve has SUPERUSER")
    assert "REVOKE" in str(fault.hint)
    (told,) = logins.members(Facts(odd=ODD.odd[1:]), by(REAL))
    assert told.ok is True
    assert told.detail.endswith("dba may grant x")


@pytest.mark.parametrize("arn", EMULATED)
def test_members_of_an_emulator_are_a_warning(arn: str) -> None:
    """Its owner is a login beside the superuser that owns the database."""
    (told,) = logins.members(ODD, by(arn))
    assert (told.ok, told.detail[:24]) == (True, "warning: eve has SUPERUS")


def test_many_names_are_shortened() -> None:
    """Five, and how many more."""
    found = logins.separation(Facts(others=tuple("abcdefg")), by(REAL))
    assert "a, b, c, d, e and 2 more" in found.detail
