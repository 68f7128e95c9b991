"""`vault-etl audit export` and `audit trim`: old entries go to files, and out of the table."""

from __future__ import annotations

import datetime as dt
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from vault_etl.audit.checkpoint import AuditKey
from vault_etl.audit.entries import Action, AuditRequest
from vault_etl.audit.log import audit_request
from vault_etl.base.errors import NotFoundError, UsageError
from vault_etl.cli.start import VerboseOption, start
from vault_etl.cli.ui.options import Duration, YesOption, utc
from vault_etl.cli.ui.output import OutputOption, QuietOption, print_rows
from vault_etl.cli.ui.progress import progress
from vault_etl.cli.ui.prompts import ReasonOption, confirm, read_bounded, reason_for
from vault_etl.platform.store import S3, parse_location

if TYPE_CHECKING:
    from vault_etl.audit.segments.trim import Trimmed

_AGE: Final = dt.timedelta(days=90)
_MIN_AGE: Final = dt.timedelta(days=1)
"""The age that the database requires too: quotas count the last hour, and registrations of keys the last day."""

MAX_FILE_BYTES: Final = 16 * 1024 * 1024

PublicKeyOption = Annotated[
    list[Path] | None,
    typer.Option(help="The public half of the audit key, DER or PEM, instead of asking KMS."),
]


