#!/usr/bin/env python3
"""Writes the tables of failures in docs/operations/failures.md, from the tables in the code that decide it.

.venv/bin/python docs/generate_failures.py
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from vault_etl.base.errors import DeniedError, IncompleteError, UnavailableError, VaultEtlError
from vault_etl.platform import aws_exceptions
from vault_etl.platform.aws_error_codes import Refusal
from vault_etl.platform.postgres_connection_failures import FAILURES, UNKNOWN
from vault_etl.platform.postgres_connection_refusals import ConnectionFailure
from vault_etl.platform.postgres_statement_errors import ANSWERS, BUG, LOST, SILENT
from vault_etl.platform.waiting import FOLLOWING

PAGE = Path(__file__).with_name("operations") / "failures.md"
HEAD = "| what is seen | exit | waited for | what to do |\n|---|---|---|---|\n"

WITHOUT_CODES = {
    Refusal.UNKNOWN: "any other code",
    Refusal.UNKNOWN_FAULT: "any other code, with a status of 429 or above 499",
    Refusal.NO_CODE: "no code, or one of another form than AWS's",
}


def connections() -> str:
    """The table of failed connections to Postgres."""
    return HEAD + "".join(_row(failure) for failure in (*FAILURES, UNKNOWN))


def statements() -> str:
    """The table of failed statements, by SQLSTATE."""
    states: dict[tuple[type[VaultEtlError], str, str | None], list[str]] = {}
    for state, answer in ANSWERS.items():
        states.setdefault(answer, []).append(state if len(state) > len("08") else f"{state}…")
    rows = [*((answer, ", ".join(of)) for answer, of in states.items()), (BUG, "any other")]
    seen = [
        *(
            (kind, f"Postgres: {message} (SQLSTATE {of})", hint)
            for (kind, message, hint), of in rows
        ),
        LOST,
        SILENT,
    ]
    return HEAD + "".join(
        f"| {message} | {kind.exit_code} | {_waited(kind)} | {hint or ''} |\n"
        for kind, message, hint in seen
    )


def exceptions() -> str:
    """The table of failures before an answer of AWS: credentials, settings, the network."""
    return HEAD + "".join(
        f"| {row.says.format(service='SERVICE')} ({_names(row)}) | {row.error.exit_code}"
        f" | {_waited(row.error)} | {row.hint} |\n"
        for row in (*aws_exceptions.FAILURES, aws_exceptions.REST)
    )


def refusals() -> str:
    """The table of refusals by AWS, by their codes."""
    names = {"service": "SERVICE", "setting": "SETTING"}
    return HEAD + "".join(
        f"| {row.says.format(**names)} ({', '.join(sorted(row.codes)) or WITHOUT_CODES[refusal]})"
        f" | {row.error.exit_code} | {_waited(row.error)} | {(row.hint or '').format(**names)} |\n"
        for refusal, row in ((refusal, refusal.value) for refusal in Refusal)
    )


def tables() -> Mapping[str, str]:
    """All tables, by the name in their marks."""
    return {
        "AWS exceptions": exceptions(),
        "AWS refusals": refusals(),
        "connections": connections(),
        "statements": statements(),
    }


def with_tables(page: str) -> str:
    """The page with each table between its two marks."""
    for name, table in tables().items():
        begin, end = f"<!-- {name}: docs/generate_failures.py -->\n", f"<!-- end of {name} -->"
        before, _, rest = page.partition(begin)
        _, _, after = rest.partition(end)
        page = f"{before}{begin}{table}{end}{after}"
    return page


def _row(failure: ConnectionFailure) -> str:
    names = {
        "server": "HOST:PORT",
        "setting": "SETTING",
        "option": "OPTION",
    }
    message, hint = (text.format(**names) for text in (failure.message, failure.hint))
    states = f" (SQLSTATE {', '.join(_states(failure))})" if failure.states else ""
    kind = failure.kind
    return f"| {message}{states} | {kind.exit_code} | {_waited(kind)} | {hint} |\n"


def _names(row: aws_exceptions.AwsFailure) -> str:
    """Botocore's exceptions of a row, with the provider of credentials that raises them."""
    kinds = ", ".join(kind.__name__ for kind in row.kinds)
    return f"{kinds} of {row.provider}" if row.provider else kinds


def _states(failure: ConnectionFailure) -> Iterator[str]:
    for state in failure.states:
        yield state if len(state) > len("08") else f"{state}…"


def _waited(kind: type[VaultEtlError]) -> str:
    if issubclass(kind, DeniedError):
        return f"{FOLLOWING.denied:.0f} s"
    return "yes" if issubclass(kind, UnavailableError | IncompleteError) else "no"


def main() -> None:
    """Write the tables."""
    PAGE.write_text(with_tables(PAGE.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
