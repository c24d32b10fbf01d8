"""Names and their places: what a file or class may be called, and who may make a verified value."""

import ast
import re
from pathlib import Path

import pytest

# They say nothing, so everything ends up in them.
EMPTY_FILE_NAMES = frozenset(
    {"util", "utils", "helper", "helpers", "common", "base", "misc", "shared", "tools", "stuff"}
    | {"manager", "managers", "handler", "handlers", "functions", "lib"}
)
EMPTY_CLASS_NAME = re.compile(
    r"^(Manager|Handler|Helpers?|Utils?)$|[a-z](Manager|Handler|Helpers?|Utils?|Base|Impl)$"
)
NAMED_BY_THE_DESIGN = frozenset({"KeyManager"})

# A value of such a type *is* the proof that its checks were made: only the module that makes the
# checks, which is the one that defines the type, may construct it. Types whose name does not say so
# are added by name.
VERIFIED = re.compile(r"^(Verified|Proven|Accepted|Checked)[A-Z]")
VERIFIED_BY_NAME = frozenset({"ChainView"})

SIZE_LIMIT = 450


def python_files(root: Path) -> list[Path]:
    return [path for name in ("guest", "host") for path in sorted((root / name).rglob("*.py"))]


def is_verified(name: str) -> bool:
    return bool(VERIFIED.match(name)) or name in VERIFIED_BY_NAME


def defined(tree: ast.Module) -> set[str]:
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.ClassDef)}


def made(tree: ast.Module) -> list[tuple[int, str]]:
    """Return (line, type) wherever a verified type is constructed, renamed or subclassed."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            # Its own name called, or handed to something that makes it: `object.__new__(T)`.
            spoken = [node.func, *(node.args if is_maker(node.func) else [])]
            found += [(node.lineno, name) for value in spoken if is_verified(name := last(value))]
        elif isinstance(node, ast.ClassDef):
            found += [(node.lineno, name) for b in node.bases if is_verified(name := last(b))]
        elif isinstance(node, ast.ImportFrom | ast.Import):
            found += [
                (node.lineno, alias.name.rpartition(".")[2])
                for alias in node.names
                if alias.asname and is_verified(alias.name.rpartition(".")[2])
            ]
    return found


def is_maker(node: ast.expr) -> bool:
    return last(node) in {"__new__", "partial", "map"}


def last(node: ast.expr) -> str:
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""


def made_elsewhere(trees: dict[str, ast.Module]) -> list[str]:
    homes = {name: path for path, tree in trees.items() for name in defined(tree)}
    return [
        f"{path}:{line}: {name} is made outside {homes.get(name)}"
        for path, tree in trees.items()
        for line, name in made(tree)
        if homes.get(name) != path
    ]


@pytest.mark.parametrize(
    "text",
    [
        "VerifiedQuote(1)",
        "dcap.VerifiedQuote(1)",
        "object.__new__(VerifiedQuote)",
        "functools.partial(VerifiedQuote, 1)",
        "class Mine(VerifiedQuote): pass",
        "from guest.evidence.dcap import VerifiedQuote as Q",
    ],
)
def test_a_verified_value_made_elsewhere_is_seen(text: str) -> None:
    trees = {"dcap.py": ast.parse("class VerifiedQuote: pass"), "joiner.py": ast.parse(text)}
    assert made_elsewhere(trees)


def test_a_verified_value_made_where_it_is_defined_is_fine() -> None:
    text = "class VerifiedQuote: pass\nVerifiedQuote()"
    user = "from dcap import VerifiedQuote\ndef f(q: VerifiedQuote) -> None: ..."
    assert made_elsewhere({"dcap.py": ast.parse(text), "joiner.py": ast.parse(user)}) == []


def test_verified_values_are_made_where_they_are_verified(root: Path) -> None:
    trees = {p.relative_to(root).as_posix(): ast.parse(p.read_text()) for p in python_files(root)}
    assert any(is_verified(name) for tree in trees.values() for name in defined(tree))
    found = made_elsewhere(trees)
    assert found == [], "\n".join(found)


def test_every_file_name_says_what_is_in_it(files: tuple[Path, ...]) -> None:
    ours = [path for path in files if path.suffix in {".py", ".sol", ".cjs"}]
    assert [path for path in ours if path.stem.lower() in EMPTY_FILE_NAMES] == []


def test_every_class_name_says_what_it_is(root: Path) -> None:
    found = {
        f"{path.relative_to(root)}: {name}"
        for path in python_files(root)
        for name in defined(ast.parse(path.read_text()))
        if EMPTY_CLASS_NAME.search(name) and name not in NAMED_BY_THE_DESIGN
    }
    assert not found, found


def test_every_module_says_what_it_owns(root: Path) -> None:
    found = [
        str(path.relative_to(root))
        for path in [*python_files(root), *sorted((root / "scripts").glob("*.py"))]
        if path.stem != "__init__" and not ast.get_docstring(ast.parse(path.read_text()))
    ]
    assert found == [], f"no module docstring: {found}"


def test_every_file_is_one_idea(root: Path) -> None:
    found = {
        str(path.relative_to(root)): lines
        for path in python_files(root)
        if (lines := path.read_text().count("\n")) > SIZE_LIMIT
    }
    assert not found, f"longer than {SIZE_LIMIT} lines: {found}"


def test_no_test_folder_is_a_package(files: tuple[Path, ...], root: Path) -> None:
    assert [p for p in files if p.name == "__init__.py" and root / "tests" in p.parents] == []
