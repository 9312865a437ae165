"""
What helper processes do so that no path is resolved by root where a user can swap it.

A FUSE client is started in a cage: a root directory of its own that holds what its share names, and nothing else. It
mounts there, at :data:`INSIDE`, and a helper takes the finished mount over to the mount point, which it holds open.
What mount(8) mounts is made in a namespace of its own and taken over in the same way.
"""

from __future__ import annotations

import errno
import os
import resource
import signal
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from agent.mounts import syscalls

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any, NoReturn

INSIDE: Final = "/.share"
"""Where a client mounts, in its cage; no source has a name that begins with a dot, so none is covered."""

_PROGRAM_TREES: Final = ("usr", "bin", "sbin", "lib", "lib32", "lib64", "libx32")
_DEVICES: Final = ("null", "zero", "full", "random", "urandom", "fuse")
ETC_TREES: Final = ("ssl/certs", "pki/tls/certs", "pki/ca-trust", "ca-certificates", "alternatives")
"""
Read-only in a cage: directories, in which a changed file shows; single files are copied, see ``cage_files``. Beside the
certificates lie the guest's private keys, which no client sees.
"""

_ROOT_OPTIONS: Final = "mode=755,size=1m"
"""Of a cage's root: it holds directories and links, never data."""

_CAP_SYS_ADMIN: Final = 21
_START_TICKS: Final = 22 - 3
"""Field 22 of proc_pid_stat(5), counted from what follows the command's closing parenthesis."""

_STREAM_TO_LOG: Final = (1, 2)


def become_client(
    *,
    argv: Sequence[str],
    env: dict[str, str],
    log: str,
    status: tuple[str, str] | None,
    cage: dict[str, Any],
    on_ready: Callable[[], None],
) -> NoReturn:
    """
    Become the client *argv* in its cage.

    Args:
        argv: Program and arguments.
        env: Its whole environment.
        log: Private file for what it prints.
        status: Environment variable that takes the number of a descriptor, and what to open for that.
        cage: The fields of ``cage.Cage``.
        on_ready: Called when only the program itself is missing.

    Raises:
        OSError: the cage cannot be made; its file name says for what.
    """
    os.setsid()
    _redirect(log)
    if status is not None:
        reported_to = os.open(status[1], os.O_WRONLY)
        os.set_inheritable(reported_to, True)
        env = {**env, status[0]: str(reported_to)}
    program = os.path.realpath(argv[0])
    _enter(cage)
    _restrict(frozenset(cage["capabilities"]) | {_CAP_SYS_ADMIN})
    if not cage["may_listen"]:
        syscalls.pretend_to_listen()
    if not os.access(program, os.X_OK):
        raise FileNotFoundError(errno.ENOENT, "No such file or directory", argv[0])
    on_ready()
    try:
        os.execve(program, list(argv), env)
    except OSError as exc:
        os.write(_STREAM_TO_LOG[-1], f"cannot run {argv[0]}: {exc.strerror}\n".encode())  # as its last words
        raise


def _redirect(log: str) -> None:
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    for stream in _STREAM_TO_LOG:
        os.dup2(output, stream)
    os.dup2(os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC), 0)


def _restrict(kept: frozenset[int]) -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a core of a client holds its keys
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # as Python found it
    syscalls.give_up_privileges(kept)


def _enter(cage: dict[str, Any]) -> None:
    """Collect what the cage shows while the guest's own paths are in reach, then make it the whole world."""
    trees = _collect(cage)
    links = {name: os.readlink(f"/{name}") for name in _PROGRAM_TREES if os.path.islink(f"/{name}")}
    root = cage["private_dir"]
    syscalls.unshare_mounts(with_ipc_and_name=True)
    syscalls.mount("tmpfs", root, _ROOT_OPTIONS)
    os.chdir(root)
    for at, tree, is_directory in sorted(trees, key=lambda entry: entry[0].count("/")):
        syscalls.attach(tree, _make_place(at, is_directory))
        os.close(tree)
    for name, target in links.items():
        os.symlink(target, name)
    os.mkdir(INSIDE.lstrip("/"), 0o755)
    syscalls.restrict(os.open(".", syscalls.HOLD), ("ro", "nosuid", "nodev"))
    syscalls.make_root()


