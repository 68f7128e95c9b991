"""The table of keys: the generations of the token keys, ages, and who wrapped them."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Final

from vault_etl.base.errors import KeyDeniedError
from vault_etl.crypto.fields import PERSONAL_FIELDS, KeyField, KeyPurpose
from vault_etl.crypto.keys import KeyState, StoredKey
from vault_etl.doctor.doctor import Verdict
from vault_etl.doctor.views import KeyWrappings, Trust, ValueCounts
from vault_etl.keys.age import KeyAge, KeyAges
from vault_etl.keys.ring import KeyReader, KeyTrail
from vault_etl.keys.unwrap import KeyUnwrapper, prove_kms

MAX_PENDING: Final = dt.timedelta(days=1)
"""A rotation of the token keys that takes longer was left unfinished."""

_SHOWN: Final = 10
_DAMAGE: Final = "keys were changed by other hands, or restored in part: compare with a backup"
_ROTATE: Final = {
    KeyPurpose.DATA: "`vault-etl keys rotate`; with --if-due for a scheduler",
    KeyPurpose.TOKEN: "`vault-etl keys rotate --tokens`",
}


def token_keys(reader: KeyReader) -> Verdict:
    """One whole generation is active, and at most one, as whole, is pending."""
    keys = reader.token_keys()
    active, pending = (_generations(keys, state) for state in (KeyState.ACTIVE, KeyState.PENDING))
    if not active and not pending:
        return Verdict.bad("there are none", "`vault-etl keys init` with the role re-encrypt")
    for state, generations in ((KeyState.ACTIVE, active), (KeyState.PENDING, pending)):
        if len(generations) > 1:
            return Verdict.bad(f"more than one generation is {state}", _DAMAGE)
        for generation, fields in generations.items():
            if fields != set(PERSONAL_FIELDS):
                return Verdict.bad(f"generation {generation} ({state}) is not whole", _DAMAGE)
    if not active:
        return Verdict.bad("no generation is active", _DAMAGE)
    waiting = "".join(f", generation {generation} pending" for generation in pending)
    return Verdict.good(f"generation {next(iter(active))} active{waiting}")


def pending(ages: KeyAges) -> Verdict:
    """No generation of token keys has been waiting for its cut-over for long."""
    age = ages.oldest(KeyState.PENDING).get(KeyPurpose.TOKEN)
    if age is None:
        return Verdict.good("no generation waits")
    hours = int(age.total_seconds() // 3600)
    detail = f"a generation has been waiting for its cut-over for {hours} hours"
    if age > MAX_PENDING:
        return Verdict.bad(
            detail,
            "`vault-etl keys rotate --tokens` goes on where it was left; --abort takes it back",
        )
    return Verdict.good(detail)


def changes(trail: KeyTrail) -> Verdict:
    """Every key is what the newest entry of the log about it says."""
    strange = trail.unexplained()
    if strange:
        shown = ", ".join(map(str, strange[:_SHOWN]))
        more = f" and {len(strange) - _SHOWN} more" if len(strange) > _SHOWN else ""
        return Verdict.bad(
            f"{len(strange)} keys are not what the audit log says: {shown}{more}",
            "find out who wrote them; rotations adopt none, and --abort ends a pending generation",
        )
    return Verdict.good("every key is what the audit log says")


def age(found: KeyAge) -> Verdict:
    """The oldest active key of a purpose is not older than it may be."""
    values = {
        "age_seconds": None if found.age is None else int(found.age.total_seconds()),
        "limit_days": found.limit_days,
        "due": found.is_due,
    }
    if found.is_due:
        return Verdict.bad(str(found), _ROTATE[found.purpose], **values)
    return Verdict.good(str(found), **values)


def trusted(facts: KeyWrappings, trust: Trust) -> Verdict:
    """Every key that is not destroyed was wrapped by a KMS key that the settings trust."""
    strange = [w for w in facts.wrappings() if not trust.trusts(w.purpose, w.kms_key_arn)]
    if strange:
        counts = (f"{w.keys} {w.purpose} keys by {w.kms_key_arn}" for w in strange)
        return Verdict.bad(
            f"wrapped by KMS keys that are not trusted here: {', '.join(counts)}",
            "if they are yours, add them to VAULT_ETL_TRUSTED_KEY_ARNS; else find out who wrote them, and"
            " `vault-etl erase` what is under them",
        )
    return Verdict.good("every key was wrapped by a trusted KMS key")


def token_generations(facts: ValueCounts, *, every_row: bool) -> Verdict:
    """The table takes tokens of the active generation alone, and has no others."""
    found = facts.token_generations(every_row=every_row)
    if found.active is None:
        return Verdict.unknown("there are no token keys yet")
    looked = f"{'all' if every_row else 'a sample of'} {found.looked_at} rows"
    if found.others:
        return Verdict.bad(
            f"{found.others} of {looked} have tokens of another generation than {found.active}: they join nothing",
            "was a month attached, or a row replicated, by hand? (docs/how-to/months.md, Months that do not fit)",
        )
    if found.held != found.active:
        return Verdict.bad(
            f"the table's constraint tokens_of_one_generation does not say generation {found.active}",
            "make it again as the owner, as migrations/0018_token_generations.sql does (docs/operations/doctor.md,"
            " Guards that were changed)",
        )
    return Verdict.good(f"{looked} have tokens of generation {found.active} or none")


def counts(facts: ValueCounts) -> Verdict:
    """The values under each key are as many as each commit has counted."""
    wrong = facts.miscounted()
    if wrong:
        shown = ", ".join(
            f"{m.field} {m.number} in {m.month}: {m.counted}, kept {m.kept}" for m in wrong[:_SHOWN]
        )
        more = f" and {len(wrong) - _SHOWN} more" if len(wrong) > _SHOWN else ""
        return Verdict.bad(
            f"values were added or removed past the triggers, {shown}{more}",
            "was a month attached, detached or written into by hand? `SELECT public.recount_values()` as the"
            " owner counts again",
        )
    return Verdict.good("the kept counts are those of all rows")


def contexts(reader: KeyReader, unwrapper: KeyUnwrapper) -> Verdict:
    """KMS opens a token key, and under no other context than its own.

    A role that may open one field alone proves it with that one. Raises KeyDeniedError for a role
    that may open none, and what is wrong with the first key that it may open.
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
        return Verdict.unknown("there is no token key to prove it with")
    raise refusal


def _generations(keys: Sequence[StoredKey], state: KeyState) -> Mapping[int | None, set[KeyField]]:
    found: dict[int | None, set[KeyField]] = {}
    for key in keys:
        if key.state is state:
            found.setdefault(key.generation, set()).add(key.field)
    return found
