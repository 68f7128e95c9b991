"""`vault-etl schema`: the group, `show`, `check`, `diff`, and the places of `apply`, `infer` and `iam`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Annotated

import typer

from vault_etl.base.errors import DataError
from vault_etl.cli import schema_apply, schema_iam, schema_infer
from vault_etl.cli.start import VerboseOption, start
from vault_etl.cli.ui.output import (
    OutputOption,
    QuietOption,
    print_listing,
    print_object,
    print_rows,
    wants_json,
)

if TYPE_CHECKING:
    from vault_etl.declaration.model import Declaration, DeclaredEvent, Value
    from vault_etl.kinds.kind import Kind

app = typer.Typer(
    help="Show, check, compare, propose and apply declarations: the fields and events of a vault.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

FileArgument = Annotated[str, typer.Argument(metavar="FILE", help="A declaration, in TOML.")]


@app.callback()
def _group() -> None:
    """Show, check, compare, propose and apply declarations: the fields and events of a vault."""


@app.command("show")
def _show(
    *,
    database: Annotated[
        bool,
        typer.Option(
            "--database",
            help="Show the declaration that the database has in force. Needs the role audit, or the owner's login.",
        ),
    ] = False,
    output: OutputOption = None,
    quiet: QuietOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Show a declaration: its fields, events, values and columns.

    VAULT_ETL_SCHEMA_FILE names its file; without it, the default of the package is shown. JSON has
    the document too, from which the digest is made.

    \b
    Examples:
      vault-etl schema show
      vault-etl schema show --database
      VAULT_ETL_SCHEMA_FILE=vault-etl.schema.toml vault-etl schema show -o json
    """
    import json

    from vault_etl.declaration.document import digest_of, document_of
    from vault_etl.declaration.read import DEFAULT_NAME

    parts, settings = start(quiet=quiet, verbose=verbose)
    declaration = parts.declaration
    source = settings.schema_file or f"{DEFAULT_NAME} of the package"
    if database:
        from vault_etl.app import catalogue

        *before, declaration = catalogue.history(parts)
        source = f"version {len(before) + 1} of the database"
    found: dict[str, object] = {
        "source": source,
        "digest": digest_of(declaration).hex(),
    }
    if wants_json(output):
        found["document"] = json.loads(document_of(declaration))
    else:
        found["fields"] = {field.name: _kind(field.kind) for field in declaration.fields}
        found["events"] = {event.name: _route(event) for event in declaration.events}
    columns = ("event", "value", "personal", "type", "required", "path", "columns")
    print_listing(found, "values", _values(declaration), output, columns=columns)


@app.command("check")
def _check(
    file: FileArgument,
    *,
    output: OutputOption = None,
    quiet: QuietOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Check a declaration, and show each fault with its line.

    Faults of keys are shown first: a wrong name, type or option. Without them, rules are checked that
    join several keys, such as a value that is personal and plain. A faulty declaration is exit 65.

    \b
    Examples:
      vault-etl schema check vault-etl.schema.toml
      vault-etl schema check vault-etl.schema.toml --output json
    """
    from vault_etl.declaration.document import digest_of
    from vault_etl.declaration.faults import FaultyDeclarationError
    from vault_etl.declaration.read import read_declaration

    start(quiet=quiet, verbose=verbose)
    try:
        declaration = read_declaration(file)
    except FaultyDeclarationError as error:
        rows = [
            {"line": fault.line, "key": fault.where, "fault": fault.message, "hint": fault.hint}
            for fault in error.faults
        ]
        print_rows(rows, output, columns=("line", "key", "fault", "hint"), empty="no faults")
        message = f"{file} has {len(rows)} fault{'s' if len(rows) > 1 else ''}"
        raise DataError(message, hint="docs/declaration.md has each key and rule") from None
    print_object(
        {
            "file": file,
            "digest": digest_of(declaration).hex(),
            "fields": [field.name for field in declaration.fields],
            "events": [event.name for event in declaration.events],
        },
        output,
    )


@app.command("diff")
def _diff(
    file: FileArgument,
    old: Annotated[
        str | None,
        typer.Argument(
            metavar="OLD",
            help="The declaration before. [default: those that the database has had in force]",
        ),
    ] = None,
    *,
    output: OutputOption = None,
    quiet: QuietOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Show what a declaration changes, each change with its class.

    A change adds a field, a value or an event, changes a rule for new records, retires a name, or is
    refused: stored values bind names, so nothing is renamed or deleted, and a value that was personal
    becomes plain in no event. With a refused change, exit 65. Without OLD, the answer is that of `schema
    apply --dry-run`, for the role audit too.

    \b
    Examples:
      vault-etl schema diff vault-etl.schema.toml
      vault-etl schema diff new.toml old.toml --output json
    """
    from vault_etl.app import catalogue
    from vault_etl.declaration.history import changes_since
    from vault_etl.declaration.read import read_declaration

    parts, _ = start(quiet=quiet, verbose=verbose)
    new = read_declaration(file)
    found = changes_since([read_declaration(old)] if old else catalogue.history(parts), new)
    rows = schema_apply.change_rows(found)
    schema_apply.refuse(found, rows, output)
    print_rows(rows, output, columns=schema_apply.COLUMNS, empty="no changes")


app.command("apply")(schema_apply.apply)
app.command("infer")(schema_infer.infer)
app.command("iam")(schema_iam.iam)


def _values(declaration: Declaration) -> Iterator[Mapping[str, object]]:
    for event in declaration.events:
        for value in event.values:
            yield {"event": event.name, **_value(value)}


def _value(value: Value) -> Mapping[str, object]:
    from vault_etl.declaration.model import PersonalValue

    if isinstance(value, PersonalValue):
        stored: dict[str, object] = {"type": _kind(value.field.kind), "field": value.field.name}
    else:
        limit = "" if value.max is None else f" (max {value.max:,})"
        stored = {"type": f"{value.type}{limit}", "field": None}
    return {
        "value": value.name,
        "personal": isinstance(value, PersonalValue),
        **stored,
        "required": value.required,
        "retired": value.retired,
        "path": str(value.path),
        "columns": value.columns,
    }


def _kind(kind: Kind) -> str:
    """The name of a kind, with its options: `text (max 256)`."""
    options = ", ".join(f"{name} {value}" for name, value in kind.options)
    return f"{kind.name} ({options})" if options else kind.name


def _route(event: DeclaredEvent) -> str:
    """The subject and the day of an event, and the messages that it takes."""
    queue = f"the queue {event.queue}" if event.queue else "any queue"
    when = f", {event.when.path} is {event.when.equals}" if event.when else ""
    taken = "retired" if event.retired else f"from {queue}{when}"
    return f"subject {event.subject.name}, day {event.day.name}, {taken}"
