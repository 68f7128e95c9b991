"""Prove the audit log: chain, head, checkpoints, and what entries are bound to. In one pass, to its end.

Every entry is judged by its own hash and by its link to the one before it, so that one change is
one problem, or two beside each other, and a second change further on is named as well.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from vault_etl.core.audit import Action, Decision, Phase
from vault_etl.core.audit_chain import LoggedEntry, genesis
from vault_etl.core.audit_key import AuditKey
from vault_etl.core.checkpoint import Head
from vault_etl.ports.audit_proof import LogSnapshot
from vault_etl.services.verify_bound import BOUND, BoundJudge, sets
from vault_etl.services.verify_notes import KeptNote, NoteJudge
from vault_etl.services.verify_pairs import Pairs
from vault_etl.services.verify_problems import MAX_LISTED, Kind, Problem, Problems


@dataclass(slots=True)
class Proof:
    """What was found up to `head`, the newest entry that is there.

    `problems` are by weight, and `counts` has those that are not listed too. `unfinished` are
    intents without an outcome: read them as "possibly revealed". `unsigned` are outcomes that were
    done and have no checkpoint of their own: signing failed and nothing was shown, or somebody
    removed it. Every list has 1,000 at most of a kind.
    """

    head: Head
    entries: int = 0
    checkpoints: int = 0
    unfinished: list[int] = field(default_factory=list)
    unsigned: list[int] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        """Whether the log holds: rubbish, which any role can write, does not change that."""
        return not self.counts[Kind.TAMPERED] and not self.counts[Kind.UNPROVEN]

    @property
    def problem(self) -> Problem | None:
        """The heaviest problem, if the log does not hold."""
        return None if self.ok else self.problems[0]


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
        self._problems = problems = Problems()
        vaults = snapshot.vault_ids()
        vault_id = vaults[0] if len(vaults) == 1 else None
        if vault_id is None:
            problems.tampered(0, "does not know which vault it is of: the table vault was changed")
        self._notes = NoteJudge(vault_id, keys, snapshot.checkpoints(), kept, problems)
        self._bound = BoundJudge(vault_id, keys, snapshot.bound(), problems)
        self._pairs = Pairs(problems)
        self._genesis = None if vault_id is None else genesis(vault_id)
        self._last = Head(0, self._genesis or b"")
        self._entries = self._unsigned_count = 0
        self._unsigned: list[int] = []
        self._signed_since: int | None = None

    def run(self) -> Proof:
        """Walk the whole log."""
        self._notes.at(self._last)
        for entry in self._snapshot.entries():
            self._entries += 1
            if entry.seq < 1:
                self._problems.tampered(0, f"has an entry that is numbered {entry.seq}")
                continue
            if self._is_next(entry):
                self._last = Head(entry.seq, entry.hash or b"")
            good = self._notes.good
            if entry.seq >= self._notes.due:
                self._notes.at(self._last)
            self._bound.judge(entry)
            self._pairs.judge(entry)
            self._note_unsigned(entry, signed=self._notes.good > good)
        self._notes.behind(self._last)
        self._bound.behind()
        self._end_of_log()
        for seq in self._snapshot.wrong_amounts():
            self._problems.tampered(
                seq, "does not count for as many values as it says: audit_amounts was changed"
            )
        for key_id in self._snapshot.unexplained_keys():
            self._problems.tampered(
                0, f"does not explain key {key_id}: no entry made it what it is, or took it away"
            )
        return Proof(
            head=self._last,
            entries=self._entries,
            checkpoints=self._notes.good,
            unfinished=self._pairs.unfinished(),
            unsigned=self._unsigned,
            problems=self._problems.by_weight(),
            counts={
                **{str(kind): count for kind, count in self._problems.counts.items()},
                "unfinished": self._pairs.unfinished_count,
                "unsigned": self._unsigned_count,
            },
        )

    def _is_next(self, entry: LoggedEntry) -> bool:
        """Judge an entry, and whether the next one follows it."""
        seq, last, tampered = entry.seq, self._last, self._problems.tampered
        if seq <= last.seq:
            tampered(seq, "stands there twice")
            return False
        linked = True
        if seq != last.seq + 1:
            tampered(last.seq + 1, f"is missing: entry {seq} follows {last.seq}")
        elif entry.prev_hash != last.hash and (seq > 1 or self._genesis is not None):
            linked = False
            tampered(
                seq,
                f"does not continue entry {last.seq}: one of the two was changed"
                if last.seq
                else "does not begin the log of this vault",
            )
        if linked and (entry.hash is None or entry.hash != entry.computed_hash()):
            tampered(seq, "was changed: its hash is not that of its columns")
        return True

    def _note_unsigned(self, entry: LoggedEntry, *, signed: bool) -> None:
        if self._signed_since is None and entry.action == Action.KEY_REGISTER and sets(entry):
            self._signed_since = entry.seq
        elif (
            not signed
            and entry.decision == Decision.DONE
            and entry.phase == Phase.OUTCOME
            and self._signed_since is not None
            and entry.action not in BOUND
            and entry.action != Action.KEYS_RANGE  # its run signs after it
        ):
            self._unsigned_count += 1
            if len(self._unsigned) < MAX_LISTED:
                self._unsigned.append(entry.seq)

    def _end_of_log(self) -> None:
        last, heads, tampered = self._last, self._snapshot.heads(), self._problems.tampered
        if len(heads) != 1:
            tampered(last.seq, "is the last, and the log has lost its head")
        elif heads[0].seq > last.seq:
            tampered(last.seq + 1, f"is missing: the head is entry {heads[0].seq}")
        elif heads[0].seq < last.seq:
            tampered(heads[0].seq + 1, f"was added: the head is entry {heads[0].seq}")
        elif heads[0].hash != last.hash and (last.seq or self._genesis is not None):
            tampered(last.seq, "is not the head of the log: one of the two was changed")
