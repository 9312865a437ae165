"""Programs that the benchmark starts as processes of their own; they answer on standard output, line by line."""

from __future__ import annotations

import asyncio
import sys


async def standard_input() -> asyncio.StreamReader:
    """Read standard input on the running loop; its end is the order to end."""
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    return reader


def say(text: str) -> None:
    """Answer with one line."""
    print(text, flush=True)
