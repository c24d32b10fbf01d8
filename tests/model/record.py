"""Records the history that is kept in `histories/`: `python -m tests.model.record`.

A ciphertext is random, so a new recording differs from the old one; any of them replays.
"""

from pathlib import Path

from guest.chain.layout import Status
from guest.protocol.errors import ProtocolViolation
from guest.protocol.link import NeedView, PostOnboards, Stale, View
from guest.protocol.network import Trust
from tests.fakes.adversary import Forger
from tests.model.hostile import Hostile
from tests.model.world import World

HISTORIES = Path(__file__).parent / "histories"


def witnessed_story() -> list[str]:
    """A join through lies about the chain, garbage, a lost link, a reorg, a stale word and a restart."""
    world = World(trust=Trust.WITNESSED, finality=10)
    world.rounds(9)
    a = world.add("a", bootstrap=True)
    world.until(lambda: world.active(a))
    world.rounds(9)
    b = world.add("b")
    hostile, host = Hostile(world), world.hosts["b"]
    for lie in ("invented chain", "older block", "no proof", "mixed"):
        lied_to(world, hostile, lie)
    world.until(lambda: world.status(b) is Status.PENDING)
    host.tell(Forger(world.network).garbage(a.address))
    host.disconnect()
    host.connect()
    world.until(lambda: world.status(b) is Status.ONBOARDED)
    world.reorg(2)
    world.hosts["a"].tell(Stale(a.posts(PostOnboards)[-1].key))
    world.until(lambda: world.active(a, b), limit=60)
    assert not [e for e in host.errors if not e.startswith(ProtocolViolation.__name__)]
    return world.history


def lied_to(world: World, hostile: Hostile, lie: str) -> None:
    """Let b's host work until b asks for a view, and answer with a lie."""
    host = world.hosts["b"]
    for _ in range(60):
        if host.guest.said and isinstance(host.guest.said[0], NeedView):
            need = host.guest.said.popleft()
            assert isinstance(need, NeedView)
            host.tell(View(need.request, hostile.lying_view(need, lie, 0)))
            return
        if not world._step(host):
            world.clock.now += 1
            host.guest.tick()
    raise AssertionError("the guest asks for no view")


def main() -> None:
    HISTORIES.mkdir(exist_ok=True)
    lines = witnessed_story()
    (HISTORIES / "witnessed-lies-and-a-reorg.jsonl").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
