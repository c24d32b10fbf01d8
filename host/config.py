"""The host's settings: one mapping of names to texts, read once, every fault reported together.

`host.env.example` lists exactly these names; a test compares them. Unknown names with our prefix are
faults too, since a typing error must not fall back to a default in silence.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from guest.protocol import network as network_format
from guest.protocol.errors import Misconfigured
from guest.protocol.network import Network, Trust

PREFIX = "REPLICATOOR_"


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting: its name without the prefix, its default (None: required), what it means."""

    name: str
    default: str | None
    meaning: str


SETTINGS = (
    Setting("NETWORK_FILE", None, "The network file, the same one that the guest measures."),
    Setting("RPC_URL", None, "An Ethereum JSON-RPC endpoint with eth_getProof."),
    Setting("DEPLOY_BLOCK", "0", "The block in which the contract was deployed."),
    Setting("DATA_DIR", None, "Where the outbox, documents and status live."),
    Setting("GUEST_SOCKET", None, "The unix socket that the guest dials."),
    Setting("RELAYS", "", "Document relays, separated by commas."),
    Setting("COLLATERAL_URL", None, "A PCCS that serves DCAP collateral."),
    Setting("WITNESS_URL", "", "The header witness, in networks that have one."),
    Setting("KEY_FILE", "", "A file (mode 0600) with the gas key in hex."),
    Setting("KEYSTORE_FILE", "", "A Web3 secret storage (v3) file with the gas key."),
    Setting("KEYSTORE_PASSWORD_FILE", "", "The keystore's password, in a file (mode 0600)."),
    Setting("PRIVKEY", "", "The gas key in hex. Prefer a file: the environment is easily read."),
    Setting("GUEST_COMMAND", "", "Starts the guest, and again when it has to join as new."),
    Setting("BOOTSTRAP", "0", "1 if this node may bootstrap the network; needs the owner's key."),
)


@dataclass(frozen=True, slots=True)
class Config:
    """What one host runs with."""

    network: Network
    rpc_url: str
    deploy_block: int
    data_dir: Path
    guest_socket: Path
    relays: tuple[str, ...]
    collateral_url: str
    witness_url: str
    key_file: Path | None
    keystore: tuple[Path, Path] | None
    privkey: str
    guest_command: str
    bootstrap: bool

    def __repr__(self) -> str:
        return f"Config(contract=0x{self.network.contract.hex()}, ...)"


def parse(environment: Mapping[str, str]) -> Config:
    """Build the configuration; raises `Misconfigured` that names every fault at once."""
    faults: list[str] = []
    values = _values(environment, faults)
    network = _network(values["NETWORK_FILE"], faults)
    deploy_block = _number(values, "DEPLOY_BLOCK", faults)
    _check_keys(values, faults)
    _check_urls(values, faults)
    if values["BOOTSTRAP"] not in ("0", "1"):
        faults.append(f"{PREFIX}BOOTSTRAP is 0 or 1")
    if network is not None and (network.trust is Trust.WITNESSED) != bool(values["WITNESS_URL"]):
        faults.append(f"{PREFIX}WITNESS_URL is set exactly if the network is witnessed")
    if faults or network is None:
        raise Misconfigured("; ".join(faults), mend="See host.env.example.")
    keystore = None
    if values["KEYSTORE_FILE"]:
        keystore = (Path(values["KEYSTORE_FILE"]), Path(values["KEYSTORE_PASSWORD_FILE"]))
    return Config(
        network=network,
        rpc_url=values["RPC_URL"],
        deploy_block=deploy_block,
        data_dir=Path(values["DATA_DIR"]),
        guest_socket=Path(values["GUEST_SOCKET"]),
        relays=tuple(url.strip() for url in values["RELAYS"].split(",") if url.strip()),
        collateral_url=values["COLLATERAL_URL"],
        witness_url=values["WITNESS_URL"],
        key_file=Path(values["KEY_FILE"]) if values["KEY_FILE"] else None,
        keystore=keystore,
        privkey=values["PRIVKEY"],
        guest_command=values["GUEST_COMMAND"],
        bootstrap=values["BOOTSTRAP"] == "1",
    )


def _values(environment: Mapping[str, str], faults: list[str]) -> dict[str, str]:
    known = {PREFIX + setting.name for setting in SETTINGS}
    faults += [
        f"{name} is no setting"
        for name in sorted(environment)
        if name.startswith(PREFIX) and name not in known
    ]
    values: dict[str, str] = {}
    for setting in SETTINGS:
        value = environment.get(PREFIX + setting.name, "").strip() or setting.default
        if value is None:
            faults.append(f"{PREFIX}{setting.name} is missing: {setting.meaning}")
        values[setting.name] = value or ""
    return values


def _check_keys(values: dict[str, str], faults: list[str]) -> None:
    keys = [name for name in ("KEY_FILE", "KEYSTORE_FILE", "PRIVKEY") if values[name]]
    if len(keys) > 1:
        faults.append(f"several gas keys are set: {', '.join(keys)}; choose one")
    if bool(values["KEYSTORE_FILE"]) != bool(values["KEYSTORE_PASSWORD_FILE"]):
        faults.append("KEYSTORE_FILE and KEYSTORE_PASSWORD_FILE go together")


def _check_urls(values: dict[str, str], faults: list[str]) -> None:
    faults += [
        f"{PREFIX}{name} is not an http(s) URL"
        for name in ("RPC_URL", "COLLATERAL_URL", "WITNESS_URL", "RELAYS")
        for url in filter(None, values[name].split(","))
        if not url.strip().startswith(("http://", "https://"))
    ]


def read_env_file(path: Path) -> dict[str, str]:
    """Read NAME=value lines, with # comments; raises `Misconfigured` naming the line."""
    try:
        text = path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise Misconfigured(
            "the settings file cannot be read", got=f"{path}: {type(error).__name__}"
        ) from None
    values: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        name, equals, value = line.partition("=")
        if not equals or not name.strip().isidentifier():
            raise Misconfigured(f"{path}: line {number} is not NAME=value")
        values[name.strip()] = value.strip()
    return values


def _network(path: str, faults: list[str]) -> Network | None:
    if not path:
        return None
    try:
        with Path(path).open("rb") as file:
            return network_format.parse(file.read(network_format.MAX_NETWORK_FILE + 1))
    except OSError as error:
        faults.append(f"{PREFIX}NETWORK_FILE cannot be read: {error.strerror}")
    except Misconfigured as error:
        faults.append(str(error))
    return None


def _number(values: dict[str, str], name: str, faults: list[str]) -> int:
    text = values[name]
    if not text.isdecimal() or len(text) > 15:
        faults.append(f"{PREFIX}{name} is a block number")
        return 0
    return int(text)
