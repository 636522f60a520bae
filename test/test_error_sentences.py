# SPDX-License-Identifier: Apache-2.0
"""An error is one sentence that can stand behind "mtinet build: "; see `mtinet_ros.errors`."""

from __future__ import annotations

import ast
import inspect
from pathlib import Path

import pytest

from mtinet_ros import errors

PACKAGE = Path(errors.__file__).parent
FAMILY = {
    name for name, kind in inspect.getmembers(errors, inspect.isclass)
    if issubclass(kind, errors.MtinetError)
}  # fmt: skip
# Words that a sentence may begin with in upper case, because they are so spelled.
PROPER_NOUNS = (
    "CPU", "CUDA", "GPU", "ImageNet", "Lightning", "MTI-Net", "ONNX", "OpenCV", "OpenVINO",
    "PyTorch", "Python", "ROS", "TensorRT",
)  # fmt: skip
VALUE = "\N{OBJECT REPLACEMENT CHARACTER}"
"""Stands for a placeholder of an f-string."""


def text_of(node: ast.expr, scope: ast.AST | None = None) -> list[str]:
    """The texts that an expression may give, as far as they are written down; values as VALUE."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return [node.value]
    if isinstance(node, ast.JoinedStr):
        return ["".join(text_of(part)[0] for part in node.values)]
    if isinstance(node, ast.FormattedValue):
        return [VALUE]
    if isinstance(node, ast.IfExp):
        return text_of(node.body, scope) + text_of(node.orelse, scope)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return [a + b for a in text_of(node.left, scope) for b in text_of(node.right, scope)]
    if isinstance(node, ast.Name) and scope is not None:
        assigned = [
            text
            for statement in ast.walk(scope)
            if isinstance(statement, ast.Assign)
            and any(isinstance(t, ast.Name) and t.id == node.id for t in statement.targets)
            for text in text_of(statement.value)
        ]
        return assigned or [VALUE]
    return [VALUE]


def is_error(node: ast.AST, family: set[str]) -> bool:
    """Whether an expression makes an error with a message."""
    if not isinstance(node, ast.Call) or not node.args:
        return False
    name = node.func.attr if isinstance(node.func, ast.Attribute) else None
    return (node.func.id if isinstance(node.func, ast.Name) else name) in family


def sentences(path: Path) -> list[tuple[int, str]]:
    """Line and message of every error of the family that a module makes."""
    tree = ast.parse(path.read_text("utf-8"))
    family = FAMILY | {
        node.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef)
        and any(isinstance(base, ast.Name) and base.id in FAMILY for base in node.bases)
    }
    found: list[tuple[int, str]] = []

    def visit(node: ast.AST, scope: ast.AST) -> None:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            scope = node
        if is_error(node, family):
            assert isinstance(node, ast.Call)
            found.extend((node.lineno, text) for text in text_of(node.args[0], scope))
        for child in ast.iter_child_nodes(node):
            visit(child, scope)

    visit(tree, tree)
    return found


def fault(text: str) -> str:
    """What the rule has against a message, or nothing."""
    if not text:
        return "is empty"
    if text[0].isupper() and not text.startswith(PROPER_NOUNS):
        return "begins in upper case"
    if text.endswith("."):
        return "ends with a full stop"
    if "\n" in text:
        return "has a line break"
    if "  " in text:
        return "has two spaces in a row"
    if text != text.strip():
        return "begins or ends with a space"
    return ""


def modules() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_every_message_can_stand_behind_the_name_of_a_command(path: Path) -> None:
    found = [
        f"{path}:{line}: {what}: {text!r}"
        for line, text in sentences(path)
        if (what := fault(text))
    ]
    assert found == []


def test_the_rule_sees_the_messages_of_the_package() -> None:
    texts = {text for path in modules() for _, text in sentences(path)}
    assert len(texts) > 150
    assert "the engine build was cancelled" in texts
    assert any(text.startswith(f"TensorRT {VALUE} is too old") for text in texts)


@pytest.mark.parametrize(
    "text",
    ["", "Broken", "is broken.", "is\nbroken", "is  broken", " is broken", "Cannot read it"],
)
def test_the_rule_refuses(text: str) -> None:
    assert fault(text)


@pytest.mark.parametrize("text", ["is broken", f"{VALUE} is broken", "TensorRT is broken", "'x'"])
def test_the_rule_allows(text: str) -> None:
    assert not fault(text)


def test_an_assigned_message_is_seen(tmp_path: Path) -> None:
    module = tmp_path / "module.py"
    module.write_text(
        "def f(x):\n"
        "    why = f'Bad {x}.'\n"
        "    raise InputError(why)\n"
        "class OwnError(ModelError): ...\n"
        "def g(x):\n"
        "    return OwnError('yes' if x else 'No')\n"
    )
    assert sentences(module) == [(3, f"Bad {VALUE}."), (6, "yes"), (6, "No")]
