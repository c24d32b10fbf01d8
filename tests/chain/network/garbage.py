"""What an ill-meaning neighbour can throw at every door of a network: bounded, seeded, on loopback."""

import asyncio
import contextlib
import os
import random
from pathlib import Path
from urllib.parse import urlsplit

from guest.core.identity import Identity
from guest.protocol import document as document_format
from guest.protocol import link
from guest.protocol.digests import digest, document_hash
from guest.protocol.document import VERSION, UnverifiedDocument
from guest.protocol.messages import Register, RegisterTx
from host.chain.hexdata import fixed, members, quantity
from host.devnet.network import LocalNetwork
from host.documents.relay import RelayClient
from tests.chain.network import rig

SECONDS = 5.0


def bad_frames(seed: int) -> list[bytes]:
    """Frames of a link that no honest peer sends: sizes that lie, kinds that are not, broken RLP."""
    chance = random.Random(seed)  # noqa: S311 - repeatable, not secret
    size = link.MAX_FRAME
    valid = link.frame(link.Hello(9, b"\x07" * 32, 1, b"\x08" * 20))
    return [
        b"",
        b"\x00\x00\x00\x00",
        (size + 1).to_bytes(4, "big"),
        b"\xff\xff\xff\xff" + chance.randbytes(64),
        size.to_bytes(4, "big") + bytes(size),
        (5).to_bytes(4, "big") + b"\xc4\x83abc",
        (3).to_bytes(4, "big") + b"\xc2\x7f\xc0",
        valid,
        valid[:-1],
        valid + valid[4:],
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        *(
            len(noise).to_bytes(4, "big") + noise
            for noise in (chance.randbytes(chance.randrange(1, 400)) for _ in range(20))
        ),
    ]


def bad_requests(seed: int) -> list[bytes]:
    """HTTP that no honest client sends, and bytes that are no HTTP at all."""
    chance = random.Random(seed)  # noqa: S311 - repeatable, not secret
    head = b"Host: x\r\nContent-Length: "
    return [
        chance.randbytes(500),
        b"POST /push HTTP/1.1\r\n" + head + b"99999999\r\n\r\n" + bytes(200_000),
        b"POST /push HTTP/1.1\r\n" + head + b"-1\r\n\r\n",
        b"POST /push HTTP/1.1\r\n" + head + b"300\r\n\r\n" + chance.randbytes(300),
        b"POST /GetKey HTTP/1.1\r\n" + head + b'2\r\n\r\n"\xff',
        b"POST /GetKey HTTP/1.1\r\n" + head + b"20000\r\n\r\n" + b"[" * 20_000,
        b"GET /documents/../../etc/passwd HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /documents/0x" + b"z" * 64 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 5_000 + b"\r\n",
    ]


async def at_socket(path: Path, payloads: list[bytes]) -> None:
    """Throw each payload at a unix socket, on a connection of its own."""
    for payload in payloads:
        with contextlib.suppress(OSError, TimeoutError):
            async with asyncio.timeout(SECONDS):
                await _throw(*await asyncio.open_unix_connection(path), payload)


async def at_url(url: str, payloads: list[bytes]) -> None:
    """Throw each payload at the server of an http URL, on a connection of its own."""
    parts = urlsplit(url)
    for payload in payloads:
        with contextlib.suppress(OSError, TimeoutError):
            async with asyncio.timeout(SECONDS):
                await _throw(*await asyncio.open_connection(parts.hostname, parts.port), payload)


async def _throw(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, payload: bytes
) -> None:
    try:
        writer.write(payload)
        await writer.drain()
        writer.write_eof()
        while await reader.read(65536):
            pass
    finally:
        writer.close()


# --- registrations that nobody may answer -------------------------------------------------------


class Impostor:
    """Someone with keys, ether and an allowed image's id, but without that image."""

    def __init__(self, network: LocalNetwork, measurement: bytes) -> None:
        self.identity = Identity(os.urandom)
        self._network = network
        self._measurement = measurement

    async def message(self) -> Register:
        """The claim that a genuine newcomer would make now."""
        head = members(
            await self._network.rpc.call("eth_getBlockByNumber", "latest", False), "head"
        )
        number = max(0, quantity(head["number"], "number") - 1)
        block = await self._network.rpc.call("eth_getBlockByNumber", hex(number), False)
        anchor = fixed(members(block, "a block")["hash"], "hash", 32)
        encryption = self.identity.encryption_key_hash
        return Register(self.identity.address, encryption, self._measurement, number, anchor)

    def document(self, message: Register, quote: bytes, collateral: bytes) -> bytes:
        """A well-formed document with evidence of one's own choice."""
        return document_format.encode(
            UnverifiedDocument(
                version=VERSION,
                register=message,
                bootstrap=None,
                encryption_key=self.identity.decryption_key.public,
                quote=quote,
                event_log=b"\xc0",
                collateral=collateral,
            )
        )

    async def register(self, message: Register, wanted: bytes, document: bytes | None) -> None:
        """Register with the document hash `wanted`, from a gas key of one's own; publish `document`."""
        if document is not None:
            relay = RelayClient([self._network.relay_url])
            try:
                await relay.publish(document)
            finally:
                await relay.close()
        domain = self._network.network.domain
        signature = self.identity.sign(domain, RegisterTx(digest(domain, message), wanted))
        sender = b"\x51" * 19 + self.identity.address[:1]
        await self._network.rpc.call("anvil_setBalance", "0x" + sender.hex(), hex(10**18))
        await rig.send_as(
            self._network,
            sender,
            "register",
            message.node,
            message.encryption_key_hash,
            message.measurement_id,
            message.anchor_number,
            message.anchor_hash,
            wanted,
            signature,
        )


async def impostors(network: LocalNetwork, genesis: bytes) -> list[bytes]:
    """Register one impostor of each kind; returns their addresses."""
    first = document_format.decode(genesis)
    assert first.bootstrap is not None
    measurement = first.bootstrap.measurement_id
    made = [Impostor(network, measurement) for _ in range(4)]
    unfindable, noise, borrowed, confused = made
    await unfindable.register(await unfindable.message(), b"\x66" * 32, None)
    for impostor, quote, collateral in (
        (noise, random.Random(5).randbytes(5000), first.collateral),  # noqa: S311 - repeatable, not secret
        (borrowed, first.quote, first.collateral),
    ):
        message = await impostor.message()
        document = impostor.document(message, quote, collateral)
        await impostor.register(message, document_hash(document), document)
    await confused.register(await confused.message(), document_hash(genesis), genesis)
    return [impostor.identity.address for impostor in made]
