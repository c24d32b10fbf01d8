"""The Python double of the contract against the contract: one random history on both, block by block.

Every call is applied to a real node and to the double; both succeed, or both revert with the same error,
and all storage that the double ever wrote is the same (but for the seed, which is the chain's to draw).
"""

import json
import random
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, replace

import pytest

from guest.chain import layout
from guest.chain.layout import Status
from guest.core.identity import Identity
from guest.protocol.digests import commitment, digest, document_hash
from guest.protocol.keys import EpochKeys
from guest.protocol.link import (
    OnboardItem,
    PostBootstrap,
    PostConfirm,
    PostLeave,
    PostOnboards,
    PostRegister,
    PostReject,
    PostRenew,
    Posts,
)
from guest.protocol.messages import (
    Bootstrap,
    Confirm,
    Leave,
    Onboard,
    OnboardBatch,
    OnboardEntry,
    Register,
    RegisterTx,
    Reject,
    Renew,
)
from guest.protocol.primitives import keccak256
from guest.protocol.secret import Secret
from host import posts
from host.chain import abi, events
from host.chain.reverts import decode_revert
from tests.chain.conftest import StartAnvil
from tests.fakes.fake_chain import FakeChain
from tests.fakes.guest_shell import SeededEntropy
from tests.fakes.key_manager import (
    Activate,
    Call,
    Cancel,
    ConfirmBatch,
    Expire,
    KeyManager,
    Propose,
    Receipt,
    Remove,
    Revoke,
)

NOTICE = 600
STEPS = 220
NODES = 3
IMAGES = tuple(keccak256(b"image %d" % i) for i in range(5))
JUMPS = (1, 1, 1, 1, 1, 30, 700, 3700, 4 * 24 * 3600)
_SEED_BITS = 16


@dataclass(slots=True)
class Node:
    """A node of the history: its keys and what it has signed."""

    identity: Identity
    register: PostRegister | None = None
    c: bytes = bytes(32)
    handover: bytes = bytes(32)
    by: bytes = bytes(20)
    ciphertext_hash: bytes = bytes(32)


