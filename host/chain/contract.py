"""The contract as a node shows it: typed views, its transactions' calldata, and how it is deployed.

Owns `eth_call`s of the host. They serve the host's economics (is it done already, what is the status);
no guest believes any of them.
"""

from dataclasses import dataclass

from guest.protocol import rlp
from guest.protocol.errors import MalformedInput, Misconfigured, Unavailable
from guest.protocol.primitives import keccak256
from host.chain import abi
from host.chain.actions import TERMINAL, Action, State
from host.chain.events import Status
from host.chain.hexdata import data, fixed, members, to_data
from host.chain.ledger import Ledger
from host.chain.rpc import Node
from host.chain.sender import MAX_CALLDATA, Sender
from host.chain.timing import Timing
from host.chain.wallet import Wallet

_MAX_RESULT = 64 * 1024
_MAX_CODE = 24_576
_DEPLOY_POLLS = 1200
_DEPLOY_PAUSE = 0.25


@dataclass(frozen=True, slots=True)
class NodeRow:
    """A node's slot. `commitment` is the low 160 bits (20 bytes); `until` is unix seconds."""

    commitment: bytes
    status: Status
    attempt: int
    epoch: int
    until: int
    measurement: int
    seed: int


@dataclass(frozen=True, slots=True)
class DeployArguments:
    """The constructor's arguments; `notice` in seconds."""

    owner: bytes
    network_id: bytes
    attestation_root: bytes
    notice: int
    real: bool


@dataclass(frozen=True, slots=True)
class Deployment:
    """Where the contract stands, and the keccak of its code, as the chain has them."""

    address: bytes
    block_number: int
    tx_hash: bytes
    code_hash: bytes


class ContractViews:
    """Reads one contract through one node.

    Every method raises `Unavailable`, `RpcError` or `MalformedInput` without a usable answer.
    """

    def __init__(self, node: Node, address: bytes) -> None:
        self._node = node
        self.address = address

    async def node(self, address: bytes) -> NodeRow:
        """Return a node's slot."""
        row = (await self._view("nodes", address))[0]
        if not isinstance(row, tuple) or len(row) != 7:
            raise MalformedInput("nodes() returned something else")
        commitment, status, attempt, epoch, until, measurement, seed = map(_integer, row)
        try:
            known = Status(status)
        except ValueError:
            raise MalformedInput("a node has an unknown status", got=status) from None
        low = commitment.to_bytes(20, "big")
        return NodeRow(low, known, attempt, epoch, until, measurement, seed)

    async def epoch(self) -> int:
        """Return the current epoch, 0 before bootstrap."""
        return _integer((await self._view("epoch"))[0])

    async def member_count(self) -> int:
        """Return how many nodes have the status Active."""
        return _integer((await self._view("memberCount"))[0])

    async def is_member(self, node: bytes) -> bool:
        """Return whether a node is Active now."""
        return (await self._view("isMember", node))[0] is True

    async def status_of(self, node: bytes) -> str:
        """Return a node's status in words."""
        return str((await self._view("statusOf", node))[0])

    async def genesis_document(self) -> bytes:
        """Return the keccak of the first node's document, zero before bootstrap."""
        return _bytes((await self._view("genesisDocument"))[0])

    async def genesis_block(self) -> int:
        """Return the number of the block with the bootstrap, 0 before it."""
        return _integer((await self._view("genesisBlock"))[0])

    async def measurement(self, measurement_id: bytes) -> tuple[int, int, bool]:
        """Return an image's index (0: none), state and whether it is a genesis image."""
        row = (await self._view("measurements", measurement_id))[0]
        if not isinstance(row, tuple) or len(row) != 5:
            raise MalformedInput("measurements() returned something else")
        return _integer(row[0]), _integer(row[1]), row[2] is True

    async def deployed_with(self) -> DeployArguments:
        """Read the owner and the immutables back."""
        owner, network_id, root, notice, kind = [
            (await self._view(name))[0]
            for name in ("owner", "networkId", "attestationRoot", "notice", "networkKind")
        ]
        return DeployArguments(
            _bytes(owner), _bytes(network_id), _bytes(root), _integer(notice), kind == "real"
        )

    async def code_hash(self) -> bytes:
        """Return the keccak of the code at the address, as the network file names it."""
        code = await self._node.call("eth_getCode", to_data(self.address), "latest")
        return keccak256(data(code, "the contract's code", max_size=_MAX_CODE))

    async def calldata_of(self, tx_hash: bytes) -> bytes:
        """Return the calldata of a transaction to this contract.

        Raises `MalformedInput` when it went elsewhere (through another contract, say).
        """
        answer = await self._node.call("eth_getTransactionByHash", to_data(tx_hash))
        if answer is None:
            raise Unavailable("the node does not have this transaction", got=tx_hash)
        found = members(answer, "a transaction")
        if fixed(found.get("to"), "a transaction's target", 20) != self.address:
            raise MalformedInput("the transaction is not to the contract", got=tx_hash)
        return data(found.get("input"), "a transaction's calldata", max_size=MAX_CALLDATA)

    async def _view(self, name: str, *arguments: abi.AbiValue) -> tuple[abi.AbiValue, ...]:
        raw = await self._node.call(
            "eth_call",
            {"to": to_data(self.address), "data": to_data(abi.encode_call(name, *arguments))},
            "latest",
        )
        return abi.decode_result(name, data(raw, f"what {name}() returned", max_size=_MAX_RESULT))


