"""What a transaction may cost: the fee market's answer, bumps of stuck ones, gas limits.

Pure arithmetic in wei and gas. Source: EIP-1559 for the two fees, EIP-7825 for the largest gas limit;
geth takes a replacement only when both fees rise by 10 %, others ask 12.5 %.
"""

from collections.abc import Sequence
from dataclasses import dataclass

GWEI = 10**9
MAX_GAS = 2**24
"""No transaction may hold more (EIP-7825)."""
TRANSFER_GAS = 21_000
FEE_CEILING = 500 * GWEI
"""Never offer more a gas, whatever a node says the market is: a lying node must not empty the wallet."""

_LEAST_TIP = GWEI // 10
_MOST_TIP = 3 * GWEI
_GAS_MARGIN = 10_000


@dataclass(frozen=True, slots=True)
class Fees:
    """Most per gas, and what of it is the tip, in wei."""

    max_fee: int
    tip: int


def market_fees(base_fee: int, rewards: Sequence[int], suggested_tip: int) -> Fees:
    """Return twice the base fee plus a tip: enough for six full blocks in a row.

    `rewards` are the median tips of recent blocks (wei); where all are zero, `suggested_tip` counts.
    """
    paid = sorted(reward for reward in rewards if reward > 0)
    tip = paid[len(paid) // 2] if paid else suggested_tip
    tip = min(max(tip, _LEAST_TIP), _MOST_TIP)
    return Fees(min(2 * base_fee + tip, FEE_CEILING), tip)


def bumped(market: Fees, previous: Sequence[Fees]) -> Fees | None:
    """Return fees that replace all of `previous` (at least 12.5 % more), or None at the ceiling."""
    max_fee = max([market.max_fee, *(_an_eighth_more(fees.max_fee) for fees in previous)])
    tip = max([market.tip, *(_an_eighth_more(fees.tip) for fees in previous)])
    if max_fee > FEE_CEILING:
        return None
    return Fees(max(max_fee, tip), tip)


def gas_limit(estimate: int) -> int:
    """Return the gas limit for an estimate: 15 % and a constant more, since state moves."""
    return min(MAX_GAS, estimate * 115 // 100 + _GAS_MARGIN)


def _an_eighth_more(fee: int) -> int:
    return fee + -(-fee // 8)
