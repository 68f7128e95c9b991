"""Prove the audit log: chain, head, checkpoints, and what entries are bound to. In one pass."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from vault_etl.core.audit import Action, Decision, Phase
from vault_etl.core.audit_chain import LoggedEntry, genesis
from vault_etl.core.audit_key import AuditKey
from vault_etl.core.checkpoint import Head
from vault_etl.ports.audit_proof import LogSnapshot
from vault_etl.services.verify_notes import KeptNote, NoteJudge, Problem

MAX_LISTED: Final = 1_000
"""Of the entries that a proof lists, so that its memory is bounded whatever is in the log."""

_BOUND: Final = {Action.POLICY_SET, Action.KEY_REGISTER}


@dataclass(slots=True)
class Proof:
    """What holds up to `head`, and the first problem, if there is one.

    `unfinished` are intents without an outcome: read them as "possibly revealed". `unsigned` are
    outcomes that were done and have no checkpoint of their own: signing failed and nothing was
    shown, or somebody removed it. Both list 1,000 at most.
    """

    head: Head
    checkpoints: int = 0
    unfinished: list[int] = field(default_factory=list)
    unsigned: list[int] = field(default_factory=list)
    problem: Problem | None = None


def verify_log(
    snapshot: LogSnapshot, keys: Sequence[AuditKey], kept: Sequence[KeptNote] = ()
) -> Proof:
    """Check every entry, every checkpoint that is stored, and those that were kept elsewhere."""
    return _Pass(snapshot, keys, kept).run()


class _Pass:
    def __init__(
        self, snapshot: LogSnapshot, keys: Sequence[AuditKey], kept: Sequence[KeptNote]
    ) -> None:
        self._snapshot = snapshot
        vault_id, self._end, bound = snapshot.beginning()
        self._bound = dict(bound)
        self._judge = NoteJudge(vault_id, keys, snapshot.notes(), kept)
        self._proof = Proof(Head(0, genesis(vault_id)))
        self._open: dict[str, int] = {}
        self._signed_since: int | None = None

    def run(self) -> Proof:
        self._proof.problem = next(self._problems(), None)
        self._proof.checkpoints = self._judge.good
        self._proof.unfinished = sorted(self._open.values())[:MAX_LISTED]
        return self._proof

    def _problems(self) -> Iterator[Problem]:
        yield from self._judge.at(self._proof.head)
        for entry in self._snapshot.entries():
            yield from self._entry(entry)
            self._proof.head = head = Head(entry.seq, entry.hash or b"")
            good = self._judge.good
            yield from self._judge.at(head)
            self._note(entry, signed=self._judge.good > good)
        yield from self._end_of_log(self._proof.head)

    def _entry(self, entry: LoggedEntry) -> Iterator[Problem]:
        before = self._proof.head
        if entry.seq <= before.seq:
            yield Problem(entry.seq, "stands there twice")
        elif entry.seq != before.seq + 1:
            yield Problem(before.seq + 1, f"is missing: entry {entry.seq} follows {before.seq}")
        elif entry.prev_hash != before.hash:
            if before.seq == 0:
                yield Problem(1, "does not begin the log of this vault")
            yield Problem(
                entry.seq, f"does not continue entry {before.seq}: one of the two was changed"
            )
        elif entry.hash != entry.computed_hash():
            yield Problem(entry.seq, "was changed: its hash is not that of its columns")
        elif (
            entry.action in _BOUND
            and entry.phase == Phase.INTENT
            and self._bound.pop(entry.seq, None) != entry.ticket
        ):
            yield Problem(entry.seq, f"set something ({entry.action}) that was changed since")

    def _note(self, entry: LoggedEntry, *, signed: bool) -> None:
        request_id = entry.request_id or ""
        if entry.phase == Phase.INTENT and entry.decision == Decision.ALLOWED:
            self._open[request_id] = entry.seq
        elif entry.phase == Phase.OUTCOME:
            self._open.pop(request_id, None)
            if (
                self._signed_since is not None
                and not signed
                and entry.decision == Decision.DONE
                and entry.action not in _BOUND
                and len(self._proof.unsigned) < MAX_LISTED
            ):
                self._proof.unsigned.append(entry.seq)
        if entry.action == Action.KEY_REGISTER and self._signed_since is None:
            self._signed_since = entry.seq

    def _end_of_log(self, last: Head) -> Iterator[Problem]:
        yield from self._judge.behind(last)
        if self._end is None:
            yield Problem(last.seq, "is the last, and the log has lost its head")
        elif self._end.seq > last.seq:
            yield Problem(last.seq + 1, f"is missing: the head is entry {self._end.seq}")
        elif self._end.seq < last.seq:
            yield Problem(self._end.seq + 1, f"was added: the head is entry {self._end.seq}")
        elif self._end.hash != last.hash:
            yield Problem(last.seq, "is not the head of the log: one of the two was changed")
        for seq in sorted(self._bound):
            yield Problem(seq, "set no policy and no key, and one stands under its number")
