"""Where an operator's broker is: flags, then the environment and context files that the ``nats`` command uses too."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from weft.errors import ConfigError
from weft.link.options import DEFAULT_SERVER, LinkOptions

LOGINS = ("creds", "nkey_seed", "token", "user", "password")
"""Options that say who we are: taken together from the first source that has any, never mixed."""

UNSUPPORTED = ("nsc", "user_jwt", "user_seed", "socks_proxy")
"""Context settings that weft cannot honour, and must not pretend to."""


def options_from(
    *,
    server: str | None = None,
    creds: str | Path | None = None,
    context: str | None = None,
    tls_ca: str | Path | None = None,
    tls_cert: str | Path | None = None,
    tls_key: str | Path | None = None,
    environ: Mapping[str, str] | None = None,
    home: Path | None = None,
) -> LinkOptions:
    """
    Put together how an operator reaches the broker.

    Flags go first, a context named by a flag among them; then ``NATS_URL``, ``NATS_CREDS`` and the
    rest of the environment; then the context of ``NATS_CONTEXT`` or the selected one; then
    ``nats://127.0.0.1:4222``.

    Args:
        server: One URL, or several of one cluster with commas between.
        creds: Credentials file.
        context: Name of a context file.
        tls_ca: Certificates to trust.
        tls_cert: Client certificate.
        tls_key: Its private key.
        environ: The environment; the process's own unless given.
        home: The home directory; the user's own unless given.

    Raises:
        ConfigError: A context is missing or damaged, or the result makes no sense.
    """
    environ = os.environ if environ is None else environ
    home = Path.home() if home is None else home
    flags = {"url": server, "creds": creds, "ca": tls_ca, "cert": tls_cert, "key": tls_key}
    sources = [_settings(flags, home)]
    if context:
        sources.append(load_context(context, environ=environ, home=home))
    sources.append(_from_environment(environ, home))
    if not context and (named := environ.get("NATS_CONTEXT") or selected_context(environ=environ, home=home)):
        sources.append(load_context(named, environ=environ, home=home))
    return _layered(sources)


def load_context(name: str, *, environ: Mapping[str, str], home: Path) -> dict[str, Any]:
    """
    Read the context file *name* and return its settings as fields of ``LinkOptions``.

    Raises:
        ConfigError: There is no such context, or it is not what a context should be.
    """
    folder = _folder(environ, home)
    path = folder / "context" / f"{name}.json"
    if not name or Path(name).name != name:
        raise ConfigError([f"context: cannot use {name!r} as the name of a context"])
    try:
        content = json.loads(path.read_bytes())
    except FileNotFoundError as exc:
        known = sorted(file.stem for file in path.parent.glob("*.json"))
        hint = f"known are {', '.join(known)}" if known else f"there is none in {path.parent}"
        raise ConfigError([f"context: cannot find {name!r}: {hint}"]) from exc
    except OSError as exc:
        raise ConfigError([f"context: cannot read {path}: {(exc.strerror or type(exc).__name__).lower()}"]) from exc
    except ValueError as exc:
        raise ConfigError([f"context: cannot read {path}: it is not JSON"]) from exc
    if not isinstance(content, dict):
        raise ConfigError([f"context: cannot read {path}: it is not a JSON object"])
    problems = [
        f"context {name}: cannot honour {key!r}; use a credentials file (creds)"
        for key in UNSUPPORTED
        if content.get(key)
    ]
    problems += [
        f"context {name}: cannot use {key!r}: it must be a string"
        for key in ("url", "creds", "nkey", "user", "password", "token", "ca", "cert", "key", "inbox_prefix")
        if not isinstance(content.get(key, ""), str)
    ]
    if problems:
        raise ConfigError(problems)
    return _settings(content, home)


def selected_context(*, environ: Mapping[str, str], home: Path) -> str | None:
    """Return the name of the context selected with ``nats context select``, or None."""
    try:
        return (_folder(environ, home) / "context.txt").read_text(encoding="utf-8").strip() or None
    except (OSError, UnicodeDecodeError):
        return None


def _from_environment(environ: Mapping[str, str], home: Path) -> dict[str, Any]:
    names = ("url", "creds", "nkey", "user", "password", "token", "ca", "cert", "key", "inbox_prefix")
    return _settings({name: environ.get(f"NATS_{name.upper()}") for name in names}, home)


def _settings(raw: Mapping[str, Any], home: Path) -> dict[str, Any]:
    """Translate the ``nats`` command's names in *raw* to fields of ``LinkOptions``; empty means absent."""
    given = {key: value for key, value in raw.items() if value}
    settings: dict[str, Any] = {
        key: given[key] for key in ("user", "password", "token", "inbox_prefix") if key in given
    }
    if "url" in given:
        settings["servers"] = tuple(part for part in (part.strip() for part in given["url"].split(",")) if part)
    for key, field in (("creds", "creds"), ("ca", "tls_ca"), ("cert", "tls_cert"), ("key", "tls_key")):
        if key in given:
            settings[field] = _path(given[key], home)
    if "nkey" in given:
        path = _path(given["nkey"], home)
        try:
            settings["nkey_seed"] = path.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as exc:
            raise ConfigError([f"nkey: cannot read {path}"]) from exc
    if given.get("tls_first"):
        settings["tls_first"] = True
    # An old way to write a token: as the user name, without a password.
    if "user" in settings and "password" not in settings and "token" not in settings:
        settings["token"] = settings.pop("user")
    return settings


def _layered(sources: list[dict[str, Any]]) -> LinkOptions:
    merged: dict[str, Any] = {}
    for source in sources:
        has_login = any(name in merged for name in LOGINS)
        merged |= {
            name: value for name, value in source.items() if name not in merged and not (has_login and name in LOGINS)
        }
    return dataclasses.replace(LinkOptions(name="weft operator", servers=(DEFAULT_SERVER,)), **merged)


def _path(text: str | Path, home: Path) -> Path:
    return home / str(text)[2:] if str(text).startswith("~/") else Path(text)


def _folder(environ: Mapping[str, str], home: Path) -> Path:
    base = environ.get("XDG_CONFIG_HOME")
    return (Path(base) if base else home / ".config") / "nats"
