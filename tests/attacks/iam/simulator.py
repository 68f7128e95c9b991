"""Runs `simulate.mjs`: a policy evaluator that understands conditions, from npm."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from tests.attacks.iam.documents import ACCOUNT, Policy

HERE = Path(__file__).parent
SECONDS = 600


@dataclass(frozen=True, slots=True)
class Request:
    """A request of a principal. `guard` is the resource's own policy: a key's, a queue's or a role's."""

    principal: str
    action: str
    resource: str
    context: Mapping[str, str | list[str]]
    identity: tuple[str, ...]
    guard: str | None
    account: str = ACCOUNT


@dataclass(frozen=True, slots=True)
class Mutant:
    """A policy that was loosened, and how."""

    of: str
    how: str
    document: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Outcome:
    """A decision a request; and for each mutant the first request that it changes, or None."""

    decisions: Sequence[str]
    flips: Sequence[int | None]


def simulate(
    policies: Mapping[str, Policy], requests: Sequence[Request], mutants: Sequence[Mutant] = ()
) -> Outcome:
    """Decide every request; then again under each mutant, until one is decided otherwise."""
    node = shutil.which("node")
    assert node, "Node is not installed: `make test-all` installs it"
    assert (HERE / "node_modules").is_dir(), "run `make test-all`, or `npm ci` in tests/attacks/iam"
    asked = {
        "policies": {name: asdict(policy) for name, policy in policies.items()},
        "requests": [asdict(request) for request in requests],
        "mutants": [{"of": mutant.of, "document": mutant.document} for mutant in mutants],
    }
    done = subprocess.run(
        [node, "simulate.mjs"],
        cwd=HERE,
        input=json.dumps(asked),
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    answered = json.loads(done.stdout)
    return Outcome(answered["decisions"], answered["flips"])
