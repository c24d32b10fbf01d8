"""The documents that a relay holds: bounded in count and bytes, the oldest thrown out first.

Owns memory and, if it is given an archive, the copy on disk that outlives kill -9. It judges a document
only by its shape; who fetches one checks the hash, and who uses one verifies it.
"""

from collections import OrderedDict

from guest.protocol import document as documents
from guest.protocol.primitives import keccak256
from host.documents.archive import Archive

MAX_DOCUMENTS = 4096
MAX_BYTES = 64 * 1024 * 1024


class Shelf:
    """Documents by hash, oldest first."""

    def __init__(
        self,
        archive: Archive | None = None,
        *,
        max_documents: int = MAX_DOCUMENTS,
        max_bytes: int = MAX_BYTES,
    ) -> None:
        """Hold at most so much; fill up from `archive`, newest documents first."""
        self._archive = archive
        self._max_documents = max_documents
        self._max_bytes = max_bytes
        self._documents: OrderedDict[bytes, bytes] = OrderedDict()
        self._bytes = 0
        if archive is not None:
            self._load(archive)

    def put(self, document: bytes) -> tuple[bytes, bool]:
        """Take a document; return its hash and whether it is new.

        Raises `MalformedInput` for bytes that are no document, `Unavailable` when the disk is full.
        """
        documents.decode(document)
        digest = keccak256(document)
        if digest in self._documents:
            return digest, False
        if self._archive is not None:
            self._archive.put(document)
        self._documents[digest] = document
        self._bytes += len(document)
        while len(self._documents) > self._max_documents or self._bytes > self._max_bytes:
            oldest, dropped = self._documents.popitem(last=False)
            self._bytes -= len(dropped)
            if self._archive is not None:
                self._archive.remove(oldest)
        return digest, True

    def get(self, digest: bytes) -> bytes | None:
        """Return the document of this hash, if it is here."""
        return self._documents.get(digest)

    def newest(self, count: int) -> tuple[bytes, ...]:
        """Return up to `count` hashes, the newest last."""
        return tuple(self._documents)[-count:]

    def _load(self, archive: Archive) -> None:
        for digest in archive.newest():
            document = archive.get(digest)
            full = len(self._documents) >= self._max_documents
            if document is None or full or self._bytes + len(document) > self._max_bytes:
                archive.remove(digest)
                continue
            self._documents[digest] = document
            self._documents.move_to_end(digest, last=False)
            self._bytes += len(document)
