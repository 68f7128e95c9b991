"""Checks of keys: generations of token keys, ages, wrappings, and the values counted under each key."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from vault_etl.base.errors import KeyDeniedError
from vault_etl.crypto.fields import FieldName, KeyPurpose
from vault_etl.crypto.keys import KeyState, StoredKey
from vault_etl.doctor.diagnose import Verdict
from vault_etl.keys.age import KeyAge, KeyAges
from vault_etl.keys.ring import KeyReader, KeyTrail
from vault_etl.keys.unwrap import KeyUnwrapper, prove_kms

MAX_PENDING: Final = dt.timedelta(days=1)
"""A rotation of the token keys that takes longer counts as abandoned."""

_SHOWN: Final = 10
_DAMAGE: Final = "keys were changed by another program, or restored in part: compare with a backup"
_ROTATE: Final = {
    KeyPurpose.DATA: "`vault-etl keys rotate`; with --if-due for a scheduler",
    KeyPurpose.TOKEN: "`vault-etl keys rotate --tokens`",
}


@dataclass(frozen=True, slots=True)
class Wrapping:
    """The number of keys of a purpose that a KMS key has wrapped, without destroyed keys."""

    purpose: KeyPurpose
    kms_key_arn: str
    keys: int


@dataclass(frozen=True, slots=True)
class TokenGenerations:
    """The generations of the tokens in the table."""

    active: int | None
    """The active generation of the token keys."""
    held: int | None
    """The generation that the table's constraint demands."""
    others: int
    """Rows with tokens of another generation than the active one."""
    rows_read: int


@dataclass(frozen=True, slots=True)
class Miscount:
    """A count that differs from the rows: of a field's key, or of a generation (`token`), in a month (2026-01)."""

    field: str
    number: int
    month: str
    kept: int
    counted: int


def token_keys(reader: KeyReader, declared: Sequence[FieldName]) -> Verdict:
    """Check that one generation is active, and at most one pending, each with a key of each declared field."""
    keys = reader.token_keys()
    active, pending = (_generations(keys, state) for state in (KeyState.ACTIVE, KeyState.PENDING))
    if not active and not pending:
        return Verdict.bad(
            "there are no token keys", "`vault-etl keys init` with the role re-encrypt"
        )
    for state, generations in ((KeyState.ACTIVE, active), (KeyState.PENDING, pending)):
        if len(generations) > 1:
            return Verdict.bad(f"more than one generation is {state}", _DAMAGE)
        for generation, fields in generations.items():
            if missing := sorted(set(declared) - fields):
                return Verdict.bad(
                    f"generation {generation} ({state}) has no key of {', '.join(missing)}",
                    "`vault-etl keys init` with the role re-encrypt makes the keys of new fields",
                )
            if fields != set(declared):
                return Verdict.bad(f"generation {generation} ({state}) is not whole", _DAMAGE)
    if not active:
        return Verdict.bad("no generation is active", _DAMAGE)
    waiting = "".join(f", generation {generation} pending" for generation in pending)
    return Verdict.good(f"generation {next(iter(active))} active{waiting}")


