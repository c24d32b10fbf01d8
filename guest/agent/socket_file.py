"""The socket's name in the file system: claimed whole, never stolen from the living, cleaned up.

Who may reach the agent is decided here and nowhere else: by the mode of the socket, and by who can
enter its folder, which must be writable by the guest alone.
"""

import os
import socket
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import final

from guest.protocol.errors import Misconfigured

_MAX_PATH = 107
"""Bytes of sun_path without its final zero (unix(7))."""
_NEW = ".new"
_PROBE_LIMIT = 0.5
"""Seconds for a living server to take a connection; a full queue counts as living."""


@final
@dataclass(slots=True)
class SocketFile:
    """A bound socket under a temporary name, until `publish` gives it its real one."""

    socket: socket.socket
    _temporary: Path
    _path: Path
    _inode: int

    def publish(self) -> None:
        """Put the socket, which listens by now, in the place of whatever stale one was there."""
        self._temporary.rename(self._path)

    def remove(self) -> None:
        """Close, and remove the name if it still is this socket's."""
        self.socket.close()
        for path in (self._temporary, self._path):
            try:
                if path.lstat().st_ino == self._inode:
                    path.unlink()
            except OSError:
                continue  # gone already, or no longer ours to touch


def claim(path: Path, mode: int) -> SocketFile:
    """Bind a socket for `path` with `mode`; raises `Misconfigured`.

    The name of a killed process's socket is taken over; a living one's, or any other file's, is not.
    """
    temporary = path.with_name(path.name + _NEW)
    if len(os.fsencode(temporary)) > _MAX_PATH:
        raise Misconfigured(
            "the app socket's path is too long",
            got=path,
            expected=f"at most {_MAX_PATH - len(_NEW)} bytes",
            mend="Give a shorter path with --app-socket.",
        )
    bound = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        _require_free(path)
        _require_free(temporary)
        temporary.unlink(missing_ok=True)
        bound.bind(os.fspath(temporary))
        temporary.chmod(mode)  # before anyone can connect: nothing listens yet
        return SocketFile(bound, temporary, path, temporary.lstat().st_ino)
    except OSError as error:
        bound.close()
        raise Misconfigured(
            "the app socket cannot be made",
            got=f"{path}: {error.strerror}",
            mend="Its folder must exist and be writable by the guest.",
        ) from None
    except Misconfigured:
        bound.close()
        raise


def _require_free(path: Path) -> None:
    """Pass if nothing is there or a socket that nobody serves."""
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise Misconfigured("the app socket's path is taken by another file", got=path)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(_PROBE_LIMIT)
        try:
            probe.connect(os.fspath(path))
        except (ConnectionRefusedError, FileNotFoundError):
            return
        except TimeoutError:
            pass
    raise Misconfigured(
        "another process serves the app socket", got=path, mend="Stop it, or give another path."
    )
