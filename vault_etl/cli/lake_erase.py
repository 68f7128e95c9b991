"""`vault-etl lake erase`, for the role erase."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vault_etl.audit.entries import Action, AuditRequest
from vault_etl.audit.log import audit_request
from vault_etl.base.errors import (
    AuditError,
    ConfigurationError,
    DataError,
    DeniedError,
    IncompleteError,
    NotFoundError,
    StoppedError,
    UnavailableError,
    VaultEtlError,
)
from vault_etl.cli.needed_roles import NEEDED_ROLES
from vault_etl.cli.start import VerboseOption, start
from vault_etl.cli.ui.options import DryRunOption, YesOption, known_user
from vault_etl.cli.ui.output import (
    OutputFormat,
    OutputOption,
    QuietOption,
    print_object,
    print_receipt,
    wants_json,
)
from vault_etl.cli.ui.progress import progress
from vault_etl.cli.ui.prompts import ReasonOption, TicketOption, confirm, reason_for, word
from vault_etl.cli.ui.signals import stop_when_told

if TYPE_CHECKING:
    from vault_etl.app.lake_places import FoundSet
    from vault_etl.app.parts import Parts
    from vault_etl.audit.checkpoint import Head
    from vault_etl.lake.postgres import RecordedSet
    from vault_etl.platform.clock import Progress


def erase(
    places: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="SET…",
            show_default=False,
            help="Folders, s3://bucket/prefix, or archived months. Default: all on the record.",
        ),
    ] = None,
    *,
    user_id: Annotated[
        str | None,
        typer.Option(help="This user, instead of all whose erasure waits for the sets."),
    ] = None,
    reason: ReasonOption = None,
    ticket: TicketOption = None,
    dry_run: DryRunOption = False,
    yes: YesOption = False,
    output: OutputOption = None,
    quiet: QuietOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Erase persons from sets and from archives of months for good.

    `vault-etl erase` records an erasure for each set and archive that may hold values; this command
    does them. Tokens and ciphertexts of the person's rows become null in the files; the rows stay.
    Only parts with such rows are written again. Each new part is a signed version of its set, which is
    recorded before the old part is deleted. Safe to interrupt and to run again.

    The output is a certificate. It names the sets that were not reached (exit 75), and what no erasure
    reaches, such as backups and old versions of objects.

    \b
    Examples:
      vault-etl lake erase --dry-run
      vault-etl lake erase --reason "requests of March" --yes
      vault-etl lake erase --user-id 4711 /srv/lake/2024 --reason "request 17"
    """
    from vault_etl.app import audit
    from vault_etl.app.lake_places import find_sets
    from vault_etl.lake.entries import must_leave_room

    asked = "dry run" if dry_run else reason_for("an erasure", reason)
    must_leave_room(asked)
    reference = word(ticket, "ticket")
    user = None if user_id is None else known_user(user_id)
    parts, _ = start(quiet=quiet, verbose=verbose)
    request = audit_request(
        parts.identity,
        Action.LAKE_ERASE,
        asked,
        fields=parts.declaration.field_names,
        ticket=reference,
    )
    audit.check_role(
        parts, *NEEDED_ROLES["lake erase"], requests=lambda: [] if dry_run else [request]
    )
    found = find_sets(parts, places or ())
    if not places:
        found = [each for each in found if _may_hold(each, user)]
    if not dry_run:
        who = "all persons whose erasure waits for them" if user is None else "the user"
        confirm(f"Erase {who} from {len(found)} sets for good?", yes=yes)
    work = _Erasing(parts, request, user, dry_run=dry_run)
    with progress("erase", total=None, quiet=quiet) as bar, stop_when_told():
        for each in found:
            work(each, bar)
    left = work.not_reached() if places else work.failed
    note, unsigned = _signed(parts, work.head)
    _print(work, left, note, output)
    if unsigned is not None:
        raise unsigned
    if left:
        message = f"not complete: {len(left)} sets may still hold values: {', '.join(left)[:500]}"
        raise IncompleteError(
            message, hint="see the certificate and the warnings, and run it again"
        )


def _may_hold(found: FoundSet, user: str | None) -> bool:
    """Tell whether a set on the record may have values to erase, or files of a killed run."""
    recorded = found.recorded
    if recorded is None:
        return False
    is_whole = recorded.alone and recorded.manifest_sha256 is not None
    return user is not None or recorded.erasures > 0 or is_whole


