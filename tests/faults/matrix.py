"""The faults that weft must survive, as rows: what happens to users of mounts, and what weft does about it."""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass
from pathlib import Path

TEST_NAME = re.compile(r"test_f(\d\d)_\w+\Z")


@dataclass(frozen=True, slots=True)
class Row:
    """
    One row.

    Attributes:
        number: The fault's number, part of its test's name.
        fault: What goes wrong.
        answer: What weft does.
        note: What the test cannot be, where it is less than the real thing.
    """

    number: int
    fault: str
    answer: str
    note: str = ""


def _rows(text: str) -> tuple[Row, ...]:
    """Read rows: number, fault, answer and perhaps a note, with bars between; an indented line goes on."""
    joined = re.sub(r"\n\s+", " ", text.strip())
    cells = ([cell.strip() for cell in line.split("|")] for line in joined.splitlines())
    return tuple(Row(int(number), *rest) for number, *rest in cells)


ROWS = _rows("""
1 | A FUSE client crashes or is killed: "transport endpoint is not connected" | Known by the exit of its process,
    also for clients that an earlier agent started; detached, mounted again, told
2 | A mount is dead, and `stat` still succeeds from the kernel's cache | Every mount is asked with `statvfs`, and
    its root is read now and then
3 | A client is stopped or hangs; whoever asks it sleeps uninterruptibly | A client that recovers by itself is left
    alone (`degraded`); one that is stopped is aborted, which frees everybody, and replaced
4 | A helper that asked a hung mount cannot be killed | Nobody waits for it: the agent answers, ends and starts as
    ever
5 | The agent is killed, restarted or upgraded | Clients have a life of their own; open files go on, and the next
    agent takes the mounts over
6 | The agent has forgotten what it mounted | Its mounts are known by their sources and taken over; everybody else's
    are left alone
7 | Something is mounted twice at one place | Nothing is stacked upon it; all of it goes with the share
8 | A client reports success, but nothing is mounted | Only the mount table counts; it is a failure, and no bare
    directory stays behind
9 | A bare directory looks like a share | Only the mount table counts
10 | Somebody writes into the directory of a share that is away | A first mount is refused, naming the files; a
    repair covers them, says so, and they show again afterwards
11 | Cleaning up deletes a share's files | Only empty directories of our own are removed, after another look at the
    mount table
12 | A share is in use when it must go | Its holders are named (pid, command, path), waited for, then it is detached
13 | Uploads are still queued when a share must go | They are sent first; what the server does not take is kept,
    told with its size, and sent later
14 | Keys expire, and the mount looks fine | Told as `auth`; new keys reach the running client, no remount
15 | A failure that no retry mends | Tried once, then it waits for a changed spec or `retry`
16 | The kernel rewrites mount options, or an administrator changes them | What was asked for is compared, so
    nothing is remounted
17 | An NFS server is gone | Soft mounts, so that no process waits for ever; tried again until it returns | with a
    stand-in for mount(8): the test machine's kernel has no NFS
19 | A virtiofs or 9p tag is not there yet | Tried again until it appears | with a stand-in for mount(8): only
    virtual machines have such devices
20 | Somebody else unmounts a share, again and again | Seen in the mount table and brought back at once; a fight is
    slowed down and told
21 | Shutdown hangs on a mount whose server is silent | Everything is unmounted in order and in bounded time
22 | A guest boots before its network | It mounts from its ledger, and what needs a server when that comes
24 | A child or a bind mount is left on the dead file system of its parent | They are brought back after the parent
25 | A repair races with a new spec | One worker for each mount point; what is wanted last is what is there
26 | A pid is used again | Start time and boot id belong to a process too
27 | Spaces, backslashes and deleted sources in the mount table | Read as the kernel writes them
28 | Mount points that are relative, lead through links, or lie elsewhere | Refused, with the reason
29 | The mount point existed before | It stays; only directories of our own go
30 | A client program is missing | Named with what to install, by the agent and by `weft-agent doctor`
31 | One share hangs | No other waits for it
34 | The stream was made again and counts from one | Revisions decide, not sequences
35 | The stream is empty, purged or gone | Silence is no order: everything stays
36 | NATS credentials expire or change | The file is read again and a new connection made; mounts stay
37 | A broker restarts, and all guests come back in step | Their waits are spread evenly
40 | A list for another VM, an old one, a forged one | Refused and told
41 | The last message is malformed | Refused and told; what runs stays
42 | The clock jumps, the machine sleeps, a clone has the same id | Time is measured, not read; the broker's time
    counts too; two guests with one id are named
43 | A message crashes or hangs the agent at every start | Counted on disk; after five attempts it is set aside and
    told, and what was held before counts
44 | The ledger is damaged, of a newer agent, or cannot be written | Set aside, refused with what to do, or done
    without; no live mount is touched
45 | The catalog or a roster is gone, empty or failing | Refused: nothing is unmounted because something is absent
46 | A whole backend is away for a while | Told and waited for; nothing is remounted, no write is lost | for
    seconds, not minutes
""")


def find_tests() -> dict[str, Path]:
    """Find the tests of rows, by name."""
    found = {}
    for path in sorted(Path(__file__).parent.glob("test_*.py")):
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and TEST_NAME.match(node.name):
                found[node.name] = path
    return found


def number_of(test: str) -> int:
    """Return the number of the row that a test is about."""
    match = TEST_NAME.match(test)
    assert match is not None, test
    return int(match[1])
