"""What rclone's log lines mean: the server's own words for wrong keys, missing buckets and unreachable hosts."""

from __future__ import annotations

from typing import Final

from agent.drivers.failures import Sign
from weft.errors import ErrorCode

SIGNS: Final = (
    Sign(
        "unknown flag|unknown shorthand|invalid argument .* for |didn't find backend called|"
        "didn't find section in config|failed to decrypt password|couldn't decrypt|is a file not a directory|"
        "config file .* not found|failed to configure|illegal base64",
        ErrorCode.BAD_SPEC,
        "rclone does not accept the spec",
    ),
    Sign(
        "executable file not found in|fusermount.*not found|/dev/fuse|fuse: device not found",
        ErrorCode.FUSE_MISSING,
        "this guest has no usable FUSE (package fuse3, device /dev/fuse)",
    ),
    Sign("directory already mounted|is not empty, use", ErrorCode.OCCUPIED, "its mount point is in use"),
    Sign("no space left on device", ErrorCode.NO_SPACE, "no space is left for the client's files"),
    Sign("InvalidAccessKeyId", ErrorCode.AUTH, "the server does not know the access key"),
    Sign("SignatureDoesNotMatch", ErrorCode.AUTH, "the secret key does not belong to the access key"),
    Sign(
        r"unable to authenticate|401 Unauthorized|StatusCode: 401|status code 401|invalid_grant|invalid_client|"
        r"ExpiredToken|InvalidToken|AuthenticationFailed|oauth client|empty token|"
        r"530 (Login|User|Not)|logon failure|couldn't login",
        ErrorCode.AUTH,
        "the server refuses these credentials",
    ),
    Sign(
        "host key|knownhosts|x509: ",
        ErrorCode.AUTH,
        "the server does not prove to be the right one (certificate or host key)",
    ),
    Sign("AccessDenied|StatusCode: 403|403 Forbidden|permission denied", ErrorCode.DENIED, "the server denies access"),
    Sign("NoSuchBucket", ErrorCode.NOT_FOUND, "there is no such bucket", is_permanent=True),
    Sign(
        "directory not found|404 Not Found|StatusCode: 404|object not found|container not found|file does not exist",
        ErrorCode.NOT_FOUND,
        "the remote has no such bucket or directory",
        is_permanent=True,
    ),
    Sign(
        "connection refused|no such host|no route to host|network is unreachable|i/o timeout|handshake timeout|"
        "timeout awaiting|Client.Timeout|"
        "deadline exceeded|connection reset|connection timed out|502 Bad Gateway|503 Service|504 Gateway|"
        "StatusCode: 50[234]|server misbehaving|unexpected EOF",
        ErrorCode.UNREACHABLE,
        "the server cannot be reached",
    ),
)
