"""Say in a few words why a broker cannot be reached, and tell a refusal from an absence."""

from __future__ import annotations

import socket
import ssl

import nats.errors


def reason_of(exc: BaseException) -> str:
    """Return *exc* as a short clause for people, without a trace of the library's own prefixes."""
    match exc:
        case ssl.SSLCertVerificationError():
            return f"its TLS certificate is not trusted ({getattr(exc, 'verify_message', 'verification failed')})"
        case ssl.SSLError():
            return f"TLS failed ({(getattr(exc, 'reason', None) or 'no reason given').replace('_', ' ').lower()})"
        case socket.gaierror():
            return "its host name is not known"
        case ConnectionRefusedError():
            return "connection refused"
        case nats.errors.SecureConnWantedError():
            return "it does not offer TLS, which was asked for"
        case nats.errors.AuthorizationError():
            return "authorization violation"
        case nats.errors.Error():
            return str(exc).removeprefix("nats: ").strip().strip("'").lower() or type(exc).__name__
        case TimeoutError():
            return "no answer in time"
        case OSError():
            return (exc.strerror or str(exc) or type(exc).__name__).lower()
        case _:
            # The text of something unforeseen may hold a secret; whoever debugs finds it in the cause chain.
            return type(exc).__name__


def is_refusal(exc: BaseException) -> bool:
    """
    Say whether the broker refused these credentials, as opposed to not being reachable.

    The library reports most refusals as a plain error with the server's text, so the text must decide here.
    """
    if isinstance(exc, nats.errors.AuthorizationError):
        return True
    text = reason_of(exc) if isinstance(exc, nats.errors.Error) else ""
    return ("authorization" in text or "authentication" in text) and "timeout" not in text
