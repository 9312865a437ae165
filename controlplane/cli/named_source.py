"""``--from NAME:path``, where NAME is a remote of the catalog or of the operator's rclone.conf: find it, say which."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from controlplane.nearest import did_you_mean
from controlplane.rclone_source import RcloneConf, RemoteText, parse_remote_text
from controlplane.remotes import placeholder_block
from controlplane.source import Source, parse_source
from weft.errors import ConfigError, SubjectError
from weft.wire.ids import RemoteName, parse_remote_name

if TYPE_CHECKING:
    from controlplane.records import RemoteRecord

CATALOG = "catalog"
RCLONE_CONF = "rclone.conf"
_NO_REMOTES = frozenset({"virtiofs", "9p", "bind"})


@dataclass(frozen=True, slots=True)
class NamedSource:
    """
    A source that the catalog may know.

    Attributes:
        text: What the operator wrote, taken apart.
        in_conf: What rclone.conf makes of it, None where it does not know the name.
        where: rclone.conf's name.
        of: Where the operator said it is, None for wherever it is found.
    """

    text: RemoteText
    in_conf: Source | None
    where: str
    of: str | None

    def choose(self, remotes: Mapping[RemoteName, RemoteRecord]) -> ChosenSource:
        """
        Decide which of the two it is.

        Args:
            remotes: Those of the catalog.

        Raises:
            ConfigError: It is in neither, or in both and nobody said which.
        """
        name = self.text.name
        record = remotes.get(RemoteName(name))
        if record is not None and self.in_conf is not None and self.of is None:
            raise ConfigError(
                [
                    f"cannot choose remote {name!r}: it is in the catalog and in {self.where};"
                    f" say --remote-of {CATALOG} or --remote-of {RCLONE_CONF}"
                ]
            )
        if record is not None and self.of != RCLONE_CONF:
            return ChosenSource(_source_of(self.text, record), name, f"remote {name}: of the catalog")
        if self.in_conf is not None and self.of != CATALOG:
            return ChosenSource(self.in_conf, "", f"remote {name}: of {self.where}")
        places = {CATALOG: "the catalog", RCLONE_CONF: self.where}
        asked = places[self.of] if self.of else f"{self.where} and the catalog"
        raise ConfigError([f"cannot find remote {name!r} in {asked}{did_you_mean(name, remotes)}"])


@dataclass(frozen=True, slots=True)
class ChosenSource:
    """A source that was decided on: the catalog's remote it names, ``""`` for none, and what to tell the operator."""

    source: Source
    remote: str
    told: str


def parse_named(text: str, conf: RcloneConf, of: str | None) -> NamedSource | None:
    """
    Take *text* apart where it may name a remote of the catalog; None where it cannot.

    Raises:
        ConfigError: rclone.conf knows the name and cannot be used, or the text is malformed.
    """
    kind = text.partition(":")[0]
    if "://" in text or not kind or kind in _NO_REMOTES or "/" in kind:
        return None
    parsed = parse_remote_text(text)
    try:
        parse_remote_name(parsed.name)
    except SubjectError:
        return None  # a name only rclone.conf may have
    named = NamedSource(parsed, None, conf.where, of)
    if of == CATALOG or (of is None and parsed.name not in conf.sections()):
        return named
    return replace(named, in_conf=parse_source(text, conf))


def _source_of(text: RemoteText, record: RemoteRecord) -> Source:
    if text.config and record.backend != "rclone":
        raise ConfigError([f"cannot use options in --from {text.name},…: the remote is {record.backend}, not rclone"])
    overlay = {"config": dict(text.config)} if text.config else {}
    path = text.path.strip("/") if record.backend == "cubefs" else text.path
    return Source(record.backend, placeholder_block(record, path, overlay))
