"""Every wait of guest and host ends.

The rule, on the syntax alone. An expression that is awaited (or entered with `async with`, iterated
with `async for`, made a task) is fine when one of these holds:

* it stands inside `async with asyncio.timeout(...)` of the same function, or in `asyncio.wait_for`;
* it stands in a private function, and every use of that function in its file is bounded so;
* it is a call of a coroutine function that guest or host define, whose own awaits are judged where
  they stand, unless its name is also one of a library's waiting calls (`read`, `get`, `wait` ...);
* it is a `sleep`, or waits with a `timeout=` of its own;
* its line says why it needs none: `# waits: <reason>`.

Everything else, known or unknown, is refused: a new library's wait is refused until it is bounded.
Synchronous waits (subprocess, threads, locks, sockets, queues) must carry a timeout of their own.
"""

import ast
import re
from dataclasses import dataclass, field
from pathlib import Path

import pytest

REASON = re.compile(r"#\s*waits:\s*\S.{4,}")


def words(text: str) -> frozenset[str]:
    return frozenset(text.split())


# Libraries' waiting methods whose names our own coroutines may share: our name is no excuse.
AMBIGUOUS = words(
    "acquire close communicate connect drain get join post put read readexactly readline readuntil "
    "receive recv request sendall wait wait_closed"
)
ENDS_BY_ITSELF = frozenset({"sleep"})
BOUND = frozenset({"asyncio.timeout", "asyncio.timeout_at"})
WAITS_WITH_TIMEOUT = frozenset({"asyncio.wait_for", "asyncio.wait"})
STARTS_TASK = frozenset({"create_task", "ensure_future", "run_coroutine_threadsafe", "gather"})
# Entering it waits for nothing, leaving it waits for tasks whose own waits are judged where they start.
GROUPS = frozenset({"asyncio.TaskGroup"})

NEEDS_TIMEOUT_KEYWORD = words(
    "subprocess.run subprocess.call subprocess.check_call subprocess.check_output urlopen "
    "urllib.request.urlopen socket.create_connection aiohttp.ClientSession ClientSession "
    "sqlite3.connect"
)
# Method calls that wait for ever when they carry no argument at all (`", ".join(x)` has one).
WAITS_WITHOUT_ARGUMENT = words("accept acquire communicate get join wait")
WAITS_ALWAYS = words("recv recvfrom recv_into serve_forever input")
WAITS_ALWAYS_DOTTED = frozenset(
    {"os.wait", "os.waitpid", "os.system", "signal.pause", "select.poll"}
)


def dotted(node: ast.expr) -> str:
    """`a.b.c` as text; what is no plain name becomes `?`."""
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else "?"


