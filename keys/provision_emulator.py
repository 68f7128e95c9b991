#!/usr/bin/env python3
r"""Make the template's keys, aliases and queues in an AWS emulator. Safe to repeat.

    AWS_ENDPOINT_URL=http://127.0.0.1:4566 AWS_ACCESS_KEY_ID=test AWS_SECRET_ACCESS_KEY=test \
        python keys/provision_emulator.py [--keep-keys FOLDER]

With `--keep-keys` a LocalStack that starts empty gets the keys that it had before: their material is in the folder.
For docker-compose.yml and the like: `vault-etl local start` does this by itself, and AWS takes the
template directly. Needs the package with its extra `local`. Prints one JSON object; exit codes as
everywhere.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path

from vault_etl.base.errors import ConfigurationError, VaultEtlError
from vault_etl.local.provision import Credentials, EmulatorSession, provision_resources


def main() -> int:
    """The exit code."""
    parser = argparse.ArgumentParser(prog="provision_emulator.py")
    parser.add_argument("--keep-keys", metavar="FOLDER", type=Path)
    kept_keys = parser.parse_args().keep_keys
    try:
        session = EmulatorSession(
            _setting("AWS_ENDPOINT_URL"),
            Credentials(_setting("AWS_ACCESS_KEY_ID"), _setting("AWS_SECRET_ACCESS_KEY")),
        )
        made = provision_resources(session, kept_keys=kept_keys)
    except VaultEtlError as error:
        sys.stderr.write(f"provision_emulator: error: {error}\n")
        if error.hint:
            sys.stderr.write(f"provision_emulator: hint: {error.hint}\n")
        return error.exit_code
    shown = {
        "queue_url": made.queue_url,
        "dead_letter_url": made.dead_letter_url,
        "key_arns": dict(made.key_arns),
    }
    sys.stdout.write(json.dumps(shown) + "\n")
    return 0


def _setting(name: str) -> str:
    value = os.environ.get(name)
    if not value:
        raise ConfigurationError(f"{name} is not set", hint="an emulator's, never AWS's own")
    return value


if __name__ == "__main__":
    sys.exit(main())