class _Erasing:
    """Erases from one set after the other. A set that cannot be changed does not stop the others."""

    def __init__(
        self, parts: Parts, request: AuditRequest, user: str | None, *, dry_run: bool
    ) -> None:
        self._parts = parts
        self._request = request
        self._user = user
        self._dry_run = dry_run
        self.done: list[dict[str, object]] = []
        self.failed: dict[str, str] = {}
        self.head: Head | None = None

    def __call__(self, found: FoundSet, bar: Progress) -> None:
        try:
            recorded = found.must_be_on_record()
        except (NotFoundError, ConfigurationError) as error:
            self._not_reached(found, error)
            return
        try:
            self._erase(found.location, recorded, bar)
        except StoppedError:
            raise
        except (NotFoundError, DataError, DeniedError, UnavailableError, IncompleteError) as error:
            self._not_reached(found, error)

    def _not_reached(self, found: FoundSet, error: VaultEtlError) -> None:
        sys.stderr.write(f"vault-etl: warning: {found.location}: {error}\n")
        self.failed[found.location] = str(error)

    def not_reached(self) -> Mapping[str, str]:
        """Return the other sets on the record that may hold values, with the reason."""
        from vault_etl.app.lake_places import find_sets

        seen = {str(each["set"]) for each in self.done}
        others = {
            each.location: "not named"
            for each in find_sets(self._parts, ())
            if each.location not in seen
            and each.recorded
            and (self._user is not None or each.recorded.erasures)
        }
        return {**others, **self.failed}

    def _erase(self, location: str, recorded: RecordedSet, bar: Progress) -> None:
        from vault_etl.app.lake_places import at_place

        with at_place(self._parts, location) as files:
            from vault_etl.app.lake_changes import erase_from_set, erasures_of

            what = erasures_of(self._parts, recorded, self._user)
            current = files.reader.read(recorded.manifest_sha256)
            work = erase_from_set(self._parts, files, current, bar)
            if self._dry_run:
                parts, rows = work.preview(current, what)
                sha256, seq = current.sha256, None
            else:
                done = work(self._request, current, what)
                parts, rows, self.head = done.parts, done.rows, done.head
                sha256, seq = done.current.sha256, done.head.seq
        self.done.append(
            {
                "set": location,
                "parts": parts,
                "rows": rows,
                "manifest_sha256": sha256.hex(),
                "audit_seq": seq,
            }
        )


def _signed(parts: Parts, head: Head | None) -> tuple[str | None, AuditError | None]:
    """Return the signed head of the log, or why it is not signed: the certificate is printed all the same."""
    if head is None:
        return None, None
    from vault_etl.app.lake_changes import sign_head

    try:
        checkpoint = sign_head(parts, head)
    except VaultEtlError as error:
        message = f"the head of the audit log could not be signed: {error}"
        hint = "what is erased is on the record; `vault-etl audit checkpoint` signs the log"
        return None, AuditError(message, hint=hint)
    return None if checkpoint is None else checkpoint.note, None


def _print(
    work: _Erasing, left: Mapping[str, str], note: str | None, output: OutputFormat | None
) -> None:
    from vault_etl.lake.erase import NOT_ERASED

    shown: dict[str, Any] = {
        "rows": sum(_int(each["rows"]) for each in work.done),
        "audit_seq": None if work.head is None else work.head.seq,
        "audit_hash": None if work.head is None else work.head.hash.hex(),
    }
    if wants_json(output):
        print_object(
            {
                **shown,
                "sets": work.done,
                "not_reached": left,
                "checkpoint": note,
                "not_erased": list(NOT_ERASED),
            },
            output,
        )
        return
    print_object({**shown, "sets": _lines(work.done), "not_reached": left}, output)
    typer.echo("\nNot erased:\n" + "\n".join(f"- {line}" for line in NOT_ERASED))
    print_receipt(note)


def _lines(done: Sequence[Mapping[str, object]]) -> Mapping[str, str]:
    return {
        str(each["set"]): f"rows {each['rows']}, parts {each['parts']}, entry {each['audit_seq']}"
        for each in done
    }


def _int(value: object) -> int:
    return int(str(value))
