"""`vault-etl find`."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import Annotated, Any

import typer

from vault_etl.audit.entries import MAX_AMOUNT, Action, AuditReceipt
from vault_etl.audit.log import audit_request
from vault_etl.base.errors import UsageError
from vault_etl.base.pii import Pii
from vault_etl.cli.needed_roles import NEEDED_ROLES
from vault_etl.cli.start import VerboseOption, start
from vault_etl.cli.ui.fields import complete_searched, field_option, named_fields
from vault_etl.cli.ui.months import listed, warn_of
from vault_etl.cli.ui.options import UserIdOption, known_user
from vault_etl.cli.ui.output import (
    OutputFormat,
    OutputOption,
    QuietOption,
    print_listing,
    print_receipt,
    wants_json,
)
from vault_etl.cli.ui.prompts import (
    PurposeOption,
    ReasonOption,
    TicketOption,
    read_values,
    reason_for,
    word,
)
from vault_etl.cli.ui.record_names import RecordNames, detail_names
from vault_etl.declaration.model import Declaration
from vault_etl.declaration.searched import Searched, searched
from vault_etl.records.unattached_months import UnattachedMonth, UnsearchedMonths
from vault_etl.reveal.find import (
    MAX_HOLDERS,
    FoundValue,
    TokenHolder,
    UserRecord,
    UserRecords,
    addresses_of,
    must_be_held,
)


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("find", context_settings={"allow_extra_args": True})(_find)


def _find(
    context: typer.Context,
    *,
    field: Annotated[
        str | None,
        field_option(
            "The field that holds the value, or a derived form of it, such as ip/network.",
            complete_searched,
        ),
    ] = None,
    user_id: UserIdOption = None,
    limit: Annotated[
        int,
        typer.Option(
            min=1, max=MAX_HOLDERS, help="At most this many records of a value, the newest."
        ),
    ] = 100,
    reason: ReasonOption = None,
    purpose: PurposeOption = None,
    ticket: TicketOption = None,
    output: OutputOption = None,
    quiet: QuietOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Find the records that hold a value. The search is an entry in the audit log, without the value.

    The command asks for the value on a terminal, unseen, or reads it from standard input. Never give
    it on the command line: it would stay in the shell's history. `count` is the number of all
    records, of which at most 1,000 are listed. `placeholder` is the value if it means "no address"
    or "no device" (0.0.0.0, null, unknown, an id of zeros): such records have nothing in common.

    With `--field ip/network`, the records of a whole network are found: the value is the network, or an
    address in it. `email/domain` is a form too. The declaration says which forms have tokens.

    Standard input may have many values, one a line, and ranges of addresses: 198.51.100.0/24, or
    198.51.100.7-198.51.100.9. All of them, at most 65,536, share one entry, which has their number;
    each counts as an access for the quota. The values that records hold are listed.

    `--user-id` lists the records of a user instead. That is one access, and its entry does not name
    the user.

    Months that are detached or archived are not searched. They are named, in JSON in
    `not_searched`, with the place of their rows.

    \b
    Examples:
      vault-etl find --field ip --reason "abuse report 4711"
      vault-etl find --field device_id --reason "theft" < device.txt
      echo 198.51.100.0/24 | vault-etl find --field ip --reason "abuse"
      echo example.com | vault-etl find --field email/domain --reason "abuse"
      vault-etl find --user-id 4711 --reason "request 17" --ticket DPO-17
    """
    from vault_etl.app import audit, find, records

    if context.args:  # the error of the parser would repeat the value
        message = "a value must not be given on the command line"
        raise UsageError(message, hint="the shell's history has it now; see --help")
    if (field is None) == (user_id is None):
        message = "a search takes a --field or a --user-id"
        raise UsageError(message, hint="give one of them, not both")
    asked = reason_for("a search", reason)
    kind, reference = word(purpose, "purpose"), word(ticket, "ticket")
    if field is None:
        user = known_user(user_id or "")
        parts, _ = start(quiet=quiet, verbose=verbose)
        request = audit_request(parts.identity, Action.FIND, asked, purpose=kind, ticket=reference)
        audit.check_role(parts, *NEEDED_ROLES["find"], requests=lambda: [request])
        with UnsearchedMonths(records.months(parts)) as left:
            of_user, receipt = find.find_user(parts, request.request_id)(request, user)
        warn_of(left.months)
        _print_user(of_user, receipt, limit, output, left.months, parts.declaration)
        return
    parts, _ = start(quiet=quiet, verbose=verbose)
    known = searched(parts.declaration)
    (name,) = named_fields([field], known)
    wanted = known[name]
    values = _written_out(wanted, read_values(name, MAX_AMOUNT))
    must_be_held(wanted, values)
    request = audit_request(
        parts.identity,
        Action.FIND,
        asked,
        fields=(name,),
        purpose=kind,
        ticket=reference,
        amount=len(values) if len(values) > 1 else None,
    )
    audit.check_role(parts, *NEEDED_ROLES["find"], requests=lambda: [request])
    with UnsearchedMonths(records.months(parts), wanted.events(parts.declaration)) as left:
        found = find.find(parts, request.request_id).many(request, values, limit)
    warn_of(left.months)
    names = RecordNames.of(parts.declaration)
    if len(values) > 1:
        _print_many(values, found, wanted, output, left.months, names)
    else:
        _print(found[0], wanted, output, left.months, names)


