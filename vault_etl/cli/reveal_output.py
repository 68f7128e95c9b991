"""Output of revealed records: on standard output as they come, or into a file of evidence."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

from vault_etl.audit.entries import AuditRequest
from vault_etl.base.errors import UsageError
from vault_etl.cli.evidence import CsvEvidence, Evidence, EvidenceFile, JsonEvidence, evidence_of
from vault_etl.cli.ui.output import (
    OutputFormat,
    print_object,
    print_receipt,
    print_value,
    wants_json,
)
from vault_etl.cli.ui.printable import printable
from vault_etl.cli.ui.record_names import RecordNames, value_names
from vault_etl.declaration.model import Declaration
from vault_etl.reveal.reveal import Revealed

_ON_SCREEN: Final = ("fields", "audit_seq", "audit_hash")
_ERASED: Final = "(erased)"


class RevealOutput(StrEnum):
    """The forms of revealed records: `value` is the bare values, `csv` and `json` are evidence."""

    TABLE = "table"
    JSON = "json"
    CSV = "csv"
    VALUE = "value"


class Shown:
    """Prints each record, or stores it in `file`, and prints the receipt at the end."""

    def __init__(
        self,
        output: RevealOutput | None,
        request: AuditRequest,
        file: EvidenceFile | None,
        declaration: Declaration,
    ) -> None:
        json = wants_json(OutputFormat.JSON if output is RevealOutput.JSON else None)
        self._output = output or (RevealOutput.JSON if json else RevealOutput.TABLE)
        self._file = file
        self._names = RecordNames.of(declaration)
        self._form = evidence_form(self._output, request, declaration)
        self._last: Revealed | None = None
        self.count = 0

    def add(self, revealed: Revealed) -> None:
        """Show a record; when this returns, the output is flushed."""
        shown = evidence_of(revealed, self._names)
        first, self._last = self._last is None, revealed
        self.count += 1
        if self._file is not None:
            self._file.add(shown)
            return
        if self._output is RevealOutput.VALUE:
            self._values(revealed)
        elif self._output is RevealOutput.TABLE:
            sys.stdout.write("" if first else "\n")
            members = (*self._names.columns, *_ON_SCREEN)
            print_object({name: _readable(shown[name]) for name in members}, OutputFormat.TABLE)
        else:
            self._print(self._form.header() * first + self._form.row(shown))
        sys.stdout.flush()

    def end(self) -> None:
        """Print the newest receipt, which covers all before it: under a table, and beside CSV on a terminal."""
        note = self._last.receipt.checkpoint if self._last else None
        if note is None or self._output is RevealOutput.VALUE:
            return
        if self._file is not None or self._output is RevealOutput.TABLE:
            print_receipt(note)
            sys.stdout.write("\n")
        elif self._output is RevealOutput.CSV and sys.stderr.isatty():
            print_receipt(note, sys.stderr)

    def _print(self, content: bytes) -> None:
        if sys.stdout.isatty():
            lines = content.decode().split("\n")
            sys.stdout.write("\n".join(map(printable, lines)))
        else:
            sys.stdout.flush()
            sys.stdout.buffer.write(content)

    def _values(self, revealed: Revealed) -> None:
        for name, value in revealed.values.items():
            if value is None:
                sys.stderr.write(f"vault-etl: warning: {name} of {revealed.record_id} is erased\n")
            print_value(value.expose() if value else b"")


def evidence_form(
    output: RevealOutput, request: AuditRequest, declaration: Declaration
) -> Evidence:
    """The form of evidence: CSV, or JSON for every other output."""
    if output is not RevealOutput.CSV:
        return JsonEvidence()
    return CsvEvidence(RecordNames.of(declaration), value_names(declaration.events, request.fields))


def form_of_file(output: RevealOutput | None, path: Path) -> RevealOutput:
    """The form of a file: as asked, or by its name. Raises UsageError for a form that is not evidence."""
    if output in {RevealOutput.TABLE, RevealOutput.VALUE}:
        message = "a file of evidence is CSV or JSON"
        raise UsageError(message, hint="use --output csv or --output json")
    return output or (RevealOutput.CSV if path.suffix == ".csv" else RevealOutput.JSON)


def warn(record_id: object, text: str) -> None:
    """Warn about a record that was not revealed."""
    sys.stderr.write(f"vault-etl: warning: {record_id}: {text}\n")


def _readable(value: Any) -> Any:  # noqa: ANN401 - a value of a table
    if isinstance(value, dict):
        return {name: _ERASED if inner is None else inner for name, inner in value.items()}
    return value
