"""Settings: every fault at once, no silent default, and an example file that cannot go stale."""

from pathlib import Path

import pytest

from guest.protocol.errors import Misconfigured
from guest.protocol.network import Kind, Network, TcbPolicy, Trust, render
from host.config import PREFIX, SETTINGS, parse, read_env_file

ROOT = Path(__file__).resolve().parents[3]


def network(trust: Trust = Trust.UNVERIFIED) -> Network:
    witness = b"\x07" * 20 if trust is Trust.WITNESSED else bytes(20)
    return Network(
        network_id=b"\x01" * 32,
        kind=Kind.TEST,
        chain_id=31337,
        contract=b"\x02" * 20,
        code_hash=b"\x03" * 32,
        attestation_root=b"\x30\x00",
        trust=trust,
        witness=witness,
        notice_floor=60,
        notice=60,
        max_view_age=60,
        tcb=TcbPolicy(("UpToDate",), (), 0),
    )


@pytest.fixture
def settings(tmp_path: Path) -> dict[str, str]:
    file = tmp_path / "network.json"
    file.write_bytes(render(network()))
    values = {
        "NETWORK_FILE": str(file),
        "RPC_URL": "http://127.0.0.1:8545",
        "DATA_DIR": str(tmp_path / "data"),
        "GUEST_SOCKET": str(tmp_path / "link.sock"),
        "COLLATERAL_URL": "http://127.0.0.1:9",
    }
    return {PREFIX + name: value for name, value in values.items()}


def test_the_example_file_lists_exactly_the_settings_with_their_defaults() -> None:
    example = read_env_file(ROOT / "host.env.example")
    assert list(example) == [PREFIX + setting.name for setting in SETTINGS]
    assert example == {PREFIX + setting.name: setting.default or "" for setting in SETTINGS}


def test_the_example_file_explains_each_setting_in_the_words_of_the_code() -> None:
    text = (ROOT / "host.env.example").read_text()
    for setting in SETTINGS:
        assert f"# {setting.meaning}" in text, setting.name


def test_every_missing_setting_is_named_at_once() -> None:
    with pytest.raises(Misconfigured) as caught:
        parse({})
    for setting in SETTINGS:
        assert (PREFIX + setting.name in str(caught.value)) == (setting.default is None)


def test_a_typing_error_in_a_name_is_a_fault_and_not_a_default(settings: dict[str, str]) -> None:
    with pytest.raises(Misconfigured, match="REPLICATOOR_RELAY is no setting"):
        parse({**settings, PREFIX + "RELAY": "http://127.0.0.1:1"})


def test_two_gas_keys_are_refused(settings: dict[str, str]) -> None:
    keys = {PREFIX + "KEY_FILE": "/nowhere", PREFIX + "PRIVKEY": "00" * 32}
    with pytest.raises(Misconfigured, match="several gas keys"):
        parse({**settings, **keys})


def test_a_gas_key_never_shows_in_the_configuration_or_its_errors(settings: dict[str, str]) -> None:
    key = "ab" * 32
    config = parse({**settings, PREFIX + "PRIVKEY": key})
    assert key not in repr(config)
    with pytest.raises(Misconfigured) as caught:
        parse({**settings, PREFIX + "PRIVKEY": key, PREFIX + "BOOTSTRAP": "yes"})
    assert key not in str(caught.value)


def test_a_witness_is_demanded_exactly_by_witnessed_networks(
    settings: dict[str, str], tmp_path: Path
) -> None:
    with pytest.raises(Misconfigured, match="WITNESS_URL"):
        parse({**settings, PREFIX + "WITNESS_URL": "http://127.0.0.1:3"})
    (tmp_path / "network.json").write_bytes(render(network(Trust.WITNESSED)))
    with pytest.raises(Misconfigured, match="WITNESS_URL"):
        parse(settings)


@pytest.mark.parametrize("bootstrap", ["2", "true", "any", "dev"])
def test_a_switch_is_0_or_1_and_no_word_turns_it_on(
    settings: dict[str, str], bootstrap: str
) -> None:
    with pytest.raises(Misconfigured, match="BOOTSTRAP is 0 or 1"):
        parse({**settings, PREFIX + "BOOTSTRAP": bootstrap})


def test_a_settings_file_with_a_bad_line_names_the_line(tmp_path: Path) -> None:
    file = tmp_path / "host.env"
    file.write_text("# fine\nA=1\nnonsense\n")
    with pytest.raises(Misconfigured, match="line 3"):
        read_env_file(file)
