"""Values of each kind, and other spellings of them."""

from __future__ import annotations

import string
from collections.abc import Callable, Mapping
from typing import Final

from hypothesis import strategies as st

ALNUM: Final = string.ascii_letters + string.digits
_labels = st.text(ALNUM, min_size=1, max_size=20)
_locals = st.text(f"{ALNUM}.+-_\u00e9\u4f8b", min_size=1, max_size=16)
_swiss = st.integers(10_000_000, 99_999_999).map(lambda number: f"+41{number}9")
VALUES: Final[Mapping[str, st.SearchStrategy[str]]] = {
    "ip": st.ip_addresses().map(str),
    "text": st.text(st.characters(codec="utf-8", exclude_categories=["C"]), min_size=1).filter(
        lambda text: text.strip() == text and not text.isspace()
    ),
    "email": st.builds(lambda local, name: f"{local}@{name}.example", _locals, _labels),
    "phone": _swiss,
    "uuid": st.uuids().map(str),
    "digits": st.text(string.digits, min_size=1, max_size=64),
}
OTHERWISE: Final[Mapping[str, Callable[[str], str]]] = {
    "ip": lambda text: f"  {text.upper()} ",
    "text": lambda text: f"\u2003{text}\t",
    "email": lambda text: " {}@{} ".format(text.partition("@")[0], text.partition("@")[2].upper()),
    "phone": lambda text: f" 0{text[3:5]} {text[5:8]}-{text[8:]}",
    "uuid": lambda text: f"{{{text.upper()}}}",
    "digits": lambda text: " " + "-".join(text) + " ",
}
"""Another spelling of the same value."""
