"""What the sender asks a node about its transactions, as the facts that its decisions need.

Owns these questions and the reading of their answers. It keeps nothing and decides nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from guest.protocol.errors import MalformedInput
from host.chain.actions import Action, Attempt, Facts, Receipt
from host.chain.blocks import BlockRef, parse_block
from host.chain.fees import Fees, market_fees
from host.chain.hexdata import Json, fixed, items, members, quantity, to_data
from host.chain.rpc import MAX_BATCH, Call, Node, RpcError

_FEE_BLOCKS = 5


@dataclass(frozen=True, slots=True)
class Moment:
    """The key's transaction counts and the chain's height at one moment, and what gas costs."""

    head: int
    count: int
    pending_count: int
    final_count: int
    finalized: int
    fees: Fees


async def ask_moment(node: Node, address: bytes) -> Moment:
    """Ask for counts, heights and fees in one request."""
    sender = to_data(address)
    answers = await node.batch(
        (
            Call("eth_blockNumber"),
            Call("eth_getTransactionCount", (sender, "latest")),
            Call("eth_getTransactionCount", (sender, "pending")),
            Call("eth_getBlockByNumber", ("finalized", False)),
            Call("eth_getTransactionCount", (sender, "finalized")),
            Call("eth_feeHistory", (hex(_FEE_BLOCKS), "latest", [50])),
            Call("eth_maxPriorityFeePerGas"),
        )
    )
    head, count, pending, final, final_count, history, tip = answers
    # Chains without a final block yet answer the "finalized" questions with an error or null.
    has_final = not isinstance(final, RpcError | None) and not isinstance(final_count, RpcError)
    return Moment(
        head=quantity(_answered(head), "the block number", bits=63),
        count=quantity(_answered(count), "the transaction count", bits=63),
        pending_count=quantity(_answered(pending), "the transaction count", bits=63),
        final_count=quantity(_answered(final_count), "the final count", bits=63)
        if has_final
        else 0,
        finalized=parse_block(_answered(final)).number if has_final else -1,
        fees=_fees(_answered(history), None if isinstance(tip, RpcError) else tip),
    )


async def ask_facts(node: Node, moment: Moment, attempts: Sequence[Attempt]) -> Facts:
    """Ask for receipts of what can be mined, and whether the pool holds the rest."""
    maybe_mined = [a for a in attempts if a.nonce < moment.count]
    live = {a.nonce: a for a in attempts if a.nonce >= moment.count}
    calls = [Call("eth_getTransactionReceipt", (to_data(a.tx_hash),)) for a in maybe_mined]
    calls += [Call("eth_getTransactionByHash", (to_data(a.tx_hash),)) for a in live.values()]
    answers = await ask_many(node, calls)
    receipts: dict[bytes, Receipt] = {}
    for attempt, answer in zip(maybe_mined, answers, strict=False):
        if _answered(answer) is not None:
            receipts[attempt.tx_hash] = _receipt(attempt.tx_hash, _answered(answer))
    known = zip(live.values(), answers[len(maybe_mined) :], strict=True)
    return Facts(
        head=moment.head,
        count=moment.count,
        final_count=moment.final_count,
        pending_count=moment.pending_count,
        finalized=moment.finalized,
        receipts=receipts,
        in_pool=frozenset(a.tx_hash for a, answer in known if _answered(answer) is not None),
    )


async def ask_many(node: Node, calls: Sequence[Call]) -> list[Json | RpcError]:
    """Make any number of calls, in batches of a bounded size."""
    answers: list[Json | RpcError] = []
    for at in range(0, len(calls), MAX_BATCH):
        answers += await node.batch(calls[at : at + MAX_BATCH])
    return answers


async def ask_gas(node: Node, sender: bytes, action: Action, tag: str) -> int | RpcError:
    """Estimate the gas of `action` in the block `tag`; an error of the node is returned."""
    call: dict[str, Json] = {"from": to_data(sender), "data": to_data(action.calldata)}
    if action.target:
        call["to"] = to_data(action.target)
    answer = (await node.batch((Call("eth_estimateGas", (call, tag)),)))[0]
    return answer if isinstance(answer, RpcError) else quantity(answer, "the gas", bits=63)


def _answered(answer: Json | RpcError) -> Json:
    if isinstance(answer, RpcError):
        raise answer
    return answer


def _fees(history: Json, tip: Json) -> Fees:
    found = members(history, "the fee history")
    bases = items(found.get("baseFeePerGas"), "base fees", max_items=_FEE_BLOCKS + 1)
    if not bases:
        raise MalformedInput("the fee history is empty")
    rewards = [
        quantity(reward, "a tip", bits=128)
        for row in items(found.get("reward") or [], "tips", max_items=_FEE_BLOCKS)
        for reward in items(row, "tips of a block", max_items=1)
    ]
    suggested = 0 if tip is None else quantity(tip, "the suggested tip", bits=128)
    return market_fees(quantity(bases[-1], "the base fee", bits=128), rewards, suggested)


def _receipt(tx_hash: bytes, value: Json) -> Receipt:
    found = members(value, "a receipt")
    if fixed(found.get("transactionHash"), "a receipt's transaction", 32) != tx_hash:
        raise MalformedInput("the node sent the receipt of another transaction")
    return Receipt(
        tx_hash=tx_hash,
        block=BlockRef(
            quantity(found.get("blockNumber"), "a receipt's block", bits=63),
            fixed(found.get("blockHash"), "a receipt's block hash", 32),
        ),
        succeeded=quantity(found.get("status"), "a receipt's status", bits=8) == 1,
        gas_used=quantity(found.get("gasUsed"), "a receipt's gas", bits=63),
    )
