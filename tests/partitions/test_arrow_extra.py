"""Without the extra `arrow` of the package, months are not archived, and everything else goes on."""

from __future__ import annotations

from pathlib import Path

from tests.kit.months import WHY, months, table, this_month
from tests.kit.vault import Vault

WITHOUT = "raise ModuleNotFoundError(\"No module named 'pyarrow'\", name='pyarrow')\n"


def test_what_is_missing_is_said_before_anything_is_written(vault: Vault, tmp_path: Path) -> None:
    """With what to install, as a setting that is wrong; the other commands for months need it not."""
    package = tmp_path / "pyarrow"
    package.mkdir()
    (package / "__init__.py").write_text(WITHOUT, encoding="utf-8")
    place = tmp_path / "archives"
    place.mkdir()
    without = {"PYTHONPATH": str(tmp_path)}
    month = this_month(vault)
    vault.ok("admin", "partitions", "detach", month, *WHY, extra=without)
    to = ("archive", month, "--to", str(place), *WHY[:2])
    refused = vault.run("admin", "partitions", *to, extra=without)
    assert (refused.code, refused.stdout) == (78, ""), refused.stderr
    assert "archives need the package pyarrow, which is not installed" in refused.stderr
    assert 'pip install "vault-etl[arrow]"' in refused.stderr
    assert list(place.iterdir()) == []
    assert months(vault)[table(month)] == "detached"
