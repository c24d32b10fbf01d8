"""Makes a network: deploys the contract, reads back what it is, and writes the network file.

The order of making is: contract, network file, image, measurement ids, proposal, bootstrap. What the
file says about the contract is read back from the chain, not repeated from what was asked for.
"""

import asyncio
import json
from dataclasses import dataclass
from pathlib import Path

from guest.protocol.errors import MalformedInput, Misconfigured, Unavailable
from guest.protocol.network import Kind, Network, TcbPolicy, Trust, render
from guest.protocol.primitives import keccak256
from guest.protocol.sizes import ZERO_ADDRESS, Address, Bytes32
from host.chain import abi
from host.chain.actions import TERMINAL, Action, State
from host.chain.hexdata import Json, data, to_data
from host.chain.rpc import Node
from host.chain.sender import Sender

_CONSTRUCTOR = ["address", "bytes32", "bytes32", "uint32", "bool"]
_MAX_CODE = 64 * 1024
_POLL = 0.2
_STANDS = (State.MINED, State.FINAL)


@dataclass(frozen=True, slots=True)
class Plan:
    """What a new network shall be. `root` is DER, `root_hash` what the contract stores of it."""

    network_id: Bytes32
    kind: Kind
    chain_id: int
    root: bytes
    root_hash: Bytes32
    notice: int
    notice_floor: int
    trust: Trust
    witness: Address
    max_view_age: int
    tcb: TcbPolicy


@dataclass(frozen=True, slots=True)
class Deployed:
    """A contract that stands, and the network file that names it."""

    network: Network
    block: int


async def deploy(sender: Sender, node: Node, owner: Address, plan: Plan, limit: float) -> Deployed:
    """Deploy, read back, and return the network; raises `Misconfigured` or `Unavailable`."""
    arguments: tuple[abi.AbiValue, ...] = (
        owner,
        plan.network_id,
        plan.root_hash,
        plan.notice,
        plan.kind is Kind.REAL,
    )
    init_code = abi.release().creation_code + abi.encode(_CONSTRUCTOR, arguments)
    done = await act(sender, f"deploy/{plan.network_id.hex()}", b"", init_code, limit)
    if done.tx_hash is None or done.block is None:
        raise Unavailable("the deployment was not mined")
    receipt = await node.call("eth_getTransactionReceipt", to_data(done.tx_hash))
    if not isinstance(receipt, dict):
        raise Unavailable("the node does not know the deployment")
    contract = data(receipt.get("contractAddress"), "the contract's address", max_size=20)
    code = data(
        await node.call("eth_getCode", to_data(contract), "latest"), "code", max_size=_MAX_CODE
    )
    network = Network(
        network_id=plan.network_id,
        kind=plan.kind,
        chain_id=plan.chain_id,
        contract=contract,
        code_hash=keccak256(code),
        attestation_root=plan.root,
        trust=plan.trust,
        witness=plan.witness if plan.trust is Trust.WITNESSED else ZERO_ADDRESS,
        notice_floor=plan.notice_floor,
        notice=plan.notice,
        max_view_age=plan.max_view_age,
        tcb=plan.tcb,
    )
    await _read_back(node, network, plan)
    return Deployed(network, done.block.number)


async def propose_measurement(
    sender: Sender, contract: Address, measurement: Bytes32, image_hash: Bytes32, limit: float
) -> Action:
    """Propose an image; before the bootstrap it is allowed at once."""
    calldata = abi.encode_call("proposeMeasurement", measurement, image_hash)
    key = f"propose/{contract.hex()[:8]}/{measurement.hex()}"
    return await act(sender, key, contract, calldata, limit)


async def act(sender: Sender, key: str, target: bytes, calldata: bytes, limit: float) -> Action:
    """Submit one action and wait until it is mined; raises `Unavailable` after `limit` seconds."""
    sender.submit(key, key.partition("/")[0], target, calldata)
    try:
        async with asyncio.timeout(limit):
            while True:
                action = sender.find(key)
                failed = action is not None and action.verdict is State.FAILED
                if action is not None and not failed and action.state in _STANDS:
                    return action
                if action is not None and (failed or action.state in TERMINAL):
                    raise Unavailable(f"{key} failed", got=action.detail)
                await asyncio.sleep(_POLL)
    except TimeoutError:
        trouble = sender.trouble or "no answer from the chain"
        raise Unavailable(f"{key} was not mined in {limit:.0f} s", got=trouble) from None


def write_network_file(network: Network, path: Path) -> None:
    """Write the file that guests measure."""
    path.write_bytes(render(network))


async def _read_back(node: Node, network: Network, plan: Plan) -> None:
    """Compare the contract's immutables with the plan; a difference is fatal."""
    kind = "real" if plan.kind is Kind.REAL else "TEST: simulated hardware"
    expected: dict[str, abi.AbiValue] = {
        "networkId": plan.network_id,
        "attestationRoot": plan.root_hash,
        "notice": plan.notice,
        "networkKind": kind,
    }
    for name, value in expected.items():
        call: dict[str, Json] = {
            "to": to_data(network.contract),
            "data": to_data(abi.encode_call(name)),
        }
        raw = data(await node.call("eth_call", call, "latest"), name, max_size=4096)
        try:
            (found,) = abi.decode_result(name, raw)
        except (ValueError, MalformedInput):
            found = None
        if found != value:
            raise Misconfigured(f"the contract has another {name}", got=found, expected=value)


def summary(deployed: Deployed) -> str:
    """Return the deployment as JSON: what a host's settings need."""
    content = {
        "chainId": deployed.network.chain_id,
        "contract": "0x" + deployed.network.contract.hex(),
        "block": deployed.block,
        "networkId": "0x" + deployed.network.network_id.hex(),
    }
    return json.dumps(content, indent=1) + "\n"
