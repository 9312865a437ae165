r"""
Text of others, made fit for a terminal. Pure.

Guests, files and process names may hold anything, and a terminal obeys some of it: ``ESC ] 52`` writes the clipboard,
a direction mark makes a line read backwards, a carriage return writes over what stood there.
"""

from __future__ import annotations

TAB = "\t"


def printable(text: str, *, keep: str = "") -> str:
    r"""
    Show each character of *text* that is not printable as an escape like ``\x1b`` or ``\u202e``.

    Not printable are control characters, marks for direction and other marks without a width, separators except the
    blank, halves of surrogate pairs, and what Unicode has not assigned: Python's own ``str.isprintable``.

    Args:
        text: Anything.
        keep: Characters that stay as they are, such as the line breaks of a text that was laid out by weft.
    """
    if text.isprintable():
        return text
    return "".join(
        char if char.isprintable() or char in keep else char.encode("unicode_escape").decode() for char in text
    )


def encodable(text: str) -> str:
    r"""
    Show what UTF-8 cannot carry as an escape like ``\udcff``.

    A name of a file or a process is any bytes; those that are no UTF-8 come from the kernel as halves of surrogate
    pairs, which no message and no ledger can hold.
    """
    return text.encode("utf-8", "backslashreplace").decode()


def quoted(text: str) -> list[str]:
    """Lay out a text of several lines that somebody else wrote, so that no line of it passes for one of weft's own."""
    return [f"  | {printable(line, keep=TAB)}" for line in text.split("\n") if line.strip()]


def printable_json(text: str, *, is_ascii: bool = False) -> str:
    r"""
    Write what is not printable in the JSON *text* as JSON's own ``\uXXXX``: any reader gets the same values.

    Args:
        text: A document, or a line of one; outside its strings it has no other white space than blanks and line breaks.
        is_ascii: Whether the reader takes nothing else.
    """
    if text.isprintable() and (text.isascii() or not is_ascii):
        return text
    return "".join(char if _is_plain(char, is_ascii) or char == "\n" else _json_escape(char) for char in text)


def _is_plain(char: str, is_ascii: bool) -> bool:
    return char.isprintable() and (char.isascii() or not is_ascii)


def _json_escape(char: str) -> str:
    units = char.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[at : at + 2].hex()}" for at in range(0, len(units), 2))