def is_none(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value is None


def carries_timeout(call: ast.Call) -> bool:
    return any(word.arg == "timeout" and not is_none(word.value) for word in call.keywords)


def coroutine_names(trees: list[ast.Module]) -> frozenset[str]:
    return frozenset(
        node.name
        for tree in trees
        for node in ast.walk(tree)
        if isinstance(node, ast.AsyncFunctionDef) and node.name not in AMBIGUOUS
    )


@dataclass
class Waits(ast.NodeVisitor):
    """Collects the waits of one file that nothing bounds."""

    lines: list[str]
    ours: frozenset[str]
    sheltered: frozenset[str]
    """Private functions that are only ever entered under a timeout."""
    exposed: set[str] = field(default_factory=set)
    """Names used outside every timeout, called or not."""
    found: list[tuple[int, str]] = field(default_factory=list)
    bounded: bool = False
    judged: set[int] = field(default_factory=set)

    # --- where we are

    def inside_function(self, node: ast.AST) -> None:
        """A function's body starts unbounded: it may be called from anywhere."""
        outer, self.bounded = self.bounded, getattr(node, "name", "") in self.sheltered
        self.generic_visit(node)
        self.bounded = outer

    visit_FunctionDef = visit_AsyncFunctionDef = visit_Lambda = inside_function  # noqa: N815

    def visit_Name(self, node: ast.Name) -> None:
        self.use(node.id)

    def visit_Attribute(self, node: ast.Attribute) -> None:
        self.use(node.attr)
        self.generic_visit(node)

    def use(self, name: str) -> None:
        if not self.bounded:
            self.exposed.add(name)

    def visit_AsyncWith(self, node: ast.AsyncWith) -> None:
        outer = self.bounded
        for item in node.items:
            if self.is_bound(item.context_expr):
                self.bounded = True
            else:
                self.judge(item.context_expr, "async with")
            self.visit(item.context_expr)
        for statement in node.body:
            self.visit(statement)
        self.bounded = outer

    @staticmethod
    def is_bound(node: ast.expr) -> bool:
        return (
            isinstance(node, ast.Call)
            and dotted(node.func) in BOUND
            and bool(node.args or node.keywords)
            and not any(is_none(value) for value in [*node.args, *(k.value for k in node.keywords)])
        )

    # --- what waits

    def visit_Await(self, node: ast.Await) -> None:
        self.judge(node.value, "await")
        self.generic_visit(node)

    def visit_AsyncFor(self, node: ast.AsyncFor) -> None:
        self.judge(node.iter, "async for")
        self.generic_visit(node)

    def visit_comprehension(self, node: ast.comprehension) -> None:
        if node.is_async:
            self.judge(node.iter, "async for")
        self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> None:
        name = dotted(node.func)
        if name in WAITS_WITH_TIMEOUT and self.ends(node):
            self.judged.update(id(value) for value in node.args)
            outer, self.bounded = self.bounded, True
            self.generic_visit(node)
            self.bounded = outer
            return
        if name.rpartition(".")[2] in STARTS_TASK:
            self.start_task(node, name)
            return
        if id(node) not in self.judged:
            self.judge_synchronous(node, name)
        self.generic_visit(node)

    def start_task(self, node: ast.Call, name: str) -> None:
        """A task outlives the timeout that it was started under; what `gather` waits for does not."""
        outer = self.bounded
        self.bounded = outer and name.endswith("gather")
        for value in node.args:
            if isinstance(value, ast.Call):
                self.judge(value, name)
        self.generic_visit(node)
        self.bounded = outer

    def judge(self, node: ast.expr, how: str) -> None:
        """Judge one expression that the event loop will wait for."""
        self.judged.add(id(node))
        if not self.bounded and not self.ends(node):
            self.refuse(node, f"{how} {ast.unparse(node)}")

    def ends(self, node: ast.expr) -> bool:
        if isinstance(node, ast.Starred) and isinstance(node.value, ast.GeneratorExp):
            return self.ends(node.value.elt)
        if isinstance(node, ast.Await):  # `async with await own():` was judged by its await
            return True
        if not isinstance(node, ast.Call):
            return False
        name = dotted(node.func)
        if name in WAITS_WITH_TIMEOUT:
            second = node.args[1] if name == "asyncio.wait_for" and len(node.args) > 1 else None
            return carries_timeout(node) or (second is not None and not is_none(second))
        last = name.rpartition(".")[2]
        if last == "gather":
            return all(self.ends(value) for value in node.args)
        known = last in ENDS_BY_ITSELF or last in self.ours or name in GROUPS
        return known or carries_timeout(node)

    def judge_synchronous(self, node: ast.Call, name: str) -> None:
        last = name.rpartition(".")[2]
        bare = not node.args and not carries_timeout(node)
        if (
            (name in NEEDS_TIMEOUT_KEYWORD and not carries_timeout(node))
            or (isinstance(node.func, ast.Attribute) and last in WAITS_WITHOUT_ARGUMENT and bare)
            or last in WAITS_ALWAYS
            or name in WAITS_ALWAYS_DOTTED
        ):
            self.refuse(node, f"{ast.unparse(node)} without timeout=")

    def refuse(self, node: ast.expr, what: str) -> None:
        spoken = self.lines[node.lineno - 1 : (node.end_lineno or node.lineno)]
        if not any(REASON.search(line) for line in spoken):
            self.found.append((node.lineno, what))


def endless_waits(text: str, ours: frozenset[str] = frozenset()) -> list[tuple[int, str]]:
    tree = ast.parse(text)
    ours |= coroutine_names([tree])
    private = {
        node.name
        for node in ast.walk(tree)
        if isinstance(node, ast.AsyncFunctionDef) and re.match("_(?!_)", node.name)
    }
    # Shelter is lost in steps: a function entered from an unsheltered one is unsheltered too.
    # One that its own file never uses is used by somebody else.
    used = {getattr(node, "attr", getattr(node, "id", "")) for node in ast.walk(tree)}
    sheltered = frozenset(private & used)
    while True:
        waits = Waits(text.splitlines(), ours, sheltered)
        waits.visit(tree)
        if not sheltered & waits.exposed:
            return waits.found
        sheltered -= waits.exposed


REFUSED = [
    "await reader.readexactly(4)",
    "await writer.drain()",
    "await queue.get()",
    "await event.wait()",
    "await process.wait()",
    "await process.communicate()",
    "await task",
    "await asyncio.gather(task, other)",
    "await asyncio.wait_for(reader.read(), None)",
    "await asyncio.gather(*(reader.read() for reader in readers))",
    "await asyncio.wait({task})",
    "await asyncio.wait({task}, timeout=None)",
    "await asyncio.open_unix_connection(path)",
    "await asyncio.to_thread(work)",
    "await session.something_of_a_library()",
    "async with session.get(url) as answer: pass",
    "async with lock: pass",
    "async with asyncio.timeout(None): await reader.read()",
    "async with asyncio.timeout(5):\n  async def inner(): await reader.read()",
    "async for line in reader: pass",
    "x = [line async for line in reader]",
    "asyncio.create_task(reader.read())",
    "async with asyncio.timeout(5): asyncio.create_task(reader.read())",
    "group.create_task(queue.get())",
    "await reader.read()  # waits:",
    "subprocess.run(['x'])",
    "subprocess.run(['x'], timeout=None)",
    "child.wait()",
    "child.communicate()",
    "thread.join()",
    "lock.acquire()",
    "queue.get()",
    "connection.recv(4)",
    "socket.create_connection(('x', 1))",
    "aiohttp.ClientSession()",
    "os.waitpid(1, 0)",
    "async with asyncio.timeout(5): child.wait()",
]

ACCEPTED = [
    "await asyncio.sleep(1)",
    "await self.timing.sleep(1)",
    "await asyncio.wait_for(reader.readexactly(4), 5)",
    "await asyncio.wait_for(event.wait(), timeout=limit)",
    "await asyncio.wait({task}, timeout=5)",
    "async with asyncio.timeout(5): await reader.readexactly(4)",
    "async with asyncio.timeout(5), session.get(url) as answer: await answer.read()",
    "async with asyncio.timeout_at(when): await asyncio.gather(task, other)",
    "async with asyncio.timeout(5):\n  async for line in reader: pass",
    "async def own(): pass\nasync def caller(): await own()",
    "async def own(): pass\nasync def caller(): await self.part.own()",
    "async def own(): pass\nawait asyncio.gather(own(), *(own(x) for x in y))",
    "async def own(): pass\nasync with asyncio.TaskGroup() as group: group.create_task(own())",
    "await stop.wait()  # waits: until the operator stops the process",
    "', '.join(words)",
    "table.get(key)",
    "subprocess.run(['x'], timeout=5)",
    "child.wait(timeout=5)",
    "thread.join(5)",
    "aiohttp.ClientSession(timeout=limit)",
]


def in_function(statement: str) -> str:
    body = "\n".join(f"  {line}" for line in statement.splitlines())
    return f"async def enclosing():\n{body}\n"


@pytest.mark.parametrize("statement", REFUSED)
def test_an_endless_wait_is_refused(statement: str) -> None:
    assert endless_waits(in_function(statement))


@pytest.mark.parametrize("statement", ACCEPTED)
def test_a_wait_that_ends_is_accepted(statement: str) -> None:
    assert endless_waits(in_function(statement)) == []


SHELTER = """
class Link:
    async def exchange(self):
        async with asyncio.timeout(5):
            return await self._send()

    async def _send(self):
        return await self._read()

    async def _read(self):
        return await self.reader.read()
"""


def test_a_private_function_that_is_only_entered_under_a_timeout_is_bounded() -> None:
    assert endless_waits(SHELTER) == []


@pytest.mark.parametrize(
    "use",
    [
        "    async def other(self): await self._send()",
        "    def other(self): return self._read",
        "    def other(self): asyncio.create_task(self._send())",
        "    async def other(self):\n"
        "        async with asyncio.timeout(5): asyncio.create_task(self._send())",
    ],
)
def test_one_use_outside_a_timeout_unbounds_all_that_it_enters(use: str) -> None:
    assert endless_waits(SHELTER + use + "\n")


def test_a_private_function_that_its_file_never_enters_is_unbounded() -> None:
    assert endless_waits("async def _read(reader): return await reader.read()\n")


def test_a_bound_outside_a_function_does_not_reach_into_it() -> None:
    text = "async with asyncio.timeout(5):\n  f = lambda: child.wait()\n"
    assert endless_waits(in_function(text))


def test_every_wait_of_guest_and_host_ends(root: Path) -> None:
    files = [path for name in ("guest", "host") for path in sorted((root / name).rglob("*.py"))]
    ours = coroutine_names([ast.parse(path.read_text()) for path in files])
    found = [
        f"{path.relative_to(root)}:{line}: {what}"
        for path in files
        for line, what in endless_waits(path.read_text(), ours)
    ]
    assert found == [], "\n".join(["waits that nothing ends:", *found])
