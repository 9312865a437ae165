"""Both command lines have one way out, and it is ``weft.terminal``."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
WAYS_OUT = ROOT / "controlplane/cli/terminal.py"
"""The only module of the command lines that may ask questions and open the terminal for pictures."""
MODULES = [
    path for folder in ("agent/cli", "controlplane/cli", "controlplane/demo") for path in (ROOT / folder).rglob("*.py")
]
FORBIDDEN_CALLS = {"print", "pprint", "input"}
FORBIDDEN_ATTRIBUTES = {
    ("click", "echo"),
    ("click", "secho"),
    ("click", "confirm"),
    ("click", "prompt"),
    ("click", "pause"),
    ("click", "echo_via_pager"),
    ("click", "progressbar"),
    ("traceback", "print_exc"),
    ("traceback", "print_exception"),
    ("logging", "basicConfig"),
}
FORBIDDEN_METHODS = {"write", "writelines"}
FORBIDDEN_IMPORTS = {"rich.console", "rich.text", "rich.prompt", "rich.markup"}


def exits_of(tree: ast.AST) -> Iterator[str]:
    """Name everything in *tree* that reaches a terminal by another way."""
    typed_only = {
        node
        for test in ast.walk(tree)
        if isinstance(test, ast.If) and isinstance(test.test, ast.Name) and test.test.id == "TYPE_CHECKING"
        for node in ast.walk(test)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module in FORBIDDEN_IMPORTS and node not in typed_only:
            yield f"line {node.lineno}: from {node.module}"
        if not isinstance(node, ast.Call):
            continue
        match node.func:
            case ast.Name(name) if name in FORBIDDEN_CALLS:
                yield f"line {node.lineno}: {name}"
            case ast.Attribute(ast.Name(module), name) if (module, name) in FORBIDDEN_ATTRIBUTES:
                yield f"line {node.lineno}: {module}.{name}"
            case ast.Attribute(ast.Attribute(ast.Name("sys"), "stdout" | "stderr"), name) if name in FORBIDDEN_METHODS:
                yield f"line {node.lineno}: sys.{name}"
            case ast.Attribute(ast.Name("os"), "write"):
                yield f"line {node.lineno}: os.write"


@pytest.mark.parametrize(
    "path", [path for path in MODULES if path != WAYS_OUT], ids=lambda path: str(path.relative_to(ROOT))
)
def test_nothing_is_printed_but_through_one_module(path: Path) -> None:
    """A print of its own would show a guest's text as the guest wrote it."""
    assert list(exits_of(ast.parse(path.read_text()))) == []


@pytest.mark.parametrize(
    "text",
    [
        "print('x')",
        "click.echo('x')",
        "import click\nclick.confirm('x')",
        "import sys\nsys.stdout.write('x')",
        "from rich.console import Console",
        "import os\nos.write(1, b'x')",
    ],
)
def test_each_other_way_is_found(text: str) -> None:
    """The search sees what it looks for."""
    assert len(list(exits_of(ast.parse(text)))) == 1