def pending(ages: KeyAges) -> Verdict:
    """Check that no generation of token keys has been waiting for its cut-over for more than a day."""
    age = ages.oldest(KeyState.PENDING).get(KeyPurpose.TOKEN)
    if age is None:
        return Verdict.good("no generation waits")
    hours = int(age.total_seconds() // 3600)
    detail = f"a generation has been waiting for its cut-over for {hours} hours"
    if age > MAX_PENDING:
        return Verdict.bad(
            detail,
            "`vault-etl keys rotate --tokens` continues the rotation; --abort undoes it",
        )
    return Verdict.good(detail)


def changes(trail: KeyTrail) -> Verdict:
    """Check that every key is in the state that the newest audit entry about it says."""
    strange = trail.unexplained()
    if strange:
        shown = ", ".join(map(str, strange[:_SHOWN]))
        more = f" and {len(strange) - _SHOWN} more" if len(strange) > _SHOWN else ""
        return Verdict.bad(
            f"{len(strange)} keys differ from the audit log: {shown}{more}",
            "find out who wrote them; rotations use none of them, and --abort ends a pending generation",
        )
    return Verdict.good("every key is what the audit log says")


def age(found: KeyAge) -> Verdict:
    """Check that the oldest active key of a purpose has not reached its limit."""
    values = {
        "age_seconds": None if found.age is None else int(found.age.total_seconds()),
        "limit_days": found.limit_days,
        "due": found.is_due,
    }
    if found.is_due:
        return Verdict.bad(str(found), _ROTATE[found.purpose], **values)
    return Verdict.good(str(found), **values)


def trusted(
    wrappings: Sequence[Wrapping], is_trusted: Callable[[KeyPurpose, str], bool]
) -> Verdict:
    """Check that every key was wrapped by a KMS key (ARN) that the settings trust for its purpose."""
    strange = [w for w in wrappings if not is_trusted(w.purpose, w.kms_key_arn)]
    if strange:
        counts = (f"{w.keys} {w.purpose} keys by {w.kms_key_arn}" for w in strange)
        return Verdict.bad(
            f"wrapped by KMS keys that are not trusted here: {', '.join(counts)}",
            "if these KMS keys are yours, add them to VAULT_ETL_TRUSTED_KEY_ARNS; else find out who wrote them, and"
            " `vault-etl erase` what is under them",
        )
    return Verdict.good("every key was wrapped by a trusted KMS key")


def token_generations(found: TokenGenerations, *, every_row: bool) -> Verdict:
    """Check that the table accepts, and has, only tokens of the active generation."""
    if found.active is None:
        return Verdict.unknown("there are no token keys yet")
    rows = f"{'all' if every_row else 'a sample of'} {found.rows_read} rows"
    if found.others:
        return Verdict.bad(
            f"{found.others} of {rows} have tokens of another generation than {found.active}: joins miss them",
            "was a month attached, or a row replicated, by hand? (docs/how-to/months.md, Months that do not fit)",
        )
    if found.held != found.active:
        return Verdict.bad(
            f"the table's constraint tokens_of_one_generation does not say generation {found.active}",
            "make the constraint again as the owner, as migrations/0021_cut_over.sql does"
            " (docs/operations/doctor.md, Guards that were changed)",
        )
    return Verdict.good(f"{rows} have tokens of generation {found.active} or none")


def counts(wrong: Sequence[Miscount]) -> Verdict:
    """Check that the kept counts of values under each key are those of the rows."""
    if wrong:
        shown = ", ".join(
            f"{m.field} {m.number} in {m.month}: {m.counted}, kept {m.kept}" for m in wrong[:_SHOWN]
        )
        more = f" and {len(wrong) - _SHOWN} more" if len(wrong) > _SHOWN else ""
        return Verdict.bad(
            f"values were added or removed without the triggers: {shown}{more}",
            "was a month attached, detached or written into by hand? `SELECT vault_etl.recount_values()` as the"
            " owner counts again",
        )
    return Verdict.good("the kept counts are those of all rows")


def contexts(reader: KeyReader, unwrapper: KeyUnwrapper) -> Verdict:
    """Check that KMS unwraps a token key under its own encryption context, and under no other.

    A role that may unwrap the key of one field proves this with that key. Raises KeyDeniedError for a role that may
    unwrap no token key, and what `prove_kms` raises for the first key that the role may unwrap.
    """
    refusal: KeyDeniedError | None = None
    for key in reader.token_keys():
        if key.state is KeyState.ACTIVE:
            try:
                prove_kms(key, unwrapper)
            except KeyDeniedError as error:
                refusal = refusal or error
            else:
                return Verdict.good("KMS opens keys under their own context alone")
    if refusal is None:
        return Verdict.unknown("there is no token key to test with")
    raise refusal


def _generations(keys: Sequence[StoredKey], state: KeyState) -> Mapping[int | None, set[FieldName]]:
    found: dict[int | None, set[FieldName]] = {}
    for key in keys:
        if key.state is state:
            found.setdefault(key.generation, set()).add(key.field)
    return found
