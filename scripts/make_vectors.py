"""Write the test vectors that tie Python to Solidity, or with --check compare them.

    scripts/make_vectors.py [--check]

Every input is derived from its name, so the file can be made again anywhere and always the same.
"""

import argparse
import json
import sys
from dataclasses import fields, is_dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from guest.protocol import digests, keys, messages  # noqa: E402
from guest.protocol.primitives import keccak256, secp256k1_address, sign_digest  # noqa: E402
from guest.protocol.secret import Secret  # noqa: E402

VECTORS = ROOT / "tests" / "vectors"
NETWORK_ID = keccak256(b"vector/network-id")
SOLIDITY_NAMES = {
    "encryption_key_hash": "encPub",
    "measurement_id": "measurementId",
    "anchor_number": "anchorNumber",
    "anchor_hash": "anchorHash",
    "register_digest": "registerDigest",
    "document_hash": "documentHash",
    "x_pub": "xPub",
    "app_root": "appRoot",
    "view_number": "viewNumber",
    "view_hash": "viewHash",
    "ciphertext_hash": "ciphertextHash",
    "app_data": "appData",
    "finalized_number": "finalizedNumber",
    "finalized_hash": "finalizedHash",
}


def word(name: str) -> bytes:
    return keccak256(b"vector/" + name.encode())


def secret(name: str) -> Secret:
    return Secret(word(name))


def address(name: str) -> bytes:
    return secp256k1_address(secret(name))


def shown(value: object) -> object:
    """Return a value as JSON: 0x-hex for bytes, Solidity's member names for records."""
    if isinstance(value, bytes):
        return "0x" + value.hex()
    if isinstance(value, tuple):
        return [shown(member) for member in value]
    if is_dataclass(value):
        return {
            SOLIDITY_NAMES.get(field.name, field.name): shown(getattr(value, field.name))
            for field in fields(value)
        }
    return value


def sample_messages() -> dict[str, messages.Signed]:
    node, by = address("node"), address("member")
    register = messages.Register(node, word("enc"), word("measurement"), 7, word("anchor"))
    entries = tuple(
        messages.OnboardEntry(address(f"node{i}"), i, word(f"c{i}"), word(f"ct{i}"))
        for i in range(3)
    )
    domain = digests.Domain(31337, address("contract"), test=True)
    return {
        "register": register,
        "registerTx": messages.RegisterTx(digests.digest(domain, register), word("document")),
        "bootstrap": messages.Bootstrap(
            node, word("enc"), word("measurement"), 7, word("anchor"), address("x"), address("r")
        ),
        "handover": messages.Handover(node, by, 1, 2, word("commitment")),
        "onboard": messages.Onboard(
            node, by, 1, 2, word("commitment"), 2**63, word("view"), word("ciphertext")
        ),
        "onboardBatch": messages.OnboardBatch(by, 2**32 - 1, 9, word("view"), entries),
        "confirm": messages.Confirm(node, word("handover")),
        "reject": messages.Reject(node, word("handover"), 255, 9, word("view")),
        "renew": messages.Renew(node, 9, word("view")),
        "leave": messages.Leave(node, word("commitment")),
        "appData": messages.AppData(word("app-data")),
    }


def digest_vectors() -> dict[str, object]:
    contract = address("contract")
    domain = digests.Domain(31337, contract, test=True)
    real = digests.Domain(11155111, contract, test=False)
    vectors: dict[str, object] = {
        "comment": "EIP-712 digests of every signed message; made by scripts/make_vectors.py",
        "chainId": 31337,
        "contract": shown(contract),
        "kind": "TEST",
        "networkId": shown(NETWORK_ID),
        "appId": shown(digests.app_id(NETWORK_ID)),
        "domainSeparator": shown(domain.separator),
        "realChainId": 11155111,
        "realDomainSeparator": shown(real.separator),
        "signerKey": shown(secret("node").expose()),
        "signer": shown(address("node")),
    }
    for name, message in sample_messages().items():
        digest = digests.digest(domain, message)
        vectors[name] = {
            **shown(message),  # type: ignore[dict-item]
            "structHash": shown(digests.struct_hash(message)),
            "digest": shown(digest),
            "signature": shown(sign_digest(secret("node"), digest)),
        }
    handover = sample_messages()["handover"]
    assert isinstance(handover, messages.Handover)  # noqa: S101 - narrows the type
    vectors["handoverId"] = {
        "ciphertextHash": shown(word("ciphertext")),
        "id": shown(digests.handover_id(domain, handover, word("ciphertext"))),
    }
    registers = {name: shown(word(name) + word(name)[:16]) for name in REGISTERS}
    vectors["measurementId"] = {
        "teeType": 0x81,
        **registers,
        "id": shown(
            digests.measurement_id(0x81, *(word(name) + word(name)[:16] for name in REGISTERS))
        ),
    }
    statement = messages.Witness(90, word("newest"), 80, word("final"))
    vectors["witness"] = {
        **shown(statement),  # type: ignore[dict-item]
        "digest": shown(digests.witness_digest(31337, statement)),
    }
    return vectors


REGISTERS = ("mrtd", "rtmr0", "rtmr1", "rtmr2")


def key_vectors() -> dict[str, object]:
    epoch = keys.EpochKeys(NETWORK_ID, 1, secret("epoch-secret"))
    cases = []
    for label, parts in [
        ("epoch", ()),
        ("root_k256", ()),
        ("root_ca", ()),
        ("disk", (b"a", b"bc")),
        ("disk", (b"ab", b"c")),
        ("tls", (b"",)),
    ]:
        cases.append(
            {
                "label": label,
                "parts": [part.hex() for part in parts],
                "child32": epoch.child(label, *parts).expose().hex(),
                "scalar": epoch.scalar(label, *parts).expose().hex(),
            }
        )
    return {
        "comment": "the key schedule from a secret that protects nothing",
        "networkId": NETWORK_ID.hex(),
        "secret": secret("epoch-secret").expose().hex(),
        "xPub": epoch.addresses.x_pub.hex(),
        "appRoot": epoch.addresses.app_root.hex(),
        "fingerprint": epoch.fingerprint().hex(),
        "children": cases,
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="compare instead of writing")
    check = parser.parse_args().check
    stale = []
    for name, content in {"digests.json": digest_vectors(), "keys.json": key_vectors()}.items():
        path, text = VECTORS / name, json.dumps(content, indent=2) + "\n"
        if check and (not path.exists() or path.read_text() != text):
            stale.append(name)
        elif not check:
            VECTORS.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
    if stale:
        print(f"vectors differ from the code: {', '.join(stale)}. Run scripts/make_vectors.py")
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
