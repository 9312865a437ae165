"""
The tests that every driver must pass, for drivers from other packages too.

Subclass :class:`DriverSuite`, or :class:`agent.drivers.mount_suite.MountSuite` where the machine can mount, in a module
that pytest collects; the name must begin with ``Test``.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any, ClassVar

from agent.drivers.base import Driver, Failure, MountContext
from agent.mounts.ownership import source_of
from agent.programs import Programs
from weft.errors import CommandNotFoundError, ErrorCode, MountError
from weft.wire.blocks import register_block
from weft.wire.codec import decode_message, encode_message
from weft.wire.digest import share_digest
from weft.wire.fields import field_infos
from weft.wire.share import ShareMount, parse_share, redacted_share, share_secrets, share_to_builtins

EXIT_CODES = (None, 0, 1, 2, 7, 32, 126, 127, 255, -9, -15)
OUTPUTS = ("", "something went wrong", "no such file or directory\n" * 500, "\x00\udcff\x1b[31m", "permission denied")
ROOT_ERRNOS = (None, 1, 2, 5, 13, 107, 110, 116)


class DriverSuite:
    """
    What can be tried without mounting anything.

    Attributes:
        driver: What is tried.
        fields: Further fields of the share, such as ``readonly``.
        programs: Programs by name; those of this machine unless given. Pure tests only need their names.
    """

    driver: ClassVar[Driver]
    fields: ClassVar[Mapping[str, Any]] = {}
    programs: ClassVar[Mapping[str, Path]] = {}

    def make_block(self, directory: Path) -> Mapping[str, Any]:
        """Return the plain values of a block that describes a healthy backend, with its data below *directory*."""
        raise NotImplementedError

    def make_share(self, directory: Path) -> ShareMount:
        """Build the share that is tried, mounted below *directory*."""
        register_block(self.driver.name, self.driver.block)
        values = {"id": "tried", "backend": self.driver.name, "mount_point": str(directory / "shares" / "tried")}
        block = self.make_block(directory)
        return parse_share({**values, **({self.driver.name: dict(block)} if block else {}), **self.fields})

    def make_context(self, directory: Path) -> MountContext:
        """Build what the driver is shown."""
        share = self.make_share(directory)
        named = {name: Path("/usr/bin") / name for name in self.driver.programs}
        return MountContext(
            share=share,
            source=source_of(share),
            private_dir=directory / "run" / "private",
            cache_dir=directory / "state" / "cache",
            programs={**named, **self.find_programs()},
        )

    def find_programs(self) -> dict[str, Path]:
        """Return the programs of this machine that the driver needs, as far as they are there."""
        found = Programs(self.driver.programs)
        return {name: found[name] for name in found} | dict(self.programs)

    # --- the block ------------------------------------------------------------------------------------------------

    def test_every_field_of_the_block_is_declared(self) -> None:
        """With a sentence for help, schema and reference page, and whether it is secret."""
        infos = field_infos(self.driver.block)
        own = {name for name in self.driver.block.__struct_fields__ if name != "extra"}
        assert {field for field in own if field not in infos} == set()
        assert [info.name for info in infos.values() if not info.description.endswith((".", "…"))] == []

    def test_a_share_survives_the_wire(self, tmp_path: Path) -> None:
        """Encoded and decoded it is the same share, with the same digest and a block of the driver's type."""
        share = self.make_share(tmp_path)
        again = decode_message(encode_message(share))
        assert isinstance(again, ShareMount)
        assert share_to_builtins(again) == share_to_builtins(share)
        assert share_digest(again) == share_digest(share)
        assert isinstance(again.block, self.driver.block)

    def test_no_secret_is_shown(self, tmp_path: Path) -> None:
        """Neither a repr nor what operators see holds one."""
        share = self.make_share(tmp_path)
        shown = f"{share!r} {share.block!r} {redacted_share(share)}"
        assert [secret for secret in share_secrets(share) if secret in shown] == []

    # --- the command ----------------------------------------------------------------------------------------------

    def test_building_is_pure(self, tmp_path: Path) -> None:
        """The same again gives the same, and touches nothing."""
        context = self.make_context(tmp_path)
        before = sorted(tmp_path.rglob("*"))
        command = self.driver.build(context)
        assert self.driver.build(context) == command
        assert sorted(tmp_path.rglob("*")) == before

    def test_the_command_line_is_complete_and_holds_no_secret(self, tmp_path: Path) -> None:
        """Everybody in the guest can read it."""
        context = self.make_context(tmp_path)
        command = self.driver.build(context)
        assert PurePosixPath(command.argv[0]).is_absolute()
        told = [*(argument.encode() for argument in command.argv), *(file.content for file in command.files)]
        assert any(context.share.mount_point.encode() in text for text in told), "it is not told where to mount"
        secrets = share_secrets(context.share) | command.secrets
        assert [argument for argument in command.argv for secret in secrets if secret and secret in argument] == []

    def test_files_stay_in_the_private_directory(self, tmp_path: Path) -> None:
        """What is written beside a mount is named relative to it and does not climb out."""
        context = self.make_context(tmp_path)
        command = self.driver.build(context)
        names = [*(file.name for file in command.files), *command.links, *command.log_files]
        assert [name for name in names if PurePosixPath(name).is_absolute() or ".." in name.split("/")] == []
        allowed = (context.private_dir, context.cache_dir)
        outside = [name for name in command.directories if not _is_in(context.private_dir / name, allowed)]
        assert outside == []

    def test_a_mount_can_be_recognised(self, tmp_path: Path) -> None:
        """By type or source: a client that names neither could be anybody's."""
        command = self.driver.build(self.make_context(tmp_path))
        assert command.fs_types or command.source or not command.is_client
        assert command.deadline_s > 0

    def test_a_missing_program_is_named(self) -> None:
        """Before anything is tried."""
        for missing in self.driver.programs:
            others = {name: Path("/usr/bin") / name for name in self.driver.programs if name != missing}
            said = _refusal(self.driver, others)
            assert missing in said, f"{missing} is missing and {said or 'nothing'!r} is said"

    # --- failures and changes -------------------------------------------------------------------------------------

    def test_every_failure_has_a_name(self, tmp_path: Path) -> None:
        """Whatever a client prints and however it ends, the answer is a sentence with a code and without a secret."""
        context = self.make_context(tmp_path)
        secrets = share_secrets(context.share) | self.driver.build(context).secrets
        for exit_code, output, root_errno in itertools.product(EXIT_CODES, OUTPUTS, ROOT_ERRNOS):
            error = self.driver.classify(context, Failure(exit_code, output, root_errno))
            assert isinstance(error, MountError)
            assert error.message.startswith("cannot ")
            assert "\n" not in error.message
            assert error.code in ErrorCode
            assert [secret for secret in secrets if secret and secret in f"{error} {error.detail}"] == []

    def test_what_can_change_live_is_decided_by_the_specs_alone(self, tmp_path: Path) -> None:
        """The answer is the same each time, and nothing is touched."""
        share = self.make_share(tmp_path)
        before = sorted(tmp_path.rglob("*"))
        answers = {self.driver.can_apply_live(share, share) for _ in range(3)}
        assert len(answers) == 1
        assert answers <= {True, False}
        assert sorted(tmp_path.rglob("*")) == before

    def test_sources_are_absolute(self, tmp_path: Path) -> None:
        """The guest's policy judges them as they are written."""
        paths = self.driver.source_paths(self.make_share(tmp_path))
        assert [path for path in paths if not PurePosixPath(path).is_absolute()] == []


def _refusal(driver: Driver, programs: Mapping[str, Path]) -> str:
    try:
        driver.require_programs(programs)
    except CommandNotFoundError as exc:
        return str(exc)
    return ""


def _is_in(path: Path, roots: tuple[Path, ...]) -> bool:
    return ".." not in path.parts and any(path.is_relative_to(root) for root in roots)
