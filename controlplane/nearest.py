"""Suggest the known names that look like an unknown one."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def nearest(name: str, known: Iterable[str], *, limit: int = 3) -> tuple[str, ...]:
    """List up to *limit* of *known* that look like *name*, best first."""
    by_folded = {item.lower(): item for item in sorted(known, reverse=True)}
    found = difflib.get_close_matches(name.lower(), by_folded, n=limit, cutoff=0.6)
    return tuple(by_folded[item] for item in found)


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return `` (did you mean …?)``, or nothing where no known name looks like *name*."""
    found = nearest(name, known)
    return f" (did you mean {' or '.join(found)}?)" if found else ""
