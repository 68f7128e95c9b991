"""Checks of logins: a login has a role, and no login opens token keys and also reads tokens."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pytest

from tests.kit.fakes.identity import FakeIdentity
from vault_etl.audit.log import Identity
from vault_etl.base.errors import UnavailableError
from vault_etl.doctor import logins
from vault_etl.doctor.diagnose import Verdict
from vault_etl.doctor.logins import LoginRights, OddMember

REAL = "arn:aws:sts::111122223333:assumed-role/vault-etl-ingest/task"
EMULATED = [f"arn:aws:iam::{account}:user/x" for account in ("000000000000", "123456789012")]


@dataclass
class Rights:
    """The rights of this login, and the logins that mix roles."""

    superuser: bool = False
    this: bool = False
    others: tuple[str, ...] = ()

    def separation(self, identity: Callable[[], Identity]) -> Verdict:
        """Check these rights as a caller of this identity."""
        mixed = dict.fromkeys(self.others, False) | ({"me": True} if self.this else {})
        rights = LoginRights(self.superuser, ("ingest",))
        return logins.separation(rights, mixed, identity)


def by(arn: str) -> Callable[[], Identity]:
    """Return the identity of this ARN."""
    return lambda: FakeIdentity(arn)


def test_roles_are_listed() -> None:
    """A login without a role can do nothing; the hint says what it lacks."""
    both = logins.roles(LoginRights(False, ("audit", "re_encrypt")))
    assert (both.ok, both.detail) == (True, "audit, re_encrypt")
    assert logins.roles(LoginRights(True, ())).ok
    none = logins.roles(LoginRights(False, ()))
    assert none.ok is False
    assert "GRANT" in str(none.hint)


MIXED = [
    Rights(this=True),
    Rights(others=("ana", "bob")),
    Rights(superuser=True),
    Rights(this=True, others=("ana",)),
]


@pytest.mark.parametrize("rights", MIXED, ids=["this", "others", "superuser", "both"])
def test_a_login_that_holds_both_is_a_fault(rights: Rights) -> None:
    """The login is this one, another one, or a superuser."""
    verdict = rights.separation(by(REAL))
    assert verdict.ok is False
    assert "REVOKE" in str(verdict.hint)
    assert ("this login" in verdict.detail) == (rights.this or rights.superuser)
    assert all(name in verdict.detail for name in rights.others)


@pytest.mark.parametrize("arn", EMULATED)
@pytest.mark.parametrize("rights", MIXED, ids=["this", "others", "superuser", "both"])
def test_mixed_rights_in_an_emulator_are_a_warning(rights: Rights, arn: str) -> None:
    """The keys of an emulator guard no secret; the rights are reported nevertheless."""
    verdict = rights.separation(by(arn))
    assert verdict.ok is True
    assert verdict.detail.startswith("warning: ")


def test_mixed_rights_are_a_fault_if_aws_does_not_answer() -> None:
    """An account that AWS does not confirm counts as a real one."""

    def unreachable() -> Identity:
        raise UnavailableError("STS cannot be reached")

    assert Rights(this=True).separation(unreachable).ok is False


def test_separate_roles_are_good() -> None:
    """The check does not call AWS then."""

    def never() -> Identity:
        raise AssertionError

    assert Rights().separation(never).ok is True


ODD = (OddMember("eve", "has SUPERUSER", True), OddMember("dba", "may grant x", False))


def test_a_member_with_more_rights_has_a_verdict_of_its_own() -> None:
    """The hint says what to revoke; rights that an administrator may need are reported if nothing is wrong."""
    (fault,) = logins.members(ODD, [], by(REAL))
    assert (fault.ok, fault.detail) == (False, "eve has SUPERUSER")
    assert "REVOKE" in str(fault.hint)
    (told,) = logins.members(ODD[1:], ["database staging"], by(REAL))
    assert told.ok is True
    assert told.detail.endswith(
        "its roles are those of a vault elsewhere too: database staging, dba may grant x"
    )


@pytest.mark.parametrize("arn", EMULATED)
def test_members_of_an_emulator_are_a_warning(arn: str) -> None:
    """In an emulator the owner is a login beside the superuser that owns the database."""
    (told,) = logins.members(ODD, [], by(arn))
    assert (told.ok, told.detail[:24]) == (True, "warning: eve has SUPERUS")


def test_many_names_are_shortened() -> None:
    """The verdict names five, and counts the others."""
    found = Rights(others=tuple("abcdefg")).separation(by(REAL))
    assert "a, b, c, d, e and 2 more" in found.detail
