"""
The way out of both command lines: whatever they print passes here, where nothing of it can command a terminal.

What a line says may come from a guest, a publisher or a file. So one argument is one line, and a line break inside it
is shown like any other character that is not printable; otherwise a guest could write lines in weft's own words.
"""

from __future__ import annotations

import codecs
import sys
import traceback
from types import TracebackType
from typing import TextIO

from weft.printable import printable, printable_json, quoted


def show(*lines: str) -> None:
    """Print data for people on standard output, at once: a pipe sees it too."""
    _write(sys.stdout, "".join(f"{printable(line)}\n" for line in lines))


def show_block(text: str, *, end: str = "\n") -> None:
    """Print a text that was laid out in lines by weft itself, such as a table, whose cells have no line breaks."""
    _write(sys.stdout, printable(text, keep="\n\t") + end)


def show_json(text: str) -> None:
    """Print JSON: the values stay exact, and what a terminal could obey is written as JSON's escapes."""
    _write(sys.stdout, printable_json(text, is_ascii=not _encoding(sys.stdout).startswith("utf")) + "\n")


def tell(*lines: str) -> None:
    """Print messages for people on standard error."""
    _write(sys.stderr, "".join(f"{printable(line)}\n" for line in lines))


def tell_block(text: str) -> None:
    """Print a message on standard error that was laid out in lines by weft itself or a library of its."""
    _write(sys.stderr, printable(text, keep="\n\t") + "\n")


def tell_bug(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Print a traceback, in the place of Python's own: the text of an error that nobody expected is anybody's."""
    tell("this is a bug in weft, please report it:", *quoted("".join(traceback.format_exception(kind, error, trace))))


def _encoding(stream: TextIO) -> str:
    return codecs.lookup(stream.encoding or "utf-8").name


def _write(stream: TextIO, text: str) -> None:
    encoding = _encoding(stream)
    stream.write(text.encode(encoding, "backslashreplace").decode(encoding))
    stream.flush()