class RealContract:
    """A deployed KeyManager; every call is a block."""

    def __init__(self, url: str) -> None:
        self.url = url
        accounts = self.ask("eth_accounts")
        assert isinstance(accounts, list)
        self.owner, self.anyone = str(accounts[0]), str(accounts[1])
        self.address = ""

    def ask(self, method: str, *params: object) -> object:
        body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).encode()
        request = urllib.request.Request(  # noqa: S310 - loopback
            self.url, body, {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=20) as answer:  # noqa: S310
            content = json.load(answer)
        assert "error" not in content, (method, content["error"])
        return content["result"]

    def deploy(self, network_id: bytes) -> None:
        owner = bytes.fromhex(self.owner[2:])
        types = ["address", "bytes32", "bytes32", "uint32", "bool"]
        values = (owner, network_id, keccak256(b"root"), NOTICE, False)
        code = abi.release().creation_code + abi.encode(types, values)
        _, self.address = self._mined(self.owner, None, code)
        assert self.address

    def call(self, calldata: bytes, *, owner: bool, timestamp: int) -> str:
        """Mine a call at `timestamp`; return the error's name, empty for success."""
        self.ask("evm_setNextBlockTimestamp", timestamp)
        done, _ = self._mined(self.owner if owner else self.anyone, self.address, calldata)
        if done is None:
            return ""
        trace = self.ask("debug_traceTransaction", done, {"tracer": "callTracer"})
        assert isinstance(trace, dict)
        return decode_revert(bytes.fromhex(str(trace["output"])[2:])).name

    def _mined(self, sender: str, to: str | None, data: bytes) -> tuple[str | None, str]:
        """Return the hash of a transaction that failed, and the contract of one that made it."""
        fields = {"from": sender, "data": "0x" + data.hex(), "gas": hex(12_000_000)}
        done = self.ask("eth_sendTransaction", fields | ({"to": to} if to else {}))
        self.ask("evm_mine")
        receipt = self.ask("eth_getTransactionReceipt", done)
        assert isinstance(receipt, dict)
        failed = str(done) if receipt["status"] == "0x0" else None
        return failed, str(receipt.get("contractAddress") or "")

    def head(self, tag: str = "latest") -> tuple[int, bytes, int]:
        """Number, hash and time of a block."""
        block = self.ask("eth_getBlockByNumber", tag, False)
        assert isinstance(block, dict)
        number, time = int(block["number"], 16), int(block["timestamp"], 16)
        return number, bytes.fromhex(str(block["hash"])[2:]), time

    def slot(self, slot: bytes) -> int:
        return int(str(self.ask("eth_getStorageAt", self.address, "0x" + slot.hex(), "latest")), 16)


class History:
    """One random history, and the two contracts that live it."""

    def __init__(self, real: RealContract, seed: int) -> None:
        self.seed = seed
        self.random = random.Random(seed)  # noqa: S311 - a test's history
        self.real = real
        self.chain = FakeChain(deployed=False)
        network = replace(self.chain.network(), notice=NOTICE)
        real.deploy(network.network_id)
        self.network = replace(network, contract=bytes.fromhex(real.address[2:]))
        number, _, time = real.head()
        assert number == 1
        self.chain.deploy()
        _, first, _ = real.head("0x0")
        self.chain.blocks[0] = replace(self.chain.blocks[0], timestamp=time - 1, hash=first)
        self.chain.blocks[1] = replace(self.chain.blocks[1], timestamp=time)
        self.double = KeyManager(self.chain, self.network)
        self._mirror()
        self.nodes = [Node(Identity(SeededEntropy(f"{seed}/{i}"))) for i in range(NODES)]
        self.keys = EpochKeys(self.network.network_id, 1, Secret(keccak256(b"S")))
        self.seen: set[str] = set()

    # --- both -----------------------------------------------------------------------------------

    def apply(self, call: Call, *, owner: bool = False, seconds: int = 1) -> Receipt:
        timestamp = self.chain.head.timestamp + seconds
        error = self.real.call(_calldata(call), owner=owner, timestamp=timestamp)
        self.double.submit(call, owner=owner)
        (receipt,) = self.double.mine(seconds)
        self._mirror()
        assert receipt.error == error, (call, receipt.why)
        for event in receipt.events:
            if isinstance(event, events.Onboarded):
                self._handed_over(event)
        self.seen.add(error or type(call).__name__)
        return receipt

    def _handed_over(self, event: events.Onboarded) -> None:
        (node,) = [n for n in self.nodes if n.identity.address == event.node]
        node.handover, node.by = event.handover, event.by
        node.ciphertext_hash = keccak256(event.ciphertext)

    def _mirror(self) -> None:
        """The double's newest block takes the real one's hash, which the next calls will name."""
        number, block_hash, time = self.real.head()
        head = self.chain.head
        assert (head.number, head.timestamp) == (number, time)
        self.chain.blocks[-1] = replace(head, hash=block_hash)

    def compare(self) -> None:
        seeds = {layout.node_slot(node.identity.address) for node in self.nodes}
        for slot, value in self.chain.head.slots.items():
            real = self.real.slot(slot)
            keep = (1 << 256 - _SEED_BITS) - 1 if slot in seeds else (1 << 256) - 1
            assert real & keep == value & keep, slot.hex()

    # --- messages, right unless the dice say otherwise --------------------------------------------

    def wrong(self, chance: float = 0.12) -> bool:
        return self.random.random() < chance

    def block(self) -> tuple[int, bytes]:
        depth = self.random.choice((0, 0, 0, 3, 9))
        block = self.chain.blocks[max(0, self.chain.head.number - depth)]
        return block.number, keccak256(b"?") if self.wrong(0.06) else block.hash

    def signed(self, node: Node, message: object) -> bytes:
        signer = self.random.choice(self.nodes) if self.wrong(0.06) else node
        return signer.identity.sign(self.network.domain, message)  # type: ignore[arg-type]

    def bootstrap(self) -> Call:
        node, (number, anchor) = self.nodes[0], self.block()
        image = IMAGES[2] if self.wrong() else IMAGES[0]
        message = Bootstrap(
            node.identity.address,
            node.identity.encryption_key_hash,
            image,
            number,
            anchor,
            self.keys.addresses.x_pub,
            self.keys.addresses.app_root,
        )
        node.c = node.handover = commitment(message)
        mine = self.signed(node, message)
        document = b"" if self.wrong(0.1) else b"document"
        return PostBootstrap(
            "b", message, mine, self.keys.sign(self.network.domain, message), document
        )

    def register(self) -> Call:
        node, (number, anchor) = self.random.choice(self.nodes), self.block()
        if node.register is not None and not self.wrong():
            node = Node(Identity(SeededEntropy(f"{self.seed}/{len(self.nodes)}")))
            self.nodes.append(node)
        message = Register(
            node.identity.address,
            node.identity.encryption_key_hash,
            self.random.choice(IMAGES[:3]),
            number,
            anchor,
        )
        document = b"document of " + node.identity.address
        signed = RegisterTx(digest(self.network.domain, message), document_hash(document))
        post = PostRegister("r", message, self.signed(node, signed), document)
        if self.double.node(node.identity.address).status is Status.NONE:
            node.register, node.c = post, commitment(signed)
        return post

    def at(self, *statuses: Status) -> Node:
        """A node of these statuses if there is one and the dice agree; else any."""
        fitting = [n for n in self.nodes if self.double.node(n.identity.address).status in statuses]
        return self.random.choice(fitting if fitting and not self.wrong() else self.nodes)

    def onboard(self, count: int) -> Call:
        by, (number, view) = self.at(Status.ACTIVE), self.block()
        epoch = 2 if self.wrong(0.04) else 1
        items, entries = [], []
        for _ in range(count):
            node = self.at(Status.PENDING)
            attempt = self.double.node(node.identity.address).attempt + self.wrong(0.08)
            c = keccak256(b"other") if self.wrong(0.05) else node.c
            ciphertext = self.random.randbytes(1167 if self.wrong(0.04) else 1168)
            items.append(OnboardItem(node.identity.address, attempt, c, ciphertext))
            entries.append(OnboardEntry(items[-1].node, attempt, c, keccak256(ciphertext)))
        giver = by.identity.address
        message: Onboard | OnboardBatch = OnboardBatch(giver, epoch, number, view, tuple(entries))
        if count == 1:
            (e,) = entries
            message = Onboard(
                e.node, giver, epoch, e.attempt, e.commitment, number, view, e.ciphertext_hash
            )
        signature = self.signed(by, message)
        return PostOnboards("o", False, giver, epoch, number, view, tuple(items), signature)

    def confirm(self) -> PostConfirm:
        node = self.at(Status.ONBOARDED)
        message = Confirm(node.identity.address, node.handover)
        epoch_signature = self.keys.sign(self.network.domain, message)
        if self.wrong(0.06):
            epoch_signature = self.signed(node, message)
        return PostConfirm(
            "c", message.node, message.handover, self.signed(node, message), epoch_signature
        )

    def reject(self) -> Call:
        node, (number, view) = self.at(Status.ONBOARDED), self.block()
        reason = self.random.randrange(3)
        message = Reject(node.identity.address, node.handover, reason, number, view)
        signature = self.signed(node, message)
        return PostReject(
            "j",
            False,
            message.node,
            node.by,
            node.c,
            node.ciphertext_hash,
            reason,
            number,
            view,
            signature,
        )

    def renew(self) -> Call:
        node, (number, view) = self.at(Status.ACTIVE), self.block()
        message = Renew(node.identity.address, number, view)
        return PostRenew("n", False, message.node, number, view, self.signed(node, message))

    def leave(self) -> Call:
        node = self.at(Status.ACTIVE, Status.PENDING, Status.ONBOARDED)
        status = self.double.node(node.identity.address).status
        value = node.c if status is Status.PENDING else node.handover
        message = Leave(node.identity.address, value)
        return PostLeave("l", message.node, value, self.signed(node, message))

    def image(self) -> Call:
        kind = self.random.choice((Propose, Activate, Activate, Cancel, Remove))
        wanted = self.random.choice(IMAGES)
        if kind is Remove and wanted == IMAGES[0]:
            kind = Activate  # the first image stays, or the history ends early
        return kind(wanted)

    def next(self) -> tuple[Call, bool]:
        """Return the next call, and whether the owner makes it."""
        someone = self.random.choice(self.nodes).identity.address
        moves: tuple[tuple[int, Callable[[], Call], bool], ...] = (
            (1, self.bootstrap, True),
            (8, self.register, False),
            (6, lambda: self.onboard(1), False),
            (4, lambda: self.onboard(self.random.randint(2, 5)), False),
            (6, self.confirm, False),
            (2, lambda: ConfirmBatch(tuple(self.confirm() for _ in range(3))), False),
            (7, self.reject, False),
            (3, self.renew, False),
            (1, self.leave, False),
            (1, lambda: Revoke(someone), self.random.random() < 0.5),
            (2, lambda: Expire(someone), False),
            (2, self.image, not self.wrong()),
        )
        weights = [weight for weight, _, _ in moves]
        _, make, owner = self.random.choices(moves, weights)[0]
        call = make()
        if isinstance(call, Revoke | PostLeave) and self._last(call.node):
            call = self.renew()  # a history without a member says little
        return call, owner

    def _last(self, node: bytes) -> bool:
        return self.double.node(node).status is Status.ACTIVE and self.double.head().members == 1


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_random_history_leaves_the_same_storage_and_the_same_refusals(
    anvils: StartAnvil, seed: int
) -> None:
    history = History(RealContract(anvils("--no-mining").url), seed)
    history.apply(Propose(IMAGES[0]), owner=True)
    history.apply(Propose(IMAGES[1]), owner=True)
    while history.double.head().epoch == 0:
        history.apply(history.bootstrap(), owner=not history.wrong())
    for step in range(STEPS):
        call, owner = history.next()
        seconds = history.random.choice(JUMPS) if not history.wrong(0.8) else 1
        history.apply(call, owner=owner, seconds=seconds)
        if step % 20 == 0:
            history.compare()
    history.compare()
    made = {"PostRegister", "PostOnboards", "PostConfirm", "PostReject", "PostRenew"}
    assert made <= history.seen
    assert len(history.seen) > 20


def _calldata(call: Call) -> bytes:
    match call:
        case Propose(measurement):
            return abi.encode_call("proposeMeasurement", measurement, bytes(32))
        case Activate(measurement):
            return abi.encode_call("activateMeasurement", measurement)
        case Cancel(measurement):
            return abi.encode_call("cancelMeasurement", measurement)
        case Remove(measurement):
            return abi.encode_call("removeMeasurement", measurement)
        case Revoke(node):
            return abi.encode_call("revoke", node, bytes(32), bytes(65))
        case Expire(node):
            return abi.encode_call("expire", node)
        case ConfirmBatch(receipts):
            items = tuple(
                (r.node, r.handover, r.node_signature, r.epoch_signature) for r in receipts
            )
            return abi.encode_call("confirmBatch", items)
        case _:
            return posts.call_of(_post(call)).calldata


def _post(call: Call) -> Posts:
    assert isinstance(call, Posts)
    return call