def _written_out(wanted: Searched, values: Sequence[Pii]) -> list[Pii]:
    """The values, with ranges replaced by their addresses. Raises UsageError for more values than one entry allows."""
    found: list[Pii] = []
    is_address = wanted.field.kind.name == "ip" and wanted.form is None
    for value in values:
        with contextlib.suppress(UnicodeDecodeError):
            text = value.expose().decode()
            many = addresses_of(text, MAX_AMOUNT) if is_address else None
            found += [value] if many is None else map(Pii.of_text, many)
            continue
        found.append(value)
    if len(found) > MAX_AMOUNT:
        message = f"there are more than {MAX_AMOUNT:,} values"
        raise UsageError(message, hint="search for fewer at a time")
    return found


def _print_many(
    values: Sequence[Pii],
    found: Sequence[FoundValue],
    wanted: Searched,
    output: OutputFormat | None,
    left: Sequence[UnattachedMonth],
    names: RecordNames,
) -> None:
    """Print the values that records hold, with their position in the input."""
    receipt = found[0].receipt
    held: list[dict[str, Any]] = [
        {
            "number": number,
            "value": value.expose().decode(),
            "token": one.token,
            "placeholder": wanted.placeholders.get(one.token),
            "count": one.holders.count,
            "records": [_holder(names, holder) for holder in one.holders.newest],
        }
        for number, (value, one) in enumerate(zip(values, found, strict=True), start=1)
        if one.holders.count
    ]
    shown: dict[str, object] = {
        "values": len(values),
        "found": len(held),
        "audit_seq": receipt.seq,
        "audit_hash": receipt.hash.hex(),
    }
    if wants_json(output):
        shown |= {"not_searched": listed(left), "checkpoint": receipt.checkpoint}
        print_listing(shown, "held", held, output, columns=())
        return
    records = [
        {"value": one["value"], "count": one["count"], **record}
        for one in held
        for record in one["records"]
    ]
    columns = ("value", "count", "record_id", *names.event, names.day, names.subject)
    print_listing(shown, "records", records, output, columns=columns)
    print_receipt(receipt.checkpoint)


def _print_user(
    found: UserRecords,
    receipt: AuditReceipt,
    limit: int,
    output: OutputFormat | None,
    left: Sequence[UnattachedMonth],
    declaration: Declaration,
) -> None:
    """Print the newest records of a user."""
    names = RecordNames.of(declaration)
    shown: dict[str, object] = {
        "count": found.count,
        "audit_seq": receipt.seq,
        "audit_hash": receipt.hash.hex(),
    }
    if wants_json(output):
        shown |= {"not_searched": listed(left), "checkpoint": receipt.checkpoint}
    rows = (_of_user(names, record) for record in found.newest[:limit])
    columns = ("record_id", names.day, *detail_names(declaration))
    print_listing(shown, "records", rows, output, columns=columns)
    if not wants_json(output):
        print_receipt(receipt.checkpoint)


def _print(
    found: FoundValue,
    wanted: Searched,
    output: OutputFormat | None,
    left: Sequence[UnattachedMonth],
    names: RecordNames,
) -> None:
    shown: dict[str, object] = {
        "token": found.token,
        "placeholder": wanted.placeholders.get(found.token),
        "count": found.holders.count,
        "audit_seq": found.receipt.seq,
        "audit_hash": found.receipt.hash.hex(),
    }
    note = found.receipt.checkpoint
    if wants_json(output):
        shown |= {"not_searched": listed(left), "checkpoint": note}
    print_listing(
        shown,
        "records",
        (_holder(names, holder) for holder in found.holders.newest),
        output,
        columns=("record_id", *names.event, names.day, names.subject),
    )
    if not wants_json(output):
        print_receipt(note)


def _holder(names: RecordNames, holder: TokenHolder) -> dict[str, object]:
    record = names.record(holder.event, holder.record_id, holder.subject, holder.day)
    return record | names.of_moment(holder.moment)


def _of_user(names: RecordNames, record: UserRecord) -> dict[str, object]:
    """The members of a record, without the user."""
    shown = names.record(record.event, record.record_id, None, record.day)
    del shown[names.subject]
    return shown | names.of_moment(record.moment) | dict(record.details)
