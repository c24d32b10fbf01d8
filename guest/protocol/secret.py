"""A type for secrets that has no voice.

Owns the one way secret bytes travel inside the program. It must not grow a `__str__`, an equality
or a serialisation: whoever needs the bytes says `expose()`, where a reviewer sees it.
"""

import hmac
from typing import Never, final


@final
class Secret:
    """Secret bytes without repr content, equality, hash, iteration, copying or pickling.

    `wipe()` overwrites our copy. That is best effort: CPython may have made others, and libraries
    that `expose()` feeds certainly do. It keeps a secret from lying about longer than needed.
    """

    __slots__ = ("_value", "_wiped")

    def __init__(self, value: bytes | bytearray) -> None:
        """Take a copy of `value`; a number, of which bytearray makes zeros, raises TypeError."""
        if not isinstance(value, bytes | bytearray):
            raise TypeError("a Secret is made from bytes")
        self._value = bytearray(value)
        self._wiped = False

    def expose(self) -> bytes:
        """Return the bytes. Call it only where they go straight into a cryptographic primitive.

        Raises ValueError after `wipe`: what would be derived from nothing, everyone could derive.
        """
        if self._wiped:
            raise ValueError("this secret was wiped")
        return bytes(self._value)

    def matches(self, other: "Secret") -> bool:
        """Compare in constant time; raises ValueError if either was wiped."""
        return hmac.compare_digest(self.expose(), other.expose())

    def wipe(self) -> None:
        """Overwrite and empty our copy."""
        for i in range(len(self._value)):
            self._value[i] = 0
        self._value.clear()
        self._wiped = True

    def __len__(self) -> int:
        return len(self._value)

    def __repr__(self) -> str:
        return "Secret(...)"

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return "Secret(...)"

    def _mute(self, *_: object) -> Never:
        raise TypeError("a Secret cannot be compared, hashed, copied, pickled or iterated")

    __eq__ = _mute
    __ne__ = _mute
    __hash__ = _mute
    __reduce__ = _mute
    __reduce_ex__ = _mute
    __copy__ = _mute
    __deepcopy__ = _mute
    __iter__ = _mute
    __getstate__ = _mute
    __bytes__ = _mute
