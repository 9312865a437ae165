"""What an operator reads when something fails: every error as its sentence and the next thing to try. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from weft.errors import (
    BrokerDeniedError,
    BrokerUnreachableError,
    CatalogConflictError,
    ConfigError,
    NoJetStreamError,
    NoRespondersError,
    PayloadTooLargeError,
    RosterError,
    StreamFullError,
    StreamMissingError,
    UnknownNameError,
    WeftError,
)


@dataclass(frozen=True, slots=True)
class Advice:
    """
    What to tell the operator.

    Attributes:
        sentences: One for each problem.
        next_step: A command or an act, ``""`` where the sentences say it already.
    """

    sentences: tuple[str, ...]
    next_step: str = ""


def advise(error: WeftError) -> Advice:
    """Say what *error* means to an operator, and what to do next."""
    sentences = error.problems if isinstance(error, ConfigError) else (str(error),)
    step = _next_step(error)
    return Advice(tuple(sentences), "" if any(step in sentence for sentence in sentences) else step)


def _next_step(error: WeftError) -> str:
    match error:
        case BrokerUnreachableError():
            return "weft up (a broker on this machine), or name yours with --server or NATS_URL"
        case BrokerDeniedError():
            return (
                "other credentials (--creds FILE, NATS_CREDS, --context NAME);"
                " init, vm forget and events purge need an admin's"
            )
        case NoJetStreamError():
            return "jetstream { store_dir: … } in the server's configuration (nats-server -js), then weft init"
        case StreamMissingError() | NoRespondersError():
            return "weft init"
        case StreamFullError():
            return "weft doctor"
        case PayloadTooLargeError():
            return "raise max_payload in the server's configuration, or split the shares among classes"
        case CatalogConflictError():
            return "the same command again"
        case RosterError():
            return "weft class list"
        case UnknownNameError():
            return _where_to_look(error)
        case _:
            return ""


def _where_to_look(error: UnknownNameError) -> str:
    match error.what:
        case "share":
            return "weft list"
        case "class":
            return "weft class list" if error.nearest else f"weft class create {error.name}"
        case "VM":
            return "weft vm list"
        case _:
            return ""
