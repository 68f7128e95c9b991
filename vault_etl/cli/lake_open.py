"""`vault-etl lake open`."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator, Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from vault_etl.audit.entries import Action, AuditRequest
from vault_etl.audit.log import audit_request
from vault_etl.base.errors import UsageError
from vault_etl.cli.needed_roles import NEEDED_ROLES
from vault_etl.cli.start import VerboseOption, start
from vault_etl.cli.ui.fields import field_option, named_fields
from vault_etl.cli.ui.options import DryRunOption
from vault_etl.cli.ui.output import QuietOption, print_object
from vault_etl.cli.ui.progress import progress
from vault_etl.cli.ui.prompts import PurposeOption, ReasonOption, TicketOption, reason_for, word
from vault_etl.cli.ui.signals import stop_when_told
from vault_etl.reveal.reveal import must_be_within_quota

if TYPE_CHECKING:
    from vault_etl.app.partitions import Place
    from vault_etl.app.parts import Parts
    from vault_etl.archives.sets import CurrentSet
    from vault_etl.crypto.fields import FieldName
    from vault_etl.lake.open import OpenedParts

STANDARD_OUTPUT: Final = "-"

SetArgument = Annotated[
    str,
    typer.Argument(
        metavar="SET",
        help="A folder or s3://bucket/prefix; or an archived month: YYYY-MM, or a partition.",
    ),
]


class PlainOutput(StrEnum):
    """The forms of plaintext files."""

    JSON = "json"
    PARQUET = "parquet"


def open_(
    place: SetArgument,
    *,
    to: Annotated[
        str,
        typer.Option(
            metavar="FOLDER",
            help="Write a file for each part into this folder, with mode 0600; - is standard output.",
            show_default=False,
        ),
    ],
    field: Annotated[
        list[str] | None,
        field_option("Only this field; may be repeated. [default: all]"),
    ] = None,
    reason: ReasonOption = None,
    purpose: PurposeOption = None,
    ticket: TicketOption = None,
    limit: Annotated[
        int | None, typer.Option(min=1, help="At most this many parts, the first ones.")
    ] = None,
    dry_run: DryRunOption = False,
    output: Annotated[
        PlainOutput, typer.Option("--output", "-o", help="The form of the files.")
    ] = PlainOutput.JSON,
    quiet: QuietOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Open a set of sealed Parquet, or the archive of a month. Each part has an entry in the audit log.

    Signature, manifest and files are checked first. The entry of a part names the manifest, the part
    and the number of its rows, each of which counts for the quota. The plaintext gets its name when
    the outcome is committed and the log is signed; otherwise it is deleted (exit 74). A value that
    does not open ends the command (exit 65), and nothing of its part is kept.

    The keys come from the set: this works with the database of another vault of yours, whose log then
    has the entries. If the database does not know the set, the newest signed version is opened.

    Run it again with the same reason, purpose, ticket, fields and folder to continue. FOLDER gets
    opened.jsonl too, with the entry of each part and the signed note of the log.

    \b
    Examples:
      vault-etl lake open /srv/lake/2024 --reason "case 12" --to case-12 --dry-run
      vault-etl lake open s3://cold/2024 --reason "case 12" --field ip --to c
      vault-etl lake open 2024-03 --reason "case 12" --to - | jq .ip
    """
    from vault_etl.app.lake_places import at_place, find_set, version_that_counts
    from vault_etl.lake.entries import must_leave_room

    if to == STANDARD_OUTPUT and output is not PlainOutput.JSON:
        message = "standard output is JSON lines"
        raise UsageError(message, hint="--to names a folder for Parquet")
    asked = "dry run" if dry_run else reason_for("to open a set", reason)
    must_leave_room(asked)
    kind, reference = word(purpose, "purpose"), word(ticket, "ticket")
    parts, _ = start(quiet=quiet, verbose=verbose)
    found = find_set(parts, place)
    with at_place(parts, found.location) as files:
        current, is_known = version_that_counts(parts, found, files)
        if not is_known:
            sys.stderr.write(
                f"vault-etl: this database has no record of the set: version {current.manifest.version}"
                " is the newest signed one\n"
            )
        request = audit_request(
            parts.identity,
            Action.LAKE_OPEN,
            asked,
            fields=_fields(parts, current, field or ()),
            purpose=kind,
            ticket=reference,
        )
        if dry_run:
            print_object(_facts(parts, current), None)
            return
        _check_role(parts, request, current)
        with _target(to, output, current, request, files.folder) as target:
            opened = _open_all(parts, files, current, request, target, limit, quiet=quiet)
    if to != STANDARD_OUTPUT:
        print_object({**_facts(parts, current), "parts_opened": opened, "to": to}, None)


def _open_all(
    parts: Parts,
    files: Place,
    current: CurrentSet,
    request: AuditRequest,
    target: OpenedParts,
    limit: int | None,
    *,
    quiet: bool,
) -> int:
    from vault_etl.app import audit
    from vault_etl.app.audit import LastCheckpoint
    from vault_etl.app.lake_changes import open_set

    with LastCheckpoint() as keep, progress("open", total=None, quiet=quiet) as bar:
        work = open_set(parts, files, current, request.fields, request.request_id, bar, keep)
        left = work.left(current, target)[:limit]
        rows = sum(current.manifest.parts[at].rows for at in left)
        quota = audit.policy(parts).allowance().accesses
        if rows:
            must_be_within_quota(rows, quota, fewer="--limit opens the first parts")
        with stop_when_told():
            work(request, current, left, target)
    return len(left)


def _check_role(parts: Parts, request: AuditRequest, current: CurrentSet) -> None:
    from vault_etl.app import audit
    from vault_etl.lake.entries import set_request

    audit.check_role(
        parts,
        *NEEDED_ROLES["lake open"],
        requests=lambda: [set_request(request, current)],
    )


@contextlib.contextmanager
def _target(
    to: str, output: PlainOutput, current: CurrentSet, request: AuditRequest, folder: Path
) -> Iterator[OpenedParts]:
    from vault_etl.lake.opened_folder import OpenedFolder, OpenedStream
    from vault_etl.lake.parquet_opened import JsonLines, ParquetFiles

    if to == STANDARD_OUTPUT:
        yield OpenedStream(folder, sys.stdout.buffer, JsonLines())
        return
    form = JsonLines() if output is PlainOutput.JSON else ParquetFiles()
    with contextlib.closing(OpenedFolder(Path.cwd() / to, current, request, form)) as opened:
        yield opened


def _fields(parts: Parts, current: CurrentSet, named: Sequence[str]) -> tuple[FieldName, ...]:
    from vault_etl.archives.declared_event import event_of

    event = event_of(current.manifest, parts.declaration)
    return named_fields(named, event.fields) or event.fields


def _facts(parts: Parts, current: CurrentSet) -> dict[str, object]:
    from vault_etl.app import audit

    manifest = current.manifest
    return {
        "set_id": manifest.set_id,
        "event": manifest.event,
        "version": manifest.version,
        "manifest_sha256": current.sha256.hex(),
        "parts": len(manifest.parts),
        "rows": manifest.contents.rows,
        "made_at": manifest.made_at,
        "quota_left": audit.policy(parts).allowance().accesses.left,
    }
