"""The history of a node as text: one JSON object a line, the same from real runs and from models.

Events are enough to replay a machine whose entropy is known; effects stand beside them for readers and
for invariants. Nothing in an event or an effect is secret: keys travel in types without a voice.
"""

import json
import math
from dataclasses import fields
from typing import cast

from guest.core.effects import Effect, Say
from guest.core.events import (
    Event,
    HostSaid,
    LinkDown,
    LinkUp,
    Quoted,
    QuoteFailed,
    Sealed,
    Ticked,
)
from guest.protocol import link
from guest.protocol.errors import MalformedInput
from guest.protocol.link import LENGTH_BYTES

MAX_LINE = 4 * 1024 * 1024
_EVENTS: dict[str, type] = {
    kind.__name__: kind
    for kind in (LinkUp, LinkDown, HostSaid, Quoted, QuoteFailed, Sealed, Ticked)
}


def event_line(node: str, event: Event) -> str:
    """Return the line of an event that happened to `node`."""
    content: dict[str, object] = {"node": node, "event": type(event).__name__, "at": event.at}
    if isinstance(event, HostSaid):
        content["frame"] = link.frame(event.message)[LENGTH_BYTES:].hex()
    for name in ("request", "quote", "detail"):
        if hasattr(event, name):
            value = getattr(event, name)
            content[name] = value.hex() if isinstance(value, bytes) else value
    return json.dumps(content)


def effect_line(node: str, effect: Effect) -> str:
    """Return the line of an effect; keys show as their type's name."""
    content: dict[str, object] = {"node": node, "effect": type(effect).__name__}
    if isinstance(effect, Say):
        content["message"] = type(effect.message).__name__
        content["frame"] = link.frame(effect.message)[LENGTH_BYTES:].hex()
    else:
        for field in fields(effect):
            value = getattr(effect, field.name)
            plain = isinstance(value, str | int | float | bool)
            content[field.name] = value if plain else type(value).__name__
    return json.dumps(content)


def parse_event(line: str) -> tuple[str, Event] | None:
    """Return (node, event) of a line, None for an effect's; raises `MalformedInput`."""
    if len(line) > MAX_LINE:
        raise MalformedInput("history line too long", got=len(line), expected=MAX_LINE)
    try:
        return _event_of(json.loads(line))
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError):
        raise MalformedInput("not a history line", got=line[:60]) from None


def _event_of(content: object) -> tuple[str, Event] | None:
    if not isinstance(content, dict):
        raise TypeError("a line is an object")
    if "effect" in content:
        return None
    node, kind = str(content["node"]), _EVENTS[content["event"]]
    arguments: dict[str, object] = {"at": float(content["at"])}
    if not math.isfinite(content["at"]):
        raise ValueError("time is a finite number")
    for name, read in (("request", int), ("quote", bytes.fromhex), ("detail", str)):
        if name in content:
            arguments[name] = read(content[name])
    if kind is HostSaid:
        arguments["message"] = link.from_host(bytes.fromhex(content["frame"]))
    return node, cast("Event", kind(**arguments))