def _collect(cage: dict[str, Any]) -> list[tuple[str, int, bool]]:
    """Copy every mount that the cage shows: where in it, the tree, and whether that is a directory."""
    trees: list[tuple[str, int, bool]] = []

    def show(
        outside: str, at: str, *attributes: str, is_recursive: bool = False, flags: int = os.O_PATH | os.O_CLOEXEC
    ) -> None:
        fd = os.open(outside, flags)
        tree = syscalls.clone_tree(fd, is_recursive=is_recursive)
        syscalls.restrict(tree, ("nosuid", *attributes), is_recursive=is_recursive)
        trees.append((at, tree, os.path.isdir(outside)))
        os.close(fd)

    for name in _PROGRAM_TREES:
        if os.path.isdir(f"/{name}") and not os.path.islink(f"/{name}"):
            show(f"/{name}", f"/{name}", "ro", "nodev", is_recursive=True)
    for name in _DEVICES:
        if name == "fuse" or os.path.exists(f"/dev/{name}"):
            show(f"/dev/{name}", f"/dev/{name}", "noexec")
    show(cage["etc"], "/etc", "ro", "nodev", "noexec")
    for name in ETC_TREES:
        if os.path.isdir(f"{cage['etc']}/{name}"):
            show(f"/etc/{name}", f"/etc/{name}", "ro", "nodev", "noexec", is_recursive=True)
    if cage["has_proc"]:
        show("/proc", "/proc", "ro", "nodev", "noexec", is_recursive=True)
    seen = (*(f"/{name}" for name in _PROGRAM_TREES), *cage["read_only"], *cage["writable"])
    for path in cage["programs"]:
        program = os.path.realpath(path)
        for at in {path, program}:
            if os.path.exists(program) and not any(at.startswith(f"{tree}/") for tree in seen):
                show(program, at, "ro", "nodev")
    for path in cage["read_only"]:
        show(os.path.realpath(path), path, "ro", "nodev", is_recursive=True)
    for path in cage["writable"]:
        show(os.path.realpath(path), path, "nodev", is_recursive=True)
    own = {cage["private_dir"]: cage["private_dir"], cage["cache_dir"]: cage["cache_dir"], cage["tmp_dir"]: "/tmp"}
    for outside, at in own.items():  # held: an earlier client could have left a link to anywhere in their place
        show(outside, at, "nodev", "noexec", flags=syscalls.HOLD)
    for named, resolved in cage["sources"].items():
        held = syscalls.hold(resolved)
        tree = syscalls.clone_tree(held)
        os.close(held)
        syscalls.restrict(tree, ("nosuid", "nodev", "noexec", *(("ro",) if cage["is_read_only"] else ())))
        trees.append((named, tree, True))
    return trees


def _make_place(at: str, is_directory: bool) -> int:
    """Make what a tree is mounted on, below the working directory, and hold it."""
    *above, name = at.strip("/").split("/")
    fd = os.open(".", syscalls.HOLD)
    for part in above:
        fd = _make_directory(fd, part)
    if is_directory:
        return _make_directory(fd, name)
    with suppress(FileExistsError):  # a tree that was mounted before has it
        os.close(os.open(name, os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600, dir_fd=fd))
    return os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=fd)


def _make_directory(fd: int, name: str) -> int:
    try:
        return os.open(name, syscalls.HOLD, dir_fd=fd)
    except FileNotFoundError:
        os.mkdir(name, 0o755, dir_fd=fd)
        return os.open(name, syscalls.HOLD, dir_fd=fd)


# --- taking over --------------------------------------------------------------------------------------------------


