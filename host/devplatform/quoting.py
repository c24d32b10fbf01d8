"""The quoting service: what a TDX module is to a guest, behind a unix socket, for TEST networks.

One connection is one boot. Its registers start at the values of the registers file, RTMR3 at zero,
and live as long as the connection. Frames: 4 bytes of length, big-endian, then an RLP list of at most
16 KiB. The service is the only place where a simulated quote is signed; the guest has no such switch.
"""

import asyncio
import hashlib
from dataclasses import dataclass, field
from pathlib import Path

from guest.protocol import rlp
from guest.protocol.errors import MalformedInput
from host.devplatform.registers import BootRegisters
from host.devplatform.tdquote import TD10, QuotingEnclave, TdReport

MAX_FRAME = 16 * 1024
MAX_BOOTS = 256
_WRITE_LIMIT = 30.0


@dataclass(slots=True)
class Boot:
    """One running simulated TD: it answers requests and keeps its registers."""

    registers: BootRegisters
    enclave: QuotingEnclave
    version: int = 4
    body: int = TD10
    rtmr3: bytes = field(default=bytes(48))

    def answer(self, request: rlp.Item) -> list[rlp.Item]:
        """Return the answer to one request; errors are answers too."""
        match request:
            case [b"quote", bytes() as report_data] if len(report_data) == 64:
                return [b"ok", self._quote(report_data)]
            case [b"extend", b"\x03", bytes() as digest] if len(digest) == 48:
                self.rtmr3 = hashlib.sha384(self.rtmr3 + digest).digest()
                return [b"ok"]
            case [b"registers"]:
                return [b"ok", *self._values()]
            case _:
                return [b"error", b"expected quote, extend of register 3, or registers"]

    def _quote(self, report_data: bytes) -> bytes:
        mrtd, *rtmrs = self._values()
        report = TdReport(
            report_data=report_data, mrtd=mrtd, rtmrs=(rtmrs[0], rtmrs[1], rtmrs[2], rtmrs[3])
        )
        return self.enclave.quote(report, version=self.version, body=self.body)

    def _values(self) -> list[bytes]:
        boot = self.registers
        return [boot.mrtd, boot.rtmr0, boot.rtmr1, boot.rtmr2, self.rtmr3]


@dataclass(slots=True)
class QuotingServer:
    """Boots one simulated TD for each connection, at most `MAX_BOOTS` at once."""

    registers: BootRegisters
    enclave: QuotingEnclave = field(default_factory=QuotingEnclave)
    version: int = 4
    body: int = TD10
    boots: int = 0

    async def listen(self, path: Path) -> asyncio.Server:
        """Start to listen at `path`."""
        return await asyncio.start_unix_server(  # waits: a bind does not
            self._boot, path, limit=2 * MAX_FRAME
        )

    async def _boot(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.boots += 1
        try:
            if self.boots <= MAX_BOOTS:
                boot = Boot(self.registers, self.enclave, self.version, self.body)
                await _converse(boot, reader, writer)
        except (OSError, EOFError, TimeoutError, MalformedInput):
            return  # the guest is gone or speaks something else: its boot ends
        finally:
            self.boots -= 1
            writer.close()


async def _converse(boot: Boot, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while True:
        head = await reader.readexactly(4)  # waits: a guest may ask for its next quote in a year
        size = int.from_bytes(head, "big")
        if size > MAX_FRAME:
            raise MalformedInput("frame is too large", got=size, expected=f"<= {MAX_FRAME}")
        async with asyncio.timeout(_WRITE_LIMIT):
            request = rlp.decode(await reader.readexactly(size), max_size=MAX_FRAME)
            answer = rlp.encode(boot.answer(request))
            writer.write(len(answer).to_bytes(4, "big") + answer)
            await writer.drain()
