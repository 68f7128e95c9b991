"""Compare the next tokens with the old ones before a cut-over, and name the rows that are in the way."""

from __future__ import annotations

import shlex
import uuid
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Final, Protocol

from vault_etl.audit.entries import one_line
from vault_etl.base.errors import DataError
from vault_etl.crypto.ciphertext import key_id_in
from vault_etl.crypto.fields import FieldName
from vault_etl.keys.ring import KeyReader
from vault_etl.rotation.leave_out import LeaveOut
from vault_etl.rotation.next_tokens import Generations, RotationTokenMaker, TokenRow

SAMPLE_ROWS: Final = 100
"""Rows from all over the table whose tokens are made again."""

MAX_NAMED: Final = 10
"""Records that an error names, and logins and KMS keys that a plan names."""


@dataclass(frozen=True, slots=True)
class Mapped:
    """Counts of a field in one snapshot: the old tokens, the new tokens, and the pairs that they form."""

    old: int
    new: int
    pairs: int


@dataclass(frozen=True, slots=True)
class Blamed:
    """A number of faulty rows under keys of one login, or under one key of that login."""

    login: str
    rows: int
    key_id: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenComparison:
    """The result of comparing the tokens of all rows in one snapshot.

    `missing` counts the rows that lack a next token for one of their tokens; the first ten are
    named, and the logins and keys that most of them are under. `unequal` are rows with a token
    that pairs with two tokens: one row for each pair, of at most a hundred pairs, drawn at
    random. `left_out` counts the rows that were left out of the pending generation.
    `partitions` are the database's ids of the partitions in the snapshot.
    """

    fields: Mapping[FieldName, Mapped]
    missing: int = 0
    missing_ids: tuple[uuid.UUID, ...] = ()
    blamed: tuple[Blamed, ...] = ()
    unequal: tuple[TokenRow, ...] = ()
    left_out: int = 0
    partitions: tuple[int, ...] | None = field(default=None, compare=False)

    @property
    def holds(self) -> bool:
        """True if old and new tokens map one to one, and no row is missing."""
        return not self.missing and all(m.old == m.new == m.pairs for m in self.fields.values())


class TokenComparer(Protocol):
    """Reads tokens of both generations."""

    def compare(self, generations: Generations) -> TokenComparison:
        """Compare the tokens of all rows that are not left out, in one snapshot."""

    def sample(self, generations: Generations, rows: int) -> Sequence[TokenRow]:
        """Up to `rows` rows from all over the table, with the tokens of both generations."""

    def count(self, generations: Generations | None) -> int:
        """Count the rows without a token of the pending generation; for None, the rows with any token."""


OnRecord = Callable[[Sequence[TokenRow]], AbstractContextManager[object]]
"""Puts an entry of the log around the opening of these rows."""


def compare_tokens(
    comparer: TokenComparer, maker: RotationTokenMaker, keys: KeyReader, on_record: OnRecord
) -> TokenComparison:
    """Return the comparison if old and new tokens map one to one, in all rows not left out, and a sample is right.

    The comparison is of one snapshot. Rows that are committed later have both tokens from their loader, or the
    fence refuses them. Rows are opened within `on_record`. Raises DataError, naming records, logins
    and keys, and what `RotationTokenMaker.make` raises.
    """
    comparison = comparer.compare(maker.generations)
    if comparison.missing:
        what = f"no next token in {comparison.missing} records"
        takes = _narrowest(comparison.missing, comparison.blamed)
        raise _refused(what, comparison.missing_ids, comparison.blamed, takes)
    if not comparison.holds:
        wrong = _wrong(comparison.unequal, maker, on_record) or comparison.unequal
        what = f"tokens that do not map one to one, in at least {len(wrong)} records"
        raise _refused_rows(what, wrong, keys)
    # A row that was left out has no next token to compare.
    sample = [row for row in comparer.sample(maker.generations, SAMPLE_ROWS) if row.next_tokens]
    if wrong := _wrong(sample, maker, on_record):
        what = f"a token that is not of the record's value, in at least {len(wrong)} records"
        raise _refused_rows(what, wrong, keys)
    return comparison


def _wrong(
    rows: Sequence[TokenRow], maker: RotationTokenMaker, on_record: OnRecord
) -> Sequence[TokenRow]:
    """The rows that do not open to both of their tokens, but not the correct rows that share a token with them."""
    if not rows:
        return []
    with on_record(rows):
        made = maker.make(rows)
    return [row for row in rows if made.get(row.record_id) != row.next_tokens]


def _refused_rows(what: str, rows: Sequence[TokenRow], keys: KeyReader) -> DataError:
    """Build the error for a few rows. A row counts once for each login, and for each key, that it is under.

    The hint names no key: more such rows may exist, each under another key of the same login.
    """
    under = [{key_id_in(s) for s in row.ciphertexts.values()} for row in rows]
    logins = {key.key_id: key.created_by for key in keys.keys(set[int]().union(*under))}
    by_login = Counter(login for ids in under for login in {logins[i] for i in ids & logins.keys()})
    by_key = Counter(key_id for ids in under for key_id in ids & logins.keys())
    blamed = [Blamed(login, count) for login, count in by_login.most_common(3)]
    blamed += [Blamed(logins[key_id], count, key_id) for key_id, count in by_key.most_common(3)]
    takes = _narrowest(len(rows), [each for each in blamed if each.key_id is None])
    return _refused(what, [row.record_id for row in rows], blamed, takes)


def _refused(
    what: str,
    record_ids: Sequence[uuid.UUID],
    blamed: Sequence[Blamed],
    takes: Sequence[LeaveOut],
) -> DataError:
    named = ", ".join(map(str, record_ids[:MAX_NAMED]))
    found = "".join(
        f"; {each.rows} of them under keys of {one_line(each.login)}"
        if each.key_id is None
        else f"; {each.rows} under key {each.key_id} of {one_line(each.login)}"
        for each in blamed
    )
    options = " ".join(f"--leave-out {shlex.quote(str(each))}" for each in takes)
    hint = "these rows do not open, or hold another's token: mend them, or leave out what does not open"
    return DataError(
        f"nothing is cut over: {what}: {named}{found}",
        hint=f"{hint} of the rows under the keys at fault: {options}"
        if options
        else f"{hint}: --leave-out ID",
    )


def _narrowest(rows: int, blamed: Sequence[Blamed]) -> Sequence[LeaveOut]:
    """The narrowest names that take all rows: a key, or a login, or else all logins."""
    whole = [each for each in blamed if each.rows == rows]
    keys = [each for each in whole if each.key_id is not None]
    logins = [each for each in blamed if each.key_id is None]
    return [_named(each) for each in (keys or whole)[:1] or logins]


def _named(blamed: Blamed) -> LeaveOut:
    if blamed.key_id is None:
        return LeaveOut(login=blamed.login)
    return LeaveOut(key_id=blamed.key_id)