def export(
    *,
    to: Annotated[
        str,
        typer.Option(metavar="PLACE", help="A folder, or s3://bucket/prefix.", show_default=False),
    ],
    until: Annotated[
        dt.datetime | None,
        typer.Option(
            metavar="TIME", help="Only entries before this time (UTC). [default: 90 days ago]"
        ),
    ] = None,
    public_key: PublicKeyOption = None,
    output: OutputOption = None,
    quiet: QuietOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Write old entries of the audit log into files that can be verified. Deletes nothing.

    A segment has the entries after the last segment, up to the newest entry before --until with a
    checkpoint of the audit key, at most a million entries; then another segment begins. Each segment
    has three files: entries and checkpoints as JSON lines in gzip, and a manifest. `audit verify
    --offline` verifies them, and `audit trim` deletes their entries from the log.

    \b
    Examples:
      vault-etl audit export --to s3://worm/audit
      vault-etl audit export --to /srv/audit --until 2026-01-01
    """
    from vault_etl.app import audit_proof

    place, before = place_of(to, is_new=True), utc(until) or dt.datetime.now(dt.UTC) - _AGE
    keys = keys_of(public_key)
    parts, _ = start(quiet=quiet, verbose=verbose)
    with progress("export", total=None, quiet=quiet) as bar:
        made = audit_proof.export(parts, keys, place, before, bar)
    print_rows(
        (
            {
                "first_seq": manifest.first,
                "last_seq": manifest.last.seq,
                "until": manifest.last_at,
                "bytes": manifest.entries.size + manifest.checkpoints.size,
                "segment": f"{place}/{manifest.name}",
            }
            for manifest in made
        ),
        output,
        columns=("first_seq", "last_seq", "until", "bytes", "segment"),
        empty="no entry of that age has a checkpoint: `vault-etl audit checkpoint` makes one",
    )


def trim(
    *,
    segments: Annotated[
        str,
        typer.Option(
            metavar="PLACE", help="The place of the segments of `audit export`.", show_default=False
        ),
    ],
    older_than: Annotated[
        float,
        typer.Option(
            parser=Duration(),
            metavar="TIME",
            help="Only segments that ended at least this long ago: 30d; at least 1d.",
            show_default="90d",
        ),
    ] = _AGE.total_seconds(),
    public_key: PublicKeyOption = None,
    reason: ReasonOption = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Read and compare everything, and change nothing.")
    ] = False,
    yes: YesOption = False,
    output: OutputOption = None,
    quiet: QuietOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Delete the entries of segments from the audit log; an entry says so. Only the owner's login may.

    Each segment is read first: it must verify, a checkpoint of the audit key must sign its end, and
    the table must have all of its entries, column for column. Then an entry records the segment and
    its place, and its entries are deleted in one transaction. Some entries stay: those that set a
    policy, a key or a segment, intents without an outcome, and the last entry's checkpoint. After an
    interruption, run it again: it continues. Keep the segments for as long as you need the log.

    \b
    Examples:
      vault-etl audit trim --segments /srv/audit --public-key audit.der --dry-run
      vault-etl audit trim --segments /srv/audit --public-key a.der --reason "age"
    """
    from vault_etl.app import audit_proof

    age = dt.timedelta(seconds=older_than)
    if age < _MIN_AGE:
        message = "entries of the last day must stay: quotas count them"
        raise UsageError(message, hint="give --older-than 1d or more")
    place, keys = place_of(segments), keys_of(public_key)
    asked = "dry run" if dry_run else reason_for("to trim the log", reason)
    parts, _ = start(quiet=quiet, verbose=verbose)
    if not dry_run:
        confirm(
            f"Delete the entries that are in segments at {place} and older than {age.days} days?",
            yes=yes,
        )

    def request() -> AuditRequest:
        return audit_request(parts.identity, Action.AUDIT_TRIM, asked)

    with progress("trim", total=None, quiet=quiet) as bar:
        before = dt.datetime.now(dt.UTC) - age
        done = list(audit_proof.trim(parts, keys, place, before, None if dry_run else request, bar))
    if not quiet:
        _tell(done)
    print_rows(
        (
            {
                "first_seq": one.segment.manifest.first,
                "last_seq": one.segment.manifest.last.seq,
                "until": one.segment.manifest.last_at,
                "kept": one.kept,
                "deletes": one.deleted,
                "segment": one.segment.location,
            }
            for one in done
            if not one.is_young
        ),
        output,
        columns=("first_seq", "last_seq", "until", "kept", "deletes", "segment"),
        empty="no segment of that place continues the last recorded segment and is old enough",
    )


def _tell(done: Iterable[Trimmed]) -> None:
    for one in done:
        lines = []
        if one.is_young:
            lines.append(f"{one.segment.location} is younger than --older-than, and stays")
        if one.later:
            lines.append(
                f"checkpoints that were stored after the export of {one.segment.location}, and are deleted"
                f" with it: {one.later}"
            )
        sys.stderr.writelines(f"vault-etl: {line}\n" for line in lines)


def keys_of(paths: list[Path] | None) -> list[AuditKey]:
    """The keys in these files. Raises UsageError for a file that is not a key."""
    return [_key(path) for path in paths or []]


def read_short(path: Path) -> bytes:
    """Read a file. Raises UsageError if it is longer than any checkpoint or key."""
    content = read_bounded(path, MAX_FILE_BYTES)
    if len(content) > MAX_FILE_BYTES:
        message = f"{path} is longer than any checkpoint or key"
        raise UsageError(message, hint="check the name of the file")
    return content


def place_of(text: str, *, is_new: bool = False) -> str:
    """The place of segments: s3://bucket/prefix, or an absolute path, whose last folder may be new if `is_new`.

    Raises UsageError for another place, and NotFoundError for a missing folder: otherwise a timer could
    export or trim nothing forever without an error.
    """
    place = parse_location(text, str(Path.cwd()))
    if not place.startswith(S3):
        folder = Path(place).parent if is_new else Path(place)
        if not folder.is_dir():
            message = f"the folder {folder} does not exist"
            raise NotFoundError(message, hint="make the folder, or mount its disk")
    return place


def _key(path: Path) -> AuditKey:
    try:
        return AuditKey(read_short(path))
    except ValueError as error:
        message = f"{path}: {error}"
        raise UsageError(
            message,
            hint="aws kms get-public-key --key-id alias/vault-etl-audit prints it in base64",
        ) from None
