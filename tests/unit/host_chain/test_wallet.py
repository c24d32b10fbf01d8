"""The gas key: read from where only its owner can read, never shown, and signing one thing only."""

import copy
import json
import os
import pickle
from pathlib import Path

import pytest
from eth_account import Account
from hypothesis import given, settings
from hypothesis import strategies as st

from guest.protocol.errors import Misconfigured
from guest.protocol.secret import Secret
from host.chain.fees import FEE_CEILING, GWEI, MAX_GAS, Fees, bumped, gas_limit, market_fees
from host.chain.wallet import Payload, Wallet, from_key_file, from_keystore, from_text

KEY = "4f3edf983ac636a65a842ce7c78d9aa706d3b113bce9c46f30d7d21715b23b1d"


@given(
    nonce=st.integers(0, 2**63),
    tip=st.integers(0, 2**70),
    extra=st.integers(0, 2**70),
    gas=st.integers(21_000, 2**24),
    value=st.integers(0, 2**100),
    target=st.binary(min_size=20, max_size=20) | st.just(b""),
    data=st.binary(max_size=300),
)
@settings(max_examples=40, deadline=None)
def test_signatures_are_those_of_eth_account(
    nonce: int, tip: int, extra: int, gas: int, value: int, target: bytes, data: bytes
) -> None:
    fields = {
        "type": 2,
        "chainId": 11155111,
        "nonce": nonce,
        "maxPriorityFeePerGas": tip,
        "maxFeePerGas": tip + extra,
        "gas": gas,
        "value": value,
        "data": data,
    } | ({"to": target} if target else {})
    expected = Account.sign_transaction(fields, KEY)
    signed = from_text(KEY).sign(
        11155111, Payload(nonce, target, data, gas, Fees(tip + extra, tip), value)
    )
    assert signed.raw == bytes(expected.raw_transaction)
    assert signed.hash == bytes(expected.hash)


@pytest.mark.parametrize("text", [KEY, "0x" + KEY, f"  {KEY}\n"])
def test_a_key_file_of_mode_0600_is_read(tmp_path: Path, text: str) -> None:
    path = tmp_path / "key"
    path.write_text(text)
    path.chmod(0o600)
    assert from_key_file(path).address == bytes.fromhex(Account.from_key(KEY).address[2:])


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o660, 0o601])
def test_a_key_file_that_others_can_touch_is_refused(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "key"
    path.write_text(KEY)
    path.chmod(mode)
    with pytest.raises(Misconfigured, match="chmod 600") as raised:
        from_key_file(path)
    assert KEY not in str(raised.value)


@pytest.mark.parametrize(
    "text", ["", "xyz", KEY[:-1], KEY + "0", "0" * 64, "f" * 64, KEY + "\n" + KEY]
)
def test_what_is_no_key_is_refused_and_not_repeated(text: str) -> None:
    with pytest.raises(Misconfigured) as raised:
        from_text(text)
    assert raised.value.__cause__ is None
    assert not text or text not in str(raised.value)


def test_no_file_a_folder_a_pipe_and_a_giant_are_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe", 0o600)
    (tmp_path / "giant").write_bytes(b"0" * 100_000)
    (tmp_path / "giant").chmod(0o600)
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    (tmp_path / "binary").chmod(0o600)
    for name in ("none", ".", "pipe", "giant", "binary"):
        with pytest.raises(Misconfigured):
            from_key_file(tmp_path / name)


def test_a_keystore_opens_with_its_password_only(tmp_path: Path) -> None:
    store = Account.encrypt(KEY, "correct horse", kdf="pbkdf2", iterations=1000)
    keystore, password = tmp_path / "keystore", tmp_path / "password"
    keystore.write_text(json.dumps(store))
    password.write_text("correct horse\n")
    for path in (keystore, password):
        path.chmod(0o600)
    assert from_keystore(keystore, password).address == from_text(KEY).address
    password.write_text("battery staple")
    with pytest.raises(Misconfigured) as raised:
        from_keystore(keystore, password)
    assert "battery" not in str(raised.value)
    for broken in ("{}", "[]", "not json", "[" * 50_000):
        keystore.write_text(broken)
        with pytest.raises(Misconfigured):
            from_keystore(keystore, password)


def test_a_wallet_says_its_address_and_nothing_else() -> None:
    held = from_text(KEY)
    assert KEY not in repr(held) + str(held) + str(vars(held))
    for leak in (pickle.dumps, copy.deepcopy):
        with pytest.raises(TypeError):
            leak(held)


def test_keys_out_of_range_are_refused() -> None:
    for key in (bytes(32), b"\xff" * 32, b"\x01" * 31):
        with pytest.raises(Misconfigured):
            Wallet(Secret(key))


@given(
    base=st.integers(0, 10**20),
    rewards=st.lists(st.integers(0, 10**20), max_size=5),
    suggested=st.integers(0, 10**20),
)
def test_market_fees_stay_between_floor_and_ceiling(
    base: int, rewards: list[int], suggested: int
) -> None:
    fees = market_fees(base, rewards, suggested)
    assert GWEI // 10 <= fees.tip <= 3 * GWEI
    assert fees.tip <= fees.max_fee <= FEE_CEILING


@given(
    previous=st.lists(
        st.builds(Fees, st.integers(1, FEE_CEILING), st.integers(1, 3 * GWEI)),
        min_size=1,
        max_size=4,
    )
)
def test_a_bump_beats_all_before_it_by_an_eighth_or_is_not_made(previous: list[Fees]) -> None:
    fees = bumped(market_fees(GWEI, [], 0), previous)
    if fees is None:
        assert max(f.max_fee for f in previous) * 9 / 8 > FEE_CEILING
        return
    assert all(fees.max_fee * 8 >= f.max_fee * 9 and fees.tip * 8 >= f.tip * 9 for f in previous)
    assert fees.tip <= fees.max_fee <= FEE_CEILING


def test_gas_has_a_margin_and_an_end() -> None:
    assert gas_limit(100_000) == 125_000
    assert gas_limit(10**9) == MAX_GAS
