"""Prints verdicts: for people as a table of claims, for programs as one JSON object."""

import argparse
import json
import sys
from dataclasses import asdict

from host.audit import verify_quote


def quote(arguments: argparse.Namespace) -> int:
    """Print the verdict on a quote; return 0 if it is accepted, else 1."""
    code, verdict = verify_quote.run(arguments)
    content = asdict(verdict)
    if arguments.json:
        sys.stdout.write(json.dumps(content, default=_shown) + "\n")
        return code
    lines = [f"{name:<28} {value}" for name, value in _rows(content) if value not in (None, ())]
    sys.stdout.write("\n".join(lines) + "\n")
    if verdict.root == "development":
        sys.stdout.write("This quote is SIMULATED: its root's private key is public.\n")
    return code


def _rows(content: dict[str, object], prefix: str = "") -> list[tuple[str, object]]:
    rows: list[tuple[str, object]] = []
    for name, value in content.items():
        if isinstance(value, dict):
            rows += _rows(value, f"{name}.")
        else:
            rows.append((prefix + name, value))
    return rows


def _shown(value: object) -> str:
    return value.hex() if isinstance(value, bytes) else str(value)
