"""`vault-etl lake list` and `vault-etl lake verify`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from vault_etl.base.errors import DataError, NotFoundError, UsageError
from vault_etl.cli.start import VerboseOption, start
from vault_etl.cli.ui.output import OutputOption, QuietOption, print_rows
from vault_etl.cli.ui.progress import progress
from vault_etl.platform.store import parse_location

if TYPE_CHECKING:
    from vault_etl.lake.postgres import RecordedSet
    from vault_etl.lake.verify import VerifiedSet

_LISTED: Final = ("event", "month", "state", "rows", "erasures", "location")
_VERIFIED: Final = ("result", "rows", "parts", "bytes", "version", "location", "problem")


def list_sets(
    *,
    output: OutputOption = None,
    quiet: QuietOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Show the sets that the vault has on record, and the archives of months, which are sets too.

    A set is `unfinished` until its first manifest is on record: run its `lake seal` again. Erasures
    are those that the set lacks: `lake erase` does them. JSON has the id, version and hash too.

    \b
    Examples:
      vault-etl lake list
      vault-etl lake list --output json | jq 'select(.erasures > 0)'
    """
    from vault_etl.app import lake_places

    parts, _ = start(quiet=quiet, verbose=verbose)
    print_rows(
        map(_shown, lake_places.sets(parts).recorded()),
        output,
        columns=_LISTED,
        empty="there are no sets: `vault-etl lake seal` makes one",
    )


def _shown(one: RecordedSet) -> Mapping[str, object]:
    return {
        "location": one.location,
        "event": one.event,
        "month": one.partition,
        "state": "unfinished" if one.manifest_sha256 is None else "whole",
        "rows": one.rows,
        "erasures": one.erasures,
        "set_id": one.set_id,
        "version": one.version,
        "manifest_sha256": one.manifest_sha256.hex() if one.manifest_sha256 else None,
        "made_at": one.made_at,
        "recorded_at": one.recorded_at,
    }


def verify(
    sets: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[SET…]", help="Places, or months such as 2024-03. Default: all on the record."
        ),
    ] = None,
    *,
    offline: Annotated[
        bool,
        typer.Option(
            "--offline", help="Ask no database: take the newest signed manifest of each place."
        ),
    ] = False,
    output: OutputOption = None,
    quiet: QuietOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Verify sets: the signature by the archive key, the record, each file, and the keys of all rows.

    The record of the vault says which manifest counts, so that an older one is not taken for it.
    With --offline, the result is `signed` at best: an older manifest, put back with its files, has a
    good signature too. A set that is damaged, missing or not on the record is named, and the exit code
    is 65. One that `lake seal` has not finished is `unfinished`.

    \b
    Examples:
      vault-etl lake verify
      vault-etl lake verify /srv/lake/logins-2024 2024-03
      vault-etl lake verify s3://lake/logins-2024 --offline
    """
    from vault_etl.app import lake_places, lake_verify

    parts, _ = start(quiet=quiet, verbose=verbose)
    if offline:
        if not sets:
            message = "--offline needs the place of a set"
            raise UsageError(message, hint="a folder, or s3://bucket/prefix")
        current = str(Path.cwd())
        wanted = [lake_places.FoundSet(parse_location(text, current), None) for text in sets]
    else:
        wanted = lake_places.find_sets(parts, sets or [])
    rows: list[Mapping[str, object]] = []
    with progress("verify", total=None, quiet=quiet) as told:
        for one in wanted:
            if not offline and one.sha256 is None:
                result = "unknown" if one.recorded is None else "unfinished"
                rows.append({"location": one.location, "result": result})
                continue
            try:
                done = lake_verify.verify(parts, one.location, one.sha256, told)
                rows.append(_result(one.location, done, "signed" if offline else "recorded"))
            except (DataError, NotFoundError) as error:
                rows.append({"location": one.location, "result": "damaged", "problem": str(error)})
    print_rows(rows, output, columns=_VERIFIED, empty="there are no sets on the record")
    if damaged := sum(row["result"] in ("damaged", "unknown") for row in rows):
        message = f"{damaged} of {len(rows)} sets are damaged, missing, or not on the record"
        raise DataError(
            message, hint="take them from a backup; --offline verifies those of another vault"
        )


def _result(location: str, done: VerifiedSet, result: str) -> Mapping[str, object]:
    manifest = done.current.manifest
    return {
        "location": location,
        "result": result,
        "set_id": manifest.set_id,
        "event": manifest.event,
        "version": manifest.version,
        "rows": manifest.contents.rows,
        "parts": len(manifest.parts),
        "bytes": done.bytes,
        "lost_values": done.lost_values,
        "other_files": done.other_files,
        "manifest_sha256": done.current.sha256.hex(),
    }
