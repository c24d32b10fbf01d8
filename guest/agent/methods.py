"""What apps may call: one table of methods, whatever dialect the request came in.

Owns the meaning of each method's arguments and answers. It knows nothing of HTTP connections.
"""

from collections.abc import Callable
from typing import TypeAlias

from guest.agent.appkeys import AppKeys
from guest.agent.http import Arguments, Reply
from guest.protocol.errors import MalformedInput

Method: TypeAlias = Callable[[Arguments], Reply]
_SECP256K1 = frozenset({"", "secp256k1", "k256"})
"""What dstack calls this curve; an absent algorithm means it too."""


def method_table(keys: AppKeys) -> dict[str, Method]:
    """Return every method by its name. Each raises `MalformedInput` for arguments it cannot serve."""

    def get_key(arguments: Arguments) -> Reply:
        """Return the private key of a path, with the chain of signatures that ends at appRoot."""
        if _text(arguments, "algorithm") not in _SECP256K1:
            raise MalformedInput("Unsupported algorithm")
        issued = keys.issue(_text(arguments, "path"), _text(arguments, "purpose"))
        return {
            "key": issued.key.expose().hex(),
            "signature_chain": [signature.hex() for signature in issued.signature_chain],
        }

    return {"GetKey": get_key}


def _text(arguments: Arguments, name: str) -> str:
    """Return a text argument, empty if absent, as proto3 has it. Nothing is coerced into a text."""
    value = arguments.get(name, "")
    if not isinstance(value, str):
        raise MalformedInput(f"{name} is not a text", got=type(value).__name__)
    return value
