"""Checks of the declaration: the file of this process is the one in force, and what it needs is made."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from vault_etl.doctor.diagnose import Verdict


def declaration(
    own: bytes,
    version: int,
    digest: bytes,
    admits: bytes | None,
    online_work: Callable[[], Sequence[str]],
) -> Sequence[Verdict]:
    """Compare the digest of the file with that of the version in force, and name the online work that is left."""
    if own == digest:
        good = Verdict.good(f"version {version} is in force, and is this file", version=version)
        return [good, *_online(online_work())]
    if own == admits:
        what = f"version {version} is in force, and this file is the one before: only loaders may go on with it"
        do = "name the file of the version in force in VAULT_ETL_SCHEMA_FILE, and restart"
        return [Verdict.bad(what, do, version=version)]
    what = f"version {version} is in force, and is another file"
    do = (
        "name the file in force in VAULT_ETL_SCHEMA_FILE, or put this one in force with"
        " `vault-etl schema apply FILE` as the owner (docs/how-to/add-a-field.md)"
    )
    return [Verdict.bad(what, do, version=version)]


def _online(steps: Sequence[str]) -> Sequence[Verdict]:
    if not steps:
        return []
    what = f"online work is left: {len(steps)} steps, the next one {steps[0]}"
    return [Verdict.bad(what, "run `vault-etl schema apply FILE` again as the owner: it continues")]
