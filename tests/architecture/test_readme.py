"""The first page keeps its word: two commands, and links that lead somewhere."""

import re
from itertools import chain
from pathlib import Path

import pytest

COMMANDS = ["scripts/demo", "scripts/test"]


def shell_blocks(text: str) -> list[list[str]]:
    """Return the commands of each shell block, without comments and prompts."""
    blocks = re.findall(r"^```(?:sh|bash|console)\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    return [
        [bare for line in block.splitlines() if (bare := line.split("#")[0].strip(" $"))]
        for block in blocks
    ]


@pytest.fixture(scope="session")
def readme(root: Path) -> str:
    return (root / "README.md").read_text()


def test_the_readme_begins_with_the_two_commands_of_a_newcomer(readme: str) -> None:
    assert shell_blocks(readme)[0] == COMMANDS


def test_each_command_of_the_readme_exists(readme: str, root: Path) -> None:
    for command in chain.from_iterable(shell_blocks(readme)):
        program = command.split()[0]
        if program.startswith("scripts/"):
            assert (root / program).stat().st_mode & 0o111, f"{program} is not executable"


def test_the_readme_links_only_to_what_is_there(readme: str, root: Path) -> None:
    links = re.findall(r"\]\((?!https?://|#)([^)#]+)", readme)
    assert [link for link in links if not (root / link).exists()] == []
