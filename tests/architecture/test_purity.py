"""What no import contract can see: builtins, clocks, shells and assertions."""

import ast
from pathlib import Path

import pytest

PURE = ("guest/protocol/", "guest/evidence/", "guest/core/", "guest/chain/")

# Reach the world, or run text as code, without an import.
WORLD = frozenset({"open", "input", "print", "breakpoint"})
CODE_FROM_TEXT = frozenset({"eval", "exec", "compile", "__import__"})
CLOCKS = frozenset({"now", "utcnow", "today", "fromtimestamp"})
"""Of datetime and date: `now` reads the clock, `fromtimestamp` without tz the machine's zone."""
SHELLS = frozenset({"os.system", "os.popen", "subprocess.getoutput", "subprocess.getstatusoutput"})
SHELLS_ASYNC = "create_subprocess_shell"
UNSAFE_DECODERS = frozenset({"pickle", "marshal", "shelve", "dill"})


def dotted(node: ast.expr) -> str:
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else "?"


def may_print(path: str) -> bool:
    """Only a command's own front door speaks to a person."""
    return path.startswith("host/") and path.endswith("/__main__.py")


def offence(node: ast.AST, path: str) -> str | None:
    """Why `node` may not stand in the file at `path`, or None."""
    if isinstance(node, ast.Assert):
        return "assert vanishes under -O: raise one of our errors"
    if isinstance(node, ast.Import | ast.ImportFrom):
        names = [alias.name for alias in node.names]
        names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        return next((f"{n} runs what it reads" for n in names if n in UNSAFE_DECODERS), None)
    return call_offence(node, path) if isinstance(node, ast.Call) else None


def call_offence(node: ast.Call, path: str) -> str | None:
    name = dotted(node.func)
    last = name.rpartition(".")[2]
    if name in CODE_FROM_TEXT:
        return f"{name} runs text as code"
    if name == "print" and not may_print(path):
        return "print belongs to a command's __main__"
    if name in SHELLS or last == SHELLS_ASYNC:
        return f"{name} starts a shell"
    if any(word.arg == "shell" and not is_false(word.value) for word in node.keywords):
        return "shell= starts a shell"
    if path.startswith(PURE):
        if name in WORLD:
            return f"{name} does I/O in a pure package"
        if last in CLOCKS and name.split(".")[-2:-1] in (["datetime"], ["date"]):
            return reads_clock(node, last)
    return None


def reads_clock(node: ast.Call, last: str) -> str | None:
    explicit_zone = len(node.args) > 1 or any(word.arg == "tz" for word in node.keywords)
    if last == "fromtimestamp" and explicit_zone:
        return None
    return f"{last} reads the clock or the machine's zone in a pure package"


def is_false(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value is False


def offences(text: str, path: str) -> list[str]:
    return [
        f"{path}:{getattr(node, 'lineno', 0)}: {why}"
        for node in ast.walk(ast.parse(text))
        if (why := offence(node, path))
    ]


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("guest/core/x.py", "open('f')"),
        ("guest/protocol/x.py", "print(1)"),
        ("guest/runtime.py", "print(1)"),
        ("guest/chain/x.py", "__import__('os')"),
        ("host/service.py", "eval('1')"),
        ("host/service.py", "exec('1')"),
        ("guest/evidence/x.py", "datetime.now(UTC)"),
        ("guest/evidence/x.py", "datetime.datetime.utcnow()"),
        ("guest/evidence/x.py", "date.today()"),
        ("guest/evidence/x.py", "datetime.fromtimestamp(1)"),
        ("guest/link.py", "assert x"),
        ("host/service.py", "assert x, 'y'"),
        ("host/vm/x.py", "subprocess.run('ls', shell=True)"),
        ("host/vm/x.py", "subprocess.run('ls', shell=flag)"),
        ("host/vm/x.py", "os.system('ls')"),
        ("host/vm/x.py", "asyncio.create_subprocess_shell('ls')"),
        ("host/chain/x.py", "import pickle"),
        ("host/chain/x.py", "from marshal import loads"),
    ],
)
def test_a_planted_offence_is_seen(path: str, text: str) -> None:
    assert offences(text, path)


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("host/__main__.py", "print(1)"),
        ("host/config.py", "open('f')"),
        ("guest/evidence/x.py", "datetime.fromtimestamp(1, tz=UTC)"),
        ("guest/evidence/x.py", "datetime.fromtimestamp(1, UTC)"),
        ("host/vm/x.py", "subprocess.run(['ls'], shell=False)"),
    ],
)
def test_what_is_allowed_is_let_through(path: str, text: str) -> None:
    assert offences(text, path) == []


def test_guest_and_host_have_no_offence(root: Path) -> None:
    files = [path for name in ("guest", "host") for path in sorted((root / name).rglob("*.py"))]
    found = [
        row
        for path in files
        for row in offences(path.read_text(), path.relative_to(root).as_posix())
    ]
    assert found == [], "\n".join(found)
