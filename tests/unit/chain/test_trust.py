from dataclasses import replace

import pytest

from guest.chain.trust import ChainTrust, UnverifiedTrust, WitnessedTrust, trust_for
from guest.protocol.errors import Misconfigured, Reason
from guest.protocol.network import Kind, Trust
from tests.fakes.fake_chain import FakeChain


def test_each_row_of_the_network_file_gets_its_trust_or_none() -> None:
    chain = FakeChain()
    unverified: ChainTrust = trust_for(chain.network(Trust.UNVERIFIED))
    witnessed: ChainTrust = trust_for(chain.network(Trust.WITNESSED))
    assert isinstance(unverified, UnverifiedTrust)
    assert isinstance(witnessed, WitnessedTrust)
    for kind in Kind:
        with pytest.raises(Misconfigured) as caught:
            trust_for(replace(chain.network(Trust.LIGHT_CLIENT), kind=kind))
        assert caught.value.reason is Reason.NO_LIGHT_CLIENT
        assert caught.value.fatal


@pytest.mark.parametrize("trust", [Trust.UNVERIFIED, Trust.WITNESSED])
def test_a_real_network_gets_no_trust_of_a_test_network(trust: Trust) -> None:
    with pytest.raises(Misconfigured) as caught:
        trust_for(replace(FakeChain().network(trust), kind=Kind.REAL))
    assert caught.value.reason is Reason.KIND_ROW


def test_a_witness_of_zero_is_no_witness() -> None:
    with pytest.raises(Misconfigured):
        WitnessedTrust(1337, bytes(20))


def test_every_claim_says_who_vouches_and_that_it_is_a_test_network() -> None:
    chain = FakeChain()
    assert "nobody" in trust_for(chain.network(Trust.UNVERIFIED)).claim()
    assert chain.witness.hex() in trust_for(chain.network(Trust.WITNESSED)).claim()
    for trust in (Trust.UNVERIFIED, Trust.WITNESSED):
        assert "test network" in trust_for(chain.network(trust)).claim()