def take_over(pid: int, start_ticks: int, path: str, attributes: tuple[str, ...]) -> int | None:
    """
    Move what the client *pid* mounted in its cage to the directory *path*, which is reached over no symbolic link.

    Nothing of it stays in the cage: a plain unmount ends the client.

    Returns:
        Its mount id; None where *path* no longer leads to it, and then it is unmounted.
    """
    place = _Place(path)
    home = os.open("/proc/self/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)
    cage = os.open(f"/proc/{pid}/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)
    if _start_of(pid) != start_ticks:
        raise ProcessLookupError(errno.ESRCH, os.strerror(errno.ESRCH), f"/proc/{pid}")  # whoever has its pid by now
    syscalls.enter_mounts(cage)
    try:
        tree = syscalls.clone_tree(os.open("/", syscalls.HOLD), INSIDE.lstrip("/"))
        syscalls.detach(INSIDE)
    finally:
        syscalls.enter_mounts(home)
    return place.mount(tree, attributes)


def _start_of(pid: int) -> int:
    """Read when the process *pid* was started; with its pid this names one process for ever."""
    with open(f"/proc/{pid}/stat", "rb") as status:
        return int(status.read().rpartition(b")")[2].split()[_START_TICKS])


def perform_mount(
    *, argv: Sequence[str], env: dict[str, str], log: str, private_dir: str, path: str, source: str | None
) -> tuple[int, int | None]:
    """
    Perform ``mount [-t TYPE] -o OPTIONS -- WHAT MOUNT_POINT`` in a mount namespace of its own, and take the mount over.

    Args:
        argv: The command line; its last word is replaced by a place in that namespace.
        env: Its whole environment.
        log: Private file for what it prints.
        private_dir: An empty place for that namespace to mount in.
        path: The mount point, reached over no symbolic link.
        source: For a bind, what is shown, reached in the same way: made here by system calls, as mount(8) makes a bind
            read-only in a second step.

    Returns:
        The exit code, and the mount id; no id where *path* no longer leads to it, and then it is unmounted.
    """
    _redirect(log)
    place = _Place(path)
    attributes = tuple(option for option in argv[argv.index("-o") + 1].split(",") if option in syscalls.ATTRIBUTES)
    if source is not None:
        return 0, place.mount(syscalls.clone_tree(syscalls.hold(source)), attributes)
    home = os.open("/proc/self/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)
    syscalls.unshare_mounts()
    syscalls.mount("tmpfs", private_dir, _ROOT_OPTIONS)
    inside = private_dir + INSIDE
    os.mkdir(inside, 0o755)
    exit_code = _run([*argv[:-1], inside], env)
    if exit_code != 0:
        return exit_code, None
    tree = syscalls.clone_tree(os.open(private_dir, syscalls.HOLD), INSIDE.lstrip("/"))
    syscalls.enter_mounts(home)
    return 0, place.mount(tree, attributes)


def _run(argv: Sequence[str], env: dict[str, str]) -> int:
    pid = os.posix_spawn(argv[0], list(argv), env)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


class _Place:
    """A mount point that is held open, and the directory above it."""

    def __init__(self, path: str) -> None:
        above, _, self._name = path.rpartition("/")
        self._path = path
        self._above = syscalls.hold(above)
        try:
            self._at = os.open(self._name, syscalls.HOLD, dir_fd=self._above)
        except OSError as exc:
            raise OSError(exc.errno, exc.strerror, path) from exc

    def mount(self, tree: int, attributes: tuple[str, ...]) -> int | None:
        """Mount *tree*, restricted before anybody can see it; None where its path is not *path*: it is unmounted."""
        syscalls.restrict(tree, attributes, is_private=False)
        syscalls.attach(tree, self._at)
        found = syscalls.mount_id(tree)
        is_in_place = self._is_in_place(tree)
        if not is_in_place:
            syscalls.detach(f"/proc/self/fd/{tree}")
        for fd in (tree, self._at, self._above):
            os.close(fd)  # before the answer: what is held open is busy
        return found if is_in_place else None

    def _is_in_place(self, tree: int) -> bool:
        """
        Ask the kernel where the mount is; no path is walked for that.

        What is mounted on cannot be renamed any more, but a rename that was under way still comes to its end. It holds
        the directory above until then; a rename of nothing to the same waits for that.
        """
        if not self._shows(tree):
            return False
        try:
            os.rename(self._name, self._name, src_dir_fd=self._above, dst_dir_fd=self._above)
        except OSError:
            return self._shows(tree)  # nobody may rename there at all
        return self._shows(tree)

    def _shows(self, tree: int) -> bool:
        wanted = syscalls.mount_id(tree)
        with open("/proc/self/mountinfo", "rb") as lines:
            for line in lines:
                fields = line.split(b" ", 5)
                if int(fields[0]) == wanted:
                    return os.fsdecode(_unescape(fields[4])) == self._path
        return False


def _unescape(field: bytes) -> bytes:
    for octal, character in ((b"\\040", b" "), (b"\\011", b"\t"), (b"\\012", b"\n"), (b"\\134", b"\\")):
        field = field.replace(octal, character)
    return field
