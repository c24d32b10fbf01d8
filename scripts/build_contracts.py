#!/usr/bin/env python3
"""Build the key manager contract and write what others read of it.

Owns `contracts/release/` and `host/chain/KeyManager.json`: both are a pure function of
`contracts/src`, the locked OpenZeppelin sources, the compiler settings in `foundry.toml` and the
locked compiler. The compiler is run on the very standard-input document that is written, so a
stranger (or a block explorer) gets the same bytes from that one file. Must not deploy, and must
not reach the network.

    scripts/build_contracts.py            build and write
    scripts/build_contracts.py --check    build and compare; exit 1 names what differs
"""

import argparse
import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
CONTRACTS = ROOT / "contracts"
RELEASE = CONTRACTS / "release"
HOST_COPY = ROOT / "host" / "chain" / "KeyManager.json"
ENTRY = "src/KeyManager.sol"
NAME = "KeyManager"
# EIP-170; a contract above it cannot be deployed.
MAX_CODE_BYTES = 24_576
COMPILE_SECONDS = 120

_IMPORT = re.compile(r'^import\s[^"]*"([^"]+)";', re.MULTILINE)

Json = dict[str, Any]


class BuildError(Exception):
    """The contract cannot be built; the message is one line for the user."""


def main() -> int:
    """Run the command line; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="compare instead of writing")
    check = parser.parse_args().check
    try:
        files = build()
    except BuildError as error:
        print(f"build_contracts: {error}", file=sys.stderr)
        return 1
    return compare(files) if check else write(files)


def build() -> dict[Path, str]:
    """Compile, and return each output file's path and text."""
    standard_input = make_standard_input()
    output = compile_with_solc(standard_input)
    contract = output["contracts"][ENTRY][NAME]
    deployed = contract["evm"]["deployedBytecode"]
    size = len(deployed["object"]) // 2
    if size > MAX_CODE_BYTES:
        raise BuildError(f"{NAME} is {size} bytes; at most {MAX_CODE_BYTES} can be deployed")
    code = {
        "bytecode": "0x" + contract["evm"]["bytecode"]["object"],
        "deployedBytecode": "0x" + deployed["object"],
        "immutableReferences": name_immutables(deployed["immutableReferences"], output),
    }
    layout = storage_layout(contract["storageLayout"])
    abi = contract["abi"]
    return {
        RELEASE / "KeyManager.abi.json": dump(abi),
        RELEASE / "KeyManager.json": dump(code),
        RELEASE / "standard-input.json": dump(standard_input),
        # As the compiler wrote it: the hash in the code's last bytes is of these very bytes.
        RELEASE / "metadata.json": contract["metadata"],
        RELEASE / "storage-layout.json": dump(layout),
        HOST_COPY: dump({"abi": abi, **code, "storageLayout": layout}),
    }


def make_standard_input() -> Json:
    """Return the compiler's input: every source that the contract reaches, and the settings."""
    config = tomllib.loads((CONTRACTS / "foundry.toml").read_text())["profile"]["default"]
    return {
        "language": "Solidity",
        "sources": {unit: {"content": text} for unit, text in sorted(reachable_sources())},
        "settings": {
            "optimizer": {"enabled": config["optimizer"], "runs": config["optimizer_runs"]},
            "viaIR": config["via_ir"],
            "evmVersion": config["evm_version"],
            "metadata": {"bytecodeHash": config["bytecode_hash"]},
            "outputSelection": {
                ENTRY: {
                    NAME: [
                        "abi",
                        "metadata",
                        "storageLayout",
                        "evm.bytecode",
                        "evm.deployedBytecode",
                    ]
                },
                "*": {"": ["ast"]},
            },
        },
    }


def reachable_sources() -> Iterator[tuple[str, str]]:
    """Yield (source unit name, text) of the entry file and of all that it imports."""
    waiting, seen = [ENTRY], {ENTRY}
    while waiting:
        unit = waiting.pop()
        text = source_path(unit).read_text()
        yield unit, text
        for target in _IMPORT.findall(text):
            imported = resolve_import(unit, target)
            if imported not in seen:
                seen.add(imported)
                waiting.append(imported)


def resolve_import(unit: str, target: str) -> str:
    """Return the source unit name that an import path names, as the compiler would."""
    if not target.startswith("."):
        return target
    parts = unit.split("/")[:-1]
    for step in target.split("/"):
        if step == "..":
            parts.pop()
        elif step != ".":
            parts.append(step)
    return "/".join(parts)


def source_path(unit: str) -> Path:
    """Return the file of a source unit."""
    path = CONTRACTS / ("node_modules/" + unit if unit.startswith("@") else unit)
    if not path.is_file():
        raise BuildError(f"no {path.relative_to(ROOT)}: run `npm ci` in contracts/")
    return path


def compile_with_solc(standard_input: Json) -> Json:
    """Run the locked compiler; every warning is an error."""
    try:
        run = subprocess.run(
            ["node", str(CONTRACTS / "solc.cjs"), "--standard-json"],
            input=json.dumps(standard_input),
            capture_output=True,
            text=True,
            timeout=COMPILE_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise BuildError(f"the compiler did not run: {error}") from error
    if run.returncode != 0:
        last = (run.stderr.strip().splitlines() or ["no message"])[-1]
        raise BuildError(f"the compiler failed ({last}): run `npm ci` in contracts/")
    output: Json = json.loads(run.stdout)
    if errors := output.get("errors"):
        raise BuildError(errors[0]["formattedMessage"].strip())
    return output


def name_immutables(references: Json, output: Json) -> Json:
    """Return where each immutable lies in the runtime code, by variable name.

    The compiler names them by syntax-tree id, which any change of any file moves.
    """
    names = {
        str(node["id"]): node["name"]
        for source in output["sources"].values()
        for contract in source["ast"]["nodes"]
        if contract["nodeType"] == "ContractDefinition"
        for node in contract["nodes"]
        if node["nodeType"] == "VariableDeclaration"
    }
    return {names[key]: spans for key, spans in sorted(references.items())}


def storage_layout(layout: Json) -> Json:
    """Return the slots and the structs in them, free of syntax-tree ids."""
    types = layout["types"]

    def row(entry: Json) -> Json:
        kind = types[entry["type"]]
        return {
            "name": entry["label"],
            "slot": int(entry["slot"]),
            "offset": entry["offset"],
            "bytes": int(kind["numberOfBytes"]),
            "type": kind["label"],
        }

    return {
        "slots": [row(entry) for entry in layout["storage"]],
        "structs": {
            kind["label"].rpartition(".")[2]: [row(member) for member in kind["members"]]
            for kind in sorted(types.values(), key=lambda kind: str(kind["label"]))
            if "members" in kind
        },
    }


def dump(value: object) -> str:
    """Return canonical, diffable JSON."""
    return json.dumps(value, indent=2) + "\n"


def write(files: dict[Path, str]) -> int:
    """Write every file."""
    for path, text in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        print(f"wrote {path.relative_to(ROOT)}")
    return 0


def compare(files: dict[Path, str]) -> int:
    """Name the files that differ from the build; return the exit code."""
    stale = [
        str(path.relative_to(ROOT))
        for path, text in files.items()
        if not path.is_file() or path.read_text() != text
    ]
    for name in stale:
        print(f"build_contracts: {name} is not what the sources build: run {Path(__file__).name}")
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
