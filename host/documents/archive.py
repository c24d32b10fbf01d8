"""Documents on disk, each in a file named by its hash: what a host verified, kept as evidence.

Owns one directory. A path is made from the hex of a 32-byte hash and nothing else, so no name from
outside can leave the directory; content is checked against the name whenever it is read. Files appear
whole or not at all.
"""

import os
from pathlib import Path

from guest.protocol.document import MAX_DOCUMENT
from guest.protocol.errors import MalformedInput, Unavailable
from guest.protocol.primitives import keccak256

MAX_FILES = 100_000
"""About what a network of that many registrations leaves; more is a fault of the caller."""

_SUFFIX = ".document"
_HASH_BYTES = 32


class Archive:
    """A directory of documents; created if it is not there, readable by its owner only."""

    def __init__(self, directory: Path, *, max_files: int = MAX_FILES) -> None:
        """Open `directory`; raises `Unavailable` when it cannot be made or read."""
        self._directory = directory
        self._max_files = max_files
        try:
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            for rest in directory.glob("*.partial"):
                rest.unlink(missing_ok=True)
            self._count = len(self.newest())
        except OSError as e:
            raise _failed("be opened", e) from None

    def put(self, document: bytes) -> bytes:
        """Keep `document` (1 byte to 96 KiB) and return its keccak; known ones cost nothing.

        Raises `MalformedInput` for another size, `Unavailable` when the archive or the disk is full.
        """
        if not 0 < len(document) <= MAX_DOCUMENT:
            raise MalformedInput(
                "no document has this size", got=len(document), expected=f"1 to {MAX_DOCUMENT}"
            )
        digest = keccak256(document)
        path = self._path(digest)
        if path.exists() and self.get(digest) is not None:
            return digest
        if self._count >= self._max_files:
            raise Unavailable("the archive is full", got=self._count)
        try:
            self._write(path, document)
        except OSError as e:
            raise _failed("keep a document", e) from None
        self._count += 1
        return digest

    def get(self, digest: bytes) -> bytes | None:
        """Return the document of this hash; None if it is not here, or no longer what it was."""
        try:
            descriptor = os.open(self._path(digest), os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
            with os.fdopen(descriptor, "rb") as file:
                document = file.read(MAX_DOCUMENT + 1)
        except OSError:
            return None
        return document if keccak256(document) == digest else None

    def remove(self, digest: bytes) -> None:
        """Forget a document."""
        path = self._path(digest)
        try:
            if path.exists():
                path.unlink()
                self._count -= 1
        except OSError as e:
            raise _failed("forget a document", e) from None

    def newest(self, count: int | None = None) -> tuple[bytes, ...]:
        """Return the hashes kept, newest first."""
        found: list[tuple[int, bytes]] = []
        for path in self._directory.glob(f"*{_SUFFIX}"):
            digest = _digest(path.name.removesuffix(_SUFFIX))
            if digest is not None:
                found.append((path.stat().st_mtime_ns, digest))
        return tuple(digest for _, digest in sorted(found, reverse=True)[:count])

    def _path(self, digest: bytes) -> Path:
        if len(digest) != _HASH_BYTES:
            raise MalformedInput("a document's hash has 32 bytes", got=len(digest))
        return self._directory / (digest.hex() + _SUFFIX)

    def _write(self, path: Path, document: bytes) -> None:
        partial = path.with_suffix(".partial")
        with partial.open("wb") as file:
            file.write(document)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)


def _digest(name: str) -> bytes | None:
    try:
        digest = bytes.fromhex(name)
    except ValueError:
        return None
    return digest if len(digest) == _HASH_BYTES and digest.hex() == name else None


def _failed(what: str, error: OSError) -> Unavailable:
    return Unavailable(f"the document archive cannot {what}", got=error.strerror)
