"""`replicatoor status`: what the running host last said, in sentences or as it stands."""

import json
import sys
import time

from guest.protocol.errors import Unavailable
from host.config import Config
from host.service import STATUS_FILE

OLD = 45
"""Seconds after which the host counts as stopped; it writes every 15."""
FEW = 3


def main(config: Config, *, as_json: bool) -> int:
    """Print the status; 0 if the node is active and its host alive, else 1."""
    path = config.data_dir / STATUS_FILE
    try:
        content = json.loads(path.read_text())
    except (OSError, ValueError):
        raise Unavailable(
            "there is no status yet", got=str(path), mend="Start the host: replicatoor run"
        ) from None
    age = int(time.time()) - int(content.get("at", 0))
    content["alive"] = age <= OLD
    if as_json:
        sys.stdout.write(json.dumps(content) + "\n")
    else:
        sys.stdout.write("\n".join(_sentences(content, age)) + "\n")
    return 0 if content["alive"] and content.get("state") == "active" else 1


def _sentences(content: dict[str, object], age: int) -> list[str]:
    lines = [
        f"The host wrote this {age} s ago."
        if content["alive"]
        else f"The host has been silent for {age} s: is it running? Start it: replicatoor run",
        f"The chain's head is block {content.get('head')}.",
    ]
    if not content.get("guest"):
        lines.append("No guest is connected: start it, or look at its log.")
    else:
        lines.append(f"The guest {content.get('node')} is {content.get('state')}.")
        lines.append(f"It says: {content.get('detail')}.")
    members = content.get("members")
    if isinstance(members, int):
        lines.append(f"The network has {members} members and {content.get('pending')} newcomers.")
        if members < FEW:
            lines.append(
                "WARNING: below three members. If all of them stop at once, the secret is lost."
            )
    trouble = content.get("trouble")
    if isinstance(trouble, list):
        lines += [f"Trouble: {text}" for text in trouble]
    if content.get("dry"):
        lines.append("Dry run: no gas key is set, so nothing is sent.")
    lines.append("This is a TEST network: its secret protects nothing.")
    return lines
