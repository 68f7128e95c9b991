"""Results of tasks, for the driver: names, counts and SHA-256 of parts, as JSON."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict

from vault_etl.archives.manifest import GenerationCount, KeyCount, Part
from vault_etl.lake.seal import SealedPart


def encoded(parts: Iterable[SealedPart], **counts: int) -> bytes:
    """Return parts, and counts by name, as bytes."""
    told = [
        {
            "part": asdict(each.part) | {"sha256": each.part.sha256.hex()},
            "keys": [asdict(key) for key in each.keys],
            "generations": [asdict(generation) for generation in each.generations],
        }
        for each in parts
    ]
    return json.dumps({"parts": told, "counts": counts}).encode()


def decoded(results: Iterable[bytes]) -> tuple[list[SealedPart], Counter[str]]:
    """Return the parts of all tasks, in the order of the results, and the sums of their counts."""
    parts, counts = list[SealedPart](), Counter[str]()
    for result in results:
        document = json.loads(result)
        counts.update(document["counts"])
        for each in document["parts"]:
            each["part"]["sha256"] = bytes.fromhex(each["part"]["sha256"])
            keys = tuple(KeyCount(**key) for key in each["keys"])
            generations = tuple(GenerationCount(**one) for one in each["generations"])
            parts.append(SealedPart(Part(**each["part"]), keys, generations))
    return parts, counts