async def deploy(
    node: Node,
    wallet: Wallet,
    ledger: Ledger,
    chain_id: int,
    arguments: DeployArguments,
    *,
    timing: Timing | None = None,
) -> Deployment:
    """Deploy the contract, wait until it is mined, and read back what it says of itself.

    The same arguments on the same ledger deploy once, also after a kill. Raises `Misconfigured` when
    the chain refuses or shows something else, `Unavailable` when it is not mined in five minutes.
    """
    timing = timing or Timing()
    sender = Sender(node, wallet, ledger, chain_id, _never_done, timing=timing)
    key = f"deploy:{arguments.network_id.hex()}"
    sender.submit(key, "deploy", b"", creation_calldata(arguments))
    action = await _mined(sender, key, timing)
    address = created_address(wallet.address, action.nonce or 0)
    views = ContractViews(node, address)
    shown = await views.deployed_with()
    if shown != arguments:
        raise Misconfigured(
            "the deployed contract names other arguments", got=shown, expected=arguments
        )
    number = action.block.number if action.block else 0
    return Deployment(address, number, action.tx_hash or b"", await views.code_hash())


def creation_calldata(arguments: DeployArguments) -> bytes:
    """Return creation code with the constructor's arguments."""
    entry = abi.release().entry("constructor")
    values = (
        arguments.owner,
        arguments.network_id,
        arguments.attestation_root,
        arguments.notice,
        arguments.real,
    )
    return abi.release().creation_code + abi.encode([p.type for p in entry.inputs], values)


def created_address(sender: bytes, nonce: int) -> bytes:
    """Return the address that `sender` creates at `nonce` (Yellow Paper, 7)."""
    written = nonce.to_bytes((nonce.bit_length() + 7) // 8, "big")
    return keccak256(rlp.encode([sender, written]))[12:]


async def _mined(sender: Sender, key: str, timing: Timing) -> Action:
    for _ in range(_DEPLOY_POLLS):
        await sender.tick()
        action = sender.find(key)
        if action is not None and action.state in {State.MINED, *TERMINAL}:
            if action.verdict is not None:
                raise Misconfigured("the chain refused the contract", got=action.detail)
            return action
        await timing.sleep(_DEPLOY_PAUSE)
    raise Unavailable("the deployment was not mined", got=sender.trouble or "no answer")


async def _never_done(_: Action) -> bool:
    return False


def _integer(value: abi.AbiValue) -> int:
    if not isinstance(value, int):
        raise MalformedInput("the contract returned something else than a number")
    return value


def _bytes(value: abi.AbiValue) -> bytes:
    if not isinstance(value, bytes):
        raise MalformedInput("the contract returned something else than bytes")
    return value
