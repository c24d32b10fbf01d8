"""The host's one database file: what must survive kill -9, and whose it is.

Owns the SQLite connection, its schema and the binding of the file to one chain, contract and gas key.
It is locked while open, so that two processes never send from one outbox. No guest secret is ever in
it. Rows of actions are read and written in `host.chain.outbox_store`.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from guest.protocol.errors import Misconfigured, Unavailable
from host.chain.blocks import BlockRef

_SCHEMA_VERSION = 1
_SCHEMA = """
CREATE TABLE identity (
    only INTEGER PRIMARY KEY CHECK (only = 0),
    chain_id INTEGER NOT NULL, genesis BLOB NOT NULL, contract BLOB NOT NULL, sender BLOB NOT NULL
) STRICT;
CREATE TABLE cursor (
    only INTEGER PRIMARY KEY CHECK (only = 0), number INTEGER NOT NULL, hash BLOB NOT NULL
) STRICT;
CREATE TABLE actions (
    key TEXT PRIMARY KEY, kind TEXT NOT NULL, target BLOB NOT NULL, calldata BLOB NOT NULL,
    good_until INTEGER, state TEXT NOT NULL, nonce INTEGER, tx_hash BLOB, block_number INTEGER,
    block_hash BLOB, gas_used INTEGER, verdict TEXT NOT NULL, detail TEXT NOT NULL,
    changed_at_block INTEGER NOT NULL,
    created INTEGER NOT NULL, updated INTEGER NOT NULL
) STRICT;
CREATE INDEX actions_by_state ON actions (state);
CREATE TABLE attempts (
    tx_hash BLOB PRIMARY KEY, key TEXT NOT NULL REFERENCES actions (key), nonce INTEGER NOT NULL,
    raw BLOB NOT NULL, cancels INTEGER NOT NULL, gas INTEGER NOT NULL, max_fee TEXT NOT NULL,
    tip TEXT NOT NULL, made_at_block INTEGER NOT NULL, refused INTEGER NOT NULL
) STRICT;
CREATE INDEX attempts_by_nonce ON attempts (nonce);
CREATE INDEX attempts_by_key ON attempts (key);
"""


@dataclass(frozen=True, slots=True)
class Identity:
    """What a database belongs to. `genesis` (hash of block 0) tells restarted chains apart."""

    chain_id: int
    genesis: bytes
    contract: bytes
    sender: bytes


class Ledger:
    """An open, locked database. Close it, or use it as a context manager."""

    def __init__(self, path: Path, identity: Identity) -> None:
        """Open or create the file at `path`.

        Raises `Misconfigured` when it is another network's, made by another version, damaged or in
        use by another process.
        """
        self._path = path
        try:
            self.db = sqlite3.connect(path, timeout=2.0, isolation_level=None)
            self._prepare()
        except sqlite3.Error as e:
            raise Misconfigured(
                f"the host's database {path.name} cannot be opened",
                got=f"{type(e).__name__}: {e}",
                mend="Stop the other host that uses it, or give this one another state directory",
            ) from None
        try:
            self._bind(identity)
        except BaseException:
            self.db.close()
            raise

    def __enter__(self) -> "Ledger":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file and release its lock."""
        self.db.close()

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """All or nothing; on disk when the block ends (synchronous FULL).

        Raises `Unavailable` when the disk does not take it.
        """
        try:
            self.db.execute("BEGIN IMMEDIATE")
            try:
                yield self.db
            except BaseException:
                self.db.execute("ROLLBACK")
                raise
            self.db.execute("COMMIT")
        except sqlite3.Error as e:
            raise Unavailable("the host's database cannot be written", got=e) from None

    def cursor(self) -> BlockRef | None:
        """Return the block up to which everything was scanned and is deep enough to stay."""
        row = self.db.execute("SELECT number, hash FROM cursor").fetchone()
        return BlockRef(row[0], row[1]) if row else None

    def set_cursor(self, block: BlockRef) -> None:
        """Keep `block` as the place from which a restart scans on."""
        with self.transaction() as db:
            db.execute("INSERT OR REPLACE INTO cursor VALUES (0, ?, ?)", (block.number, block.hash))

    def _prepare(self) -> None:
        # EXCLUSIVE: the lock lasts as long as the connection, and ends with the process.
        self.db.execute("PRAGMA locking_mode = EXCLUSIVE")
        self.db.execute("PRAGMA journal_mode = WAL")
        self.db.execute("PRAGMA synchronous = FULL")
        self.db.execute("PRAGMA foreign_keys = ON")
        self.db.execute("BEGIN IMMEDIATE")
        version = self.db.execute("PRAGMA user_version").fetchone()[0]
        if version == 0:
            for statement in _SCHEMA.split(";"):
                self.db.execute(statement)
            self.db.execute(f"PRAGMA user_version = {_SCHEMA_VERSION}")
        self.db.execute("COMMIT")
        if version not in (0, _SCHEMA_VERSION):
            self.db.close()
            raise Misconfigured(
                f"the host's database {self._path.name} is of another version",
                got=version,
                expected=_SCHEMA_VERSION,
                mend="Use the version of the program that made it",
            )

    def _bind(self, identity: Identity) -> None:
        row = self.db.execute("SELECT chain_id, genesis, contract, sender FROM identity").fetchone()
        if row is None:
            with self.transaction() as db:
                db.execute(
                    "INSERT INTO identity VALUES (0, ?, ?, ?, ?)",
                    (identity.chain_id, identity.genesis, identity.contract, identity.sender),
                )
            return
        names = ("chain id", "chain's first block", "contract", "gas key")
        wanted = (identity.chain_id, identity.genesis, identity.contract, identity.sender)
        for name, have, want in zip(names, row, wanted, strict=True):
            if have != want:
                raise Misconfigured(
                    f"the host's database {self._path.name} belongs to another {name}",
                    got=have,
                    expected=want,
                    mend="Give each network and gas key a state directory of its own",
                )
