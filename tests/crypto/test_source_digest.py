"""Digests of sources: keyed, of whole lines, the same however the lines come."""

from __future__ import annotations

import hmac
import itertools

from hypothesis import given
from hypothesis import strategies as st

from vault_etl.crypto.keys import KeyMaterial
from vault_etl.crypto.source_digest import LineDigest, name_digest

RAW = bytes(range(32))
KEY = KeyMaterial(RAW)
MARK = b"\xef\xbb\xbf"
PIECES = [b"a", b"", b"\r", MARK, b" ", b"\xef"]
lines = st.lists(
    st.binary(max_size=9).map(lambda line: line.replace(b"\n", b""))
    | st.lists(st.sampled_from(PIECES), max_size=5).map(b"".join),
    max_size=30,
)


def oracle(of: list[bytes]) -> bytes:
    """The rule of docs/formats.md: of each line what is loaded of it."""
    loaded = [line.removesuffix(b"\r").removeprefix(MARK) + b"\n" for line in of]
    return hmac.digest(RAW, b"vault-etl/1/source-lines" + b"".join(loaded), "sha256")


@given(lines, st.lists(st.integers(0, 30), max_size=4), st.sets(st.integers(1, 30)))
def test_the_digest_of_lines_is_that_of_the_page(
    of: list[bytes], cuts: list[int], points: set[int]
) -> None:
    """The digest does not depend on the pieces of the input; nor do those of the beginnings that were asked for."""
    digest = LineDigest(KEY, points)
    bounds = [0, *sorted(cuts), len(of)]
    for start, end in itertools.pairwise(bounds):
        digest.add(of[start:end])
    assert (digest.lines, digest.value()) == (len(of), oracle(of))
    assert list(digest.passed) == [(n, oracle(of[:n])) for n in sorted(points) if n <= len(of)]


def test_two_keys_make_two_digests() -> None:
    """Without the key a digest tells nothing; digests of names and of lines have nothing in common."""
    other = KeyMaterial(bytes(32))
    assert name_digest(KEY, b"a") != name_digest(other, b"a")
    assert LineDigest(KEY).value() != LineDigest(other).value()
    assert name_digest(KEY, b"May") == hmac.digest(RAW, b"vault-etl/1/source-nameMay", "sha256")
    assert name_digest(KEY, b"") != LineDigest(KEY).value()
