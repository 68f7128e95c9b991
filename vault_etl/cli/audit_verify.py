"""`vault-etl audit verify`."""

from __future__ import annotations

import json
import re
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Final

import typer

from vault_etl.audit.checkpoint import ORIGIN
from vault_etl.audit.proof import Proof, Severity
from vault_etl.audit.verify_notes import KeptNote
from vault_etl.base.errors import DataError, UsageError
from vault_etl.cli.audit_segments import PublicKeyOption, keys_of, place_of, read_short
from vault_etl.cli.start import VerboseOption, start
from vault_etl.cli.ui.output import OutputOption, QuietOption, print_listing
from vault_etl.platform.replica import Replica

_SHOWN: Final = 10
_NOTE: Final = re.compile(
    rf"^{re.escape(ORIGIN)}\S+\n.*\n.*\n\n(?:\u2014 .*(?:\n|\Z))+", re.MULTILINE
)


def verify(
    *,
    checkpoint: Annotated[
        list[Path] | None,
        typer.Option(
            help="Signed notes from outside the database, or output of reveal. Repeatable."
        ),
    ] = None,
    public_key: PublicKeyOption = None,
    segments: Annotated[
        list[str] | None,
        typer.Option(
            metavar="PLACE",
            help="The place of segments: a folder, or s3://bucket/prefix. Repeatable.",
        ),
    ] = None,
    offline: Annotated[
        bool, typer.Option("--offline", help="Verify only --segments, without the database.")
    ] = False,
    output: OutputOption = None,
    quiet: QuietOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Verify the audit log: every entry, every signature. Lists all problems, the worst first.

    Without --checkpoint, this proves that the log agrees with itself and with the checkpoints that are
    stored beside it. With --checkpoint, the normal use, it proves that nothing before that checkpoint
    was rewritten or cut off.

    Trimmed entries are in segments, and verified with --segments. Without these, the log is verified
    from the end of the last segment, which a checkpoint of the audit key must sign. --offline verifies
    only segments; the effects of entries (a policy, a key) are then not compared.

    "tampered": the log was changed. "unproven": the given files prove nothing. Both exit 65.
    "noise": a role wrote data that proves nothing; the log holds, so this is a warning (exit 0).

    \b
    Examples:
      vault-etl audit verify --checkpoint receipt.txt
      vault-etl audit verify --public-key audit.pem --checkpoint receipt.json
      vault-etl audit verify --segments s3://worm/audit --checkpoint receipt.txt
      vault-etl audit verify --segments ./audit --offline --public-key audit.pem
    """
    from vault_etl.app import audit_proof

    places = [place_of(text) for text in segments or []]
    if offline and not places:
        message = "--offline needs --segments"
        raise UsageError(message, hint="leave --offline out to verify the log in the database")
    kept = [note for path in checkpoint or [] for note in _notes(path)]
    keys = keys_of(public_key)
    parts, _ = start(quiet=quiet, verbose=verbose)
    prove = audit_proof.verify_offline if offline else audit_proof.verify
    proof = prove(parts, keys, kept, places)
    problems = [asdict(problem) for problem in proof.problems]
    source = parts.source
    print_listing(
        _proof(proof, source), "problems", problems, output, columns=("kind", "seq", "what")
    )
    if not quiet:
        _warn(proof, source, outside=offline or bool(kept))
    if proof.problem is not None:
        others = proof.counts[Severity.TAMPERED] + proof.counts[Severity.UNPROVEN] - 1
        more = f" ({others} more)" if others else ""
        message = f"the audit log does not hold: {proof.problem}{more}"
        raise DataError(
            message, hint="do not repair it: keep a copy, and find out who changed it, and when"
        )


def _proof(proof: Proof, source: Replica | None) -> dict[str, object]:
    found: dict[str, object] = {
        "entries": proof.entries,
        "head_seq": proof.head.seq,
        "head_hash": proof.head.hash.hex(),
        "checkpoints": proof.checkpoints,
        "unfinished": proof.unfinished,
        "unsigned": proof.unsigned,
        "unread": [
            {"first_seq": row.first, "last_seq": row.last.seq, "location": row.location}
            for row in proof.unread
        ],
        "ok": proof.ok,
        "counts": proof.counts,
    }
    if proof.problem is not None:
        found |= {"bad_seq": proof.problem.seq, "problem": str(proof.problem)}
    if source is not None:
        found |= {"read_from": source.server, "behind_seconds": source.behind_s}
    return found


def _warn(proof: Proof, source: Replica | None, *, outside: bool) -> None:
    warnings = []
    if source is not None and source.may_lack:
        warnings.append(
            f"the log of the replica ends at entry {proof.head.seq}: later entries are not verified"
        )
    if not outside:
        warnings.append(
            "without a --checkpoint from outside the database, a log that was cut off or rewritten"
            " goes unnoticed"
        )
    if proof.unread:
        warnings.append(
            f"entries {proof.unread[0].first} to {proof.unread[-1].last.seq} are in segments that were not"
            f" read (--segments): {', '.join(str(row.location) for row in proof.unread[:_SHOWN])}"
        )
    if proof.unfinished:
        warnings.append(
            f"no outcome, so possibly revealed: intent {_listed(proof.unfinished, proof.counts['unfinished'])}"
        )
    if proof.unsigned:
        warnings.append(
            "without its own checkpoint, so not shown, or removed since: entry"
            f" {_listed(proof.unsigned, proof.counts['unsigned'])}"
        )
    if noise := proof.counts[Severity.NOISE]:
        warnings.append(
            f"noise, {noise} in all: a role wrote data that proves nothing, or an older audit key"
            " is missing (--public-key)"
        )
    for warning in warnings:
        sys.stderr.write(f"vault-etl: warning: {warning}\n")


def _listed(seqs: list[int], count: int) -> str:
    more = f" and {count - _SHOWN} more" if count > _SHOWN else ""
    return ", ".join(map(str, seqs[:_SHOWN])) + more


def _notes(path: Path) -> list[KeptNote]:
    """All checkpoints in a file: signed notes, or JSON that was printed or logged."""
    text = read_short(path).decode("utf-8", "replace").replace("\r\n", "\n")
    notes = [found[0].rstrip("\n") + "\n" for found in _NOTE.finditer(text)]
    for line in text.split("\n"):
        notes += _of_json(line)
    if not notes:
        message = f"{path} has no checkpoint"
        raise DataError(message, hint="reveal and audit checkpoint print checkpoints, and log them")
    return [KeptNote(str(path), note) for note in notes]


def _of_json(line: str) -> list[str]:
    try:
        found = json.loads(line) if line.startswith("{") else None
    except (ValueError, RecursionError):
        return []
    note = (found.get("checkpoint") or found.get("note")) if isinstance(found, dict) else None
    return [note] if isinstance(note, str) else []
