"""Ask for known vulnerabilities of the packages of a lock file.

    python .ci/advisories.py requirements/runtime.txt [--must-answer] [--service-url URL]

Exit 1: a package has one. Where the service cannot be asked, say so and exit 0, so that a checkout works
offline; with `--must-answer`, as for a release, exit 2. An unanswered question is never a clean one.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any


def main() -> int:
    """Run pip-audit over the lock, and return the exit code."""
    parser = argparse.ArgumentParser(description="known vulnerabilities of a lock file's packages")
    parser.add_argument("lock", type=Path)
    parser.add_argument("--must-answer", action="store_true")
    parser.add_argument("--service-url", help="instead of OSV's own")
    asked = parser.parse_args()
    answer = _ask(asked.lock, asked.service_url)
    if answer is None:
        print(f"{asked.lock}: not checked: the advisories gave no answer", file=sys.stderr)
        return 2 if asked.must_answer else 0
    found = [
        f"{package['name']} {package['version']}: {vulnerability['id']}"
        f" (mended in {', '.join(vulnerability['fix_versions']) or 'no version yet'})"
        for package in answer
        for vulnerability in package["vulns"]
    ]
    print("\n".join(found) or f"{asked.lock}: {len(answer)} packages, no known vulnerability")
    return 1 if found else 0


def _ask(lock: Path, service_url: str | None) -> list[dict[str, Any]] | None:
    """Return pip-audit's word on every package, or None if there is one that it could not ask about.

    pip-audit's exit code is 1 for a vulnerability and for a failure alike, so the report decides: it is
    written only if all was asked.
    """
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        command = [sys.executable, "-m", "pip_audit", "--strict", "--progress-spinner", "off"]
        command += ["--requirement", str(lock), "--require-hashes", "--disable-pip"]
        command += ["--vulnerability-service", "osv"]
        command += ["--osv-url", service_url] if service_url else []
        command += ["--format", "json", "--output", str(report)]
        subprocess.run(command, check=False, capture_output=True)
        if not report.is_file():
            return None
        packages: list[dict[str, Any]] = json.loads(report.read_text(encoding="utf-8"))[
            "dependencies"
        ]
    return None if any("skip_reason" in package for package in packages) else packages


if __name__ == "__main__":
    sys.exit(main())
