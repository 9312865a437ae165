"""Console blocks of a page: what is typed there, and what the page says it prints."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

BACKGROUND = "terminal"
"""Second word of a block whose last command goes on in a terminal of its own."""
INTERRUPT = "^C"
"""What stands in such a block where Ctrl-C is pressed."""

_BLOCK = re.compile(r"^```console(?: (\w+))?\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_PROGRESS = re.compile(r"(read|publish|wait): \d+/\d+(, \d+ \w+)*\Z")
"""Where a person sees a bar."""
_ANY_LINES = "…"
_AGO = re.compile(r"\b\d+s\b")
_INSTANT = re.compile(r"\b\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(Z|\+00:00)?")
_ADDRESS = re.compile(r"\b\d+\.\d+\.\d+\.\d+:\d+\b")


@dataclass(frozen=True)
class Typed:
    """One command and what it prints."""

    command: str
    prints: tuple[str, ...] = ()
    is_background: bool = False


def read_console(page: Path, *, prompt: str, heading: str = "") -> list[Typed]:
    """Read the commands of *page* in their order; with *heading* only those of that section."""
    text = page.read_text()
    if heading:
        text = text.partition(f"## {heading}\n")[2].partition("\n## ")[0]
    return [typed for kind, block in _BLOCK.findall(text) for typed in _typed(block, prompt, kind == BACKGROUND)]


def _typed(block: str, prompt: str, is_background: bool) -> list[Typed]:
    joined = block.replace("\\\n", "")
    parts = ("\n" + joined).split(f"\n{prompt} ")[1:]
    return [
        Typed(command, tuple(output.splitlines()), is_background and number == len(parts))
        for number, part in enumerate(parts, start=1)
        for command, _, output in [part.partition("\n")]
    ]


def prints_as_said(printed: list[str], said: tuple[str, ...]) -> bool:
    """Say whether *printed* is what the page says, where a line with nothing but ``…`` stands for any lines."""
    lines = [line for line in map(_what_matters, printed) if not _PROGRESS.match(line)]
    pattern = "".join(r"(?:.*\n)*" if line == _ANY_LINES else re.escape(_what_matters(line)) + r"\n" for line in said)
    return re.fullmatch(pattern, "".join(f"{line}\n" for line in lines)) is not None


def _what_matters(line: str) -> str:
    """Take from a line what differs from run to run: when, how long ago, on which port, and how wide the column is."""
    text = " ".join(line.split())
    for pattern, name in ((_INSTANT, "TIME"), (_ADDRESS, "ADDRESS"), (_AGO, "Ns")):
        text = pattern.sub(name, text)
    return text
