# SPDX-License-Identifier: Apache-2.0
"""Find every use of rclpy in our sources, and hold it against `rclpy_members.json`.

The sources are read with `ast`, not run: names imported from rclpy, members of what they name,
members inherited by our own classes, and members of variables whose class is known from an
annotation or from the call that made them.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

Table = Mapping[str, Any]


@dataclass(frozen=True)
class Use:
    """One place in our sources that relies on a name of rclpy.

    Attributes:
        name: dotted, e.g. `rclpy.node.Node.create_timer`.
        where: file and line.
        positional: number of positional arguments, where it is called with plain ones.
        keywords: names of the keyword arguments it is called with.
    """

    name: str
    where: str
    positional: int = 0
    keywords: tuple[str, ...] = ()


def look_up(modules: Table, name: str) -> Any:
    """Find the entry of a dotted name.

    Args:
        modules: the modules of one distribution.
        name: a module, a name in a module, or a member of a class.

    Returns:
        The entry as the table has it, aliases followed; `None` too for what the table leaves open.

    Raises:
        KeyError: the distribution has no such name.
    """
    parts = name.split(".")
    if name in modules:
        return modules[name]
    for length in range(len(parts) - 1, 0, -1):
        module = ".".join(parts[:length])
        if module not in modules:
            continue
        entry, members = modules[module][parts[length]], parts[length + 1 :]
        if isinstance(entry, str) and entry.startswith("="):
            return look_up(modules, ".".join([entry[1:], *members]))
        if not isinstance(entry, dict) or not members or hasattr(type, members[0]):
            return entry if not members else None
        return entry[members[0]] if len(members) == 1 else None
    raise KeyError(name)


def signature(modules: Table, name: str) -> list[str] | None:
    """List the parameters of a callable, or `None` where the table leaves them open."""
    entry = look_up(modules, name)
    if isinstance(entry, dict):
        entry = entry.get("__init__")
    if not isinstance(entry, str) or not entry.startswith("("):
        return None
    return [p for p in entry[1 : entry.index(")")].split(", ") if p]


def missing(modules: Table, use: Use) -> str | None:
    """Name what a distribution lacks of a use of rclpy, as `name` or `name(parameter)`."""
    try:
        parameters = signature(modules, use.name)
    except KeyError:
        return use.name
    if parameters is None:
        return None
    if not any(p.startswith("**") for p in parameters):
        for keyword in use.keywords:
            if keyword not in parameters:
                return f"{use.name}({keyword})"
    places = [p.startswith("*") for p in parameters]
    if any(p.startswith("*") and p.strip("*") and p[:2] != "**" for p in parameters):
        return None
    allowed = places.index(True) if True in places else len(places)
    return f"{use.name}(argument {allowed + 1})" if use.positional > allowed else None


@dataclass
class OurClass:
    """A class of ours: its bases, and the members and attribute types it brings itself."""

    bases: list[str] = field(default_factory=list)
    members: set[str] = field(default_factory=set)
    types: dict[str, str] = field(default_factory=dict)


def own_targets(definition: ast.ClassDef) -> list[ast.expr]:
    """List what the body of a class assigns: its class attributes and dataclass fields."""
    targets: list[ast.expr] = []
    for statement in definition.body:
        if isinstance(statement, ast.Assign):
            targets += statement.targets
        elif isinstance(statement, ast.AnnAssign):
            targets.append(statement.target)
    return targets


class SourceFile(ast.NodeVisitor):
    """Walks one file; collects `uses` and the classes it defines."""

    def __init__(self, path: Path, module: str, table: Table, ours: dict[str, OurClass]) -> None:
        """Prepare to walk a file.

        Args:
            path: the file.
            module: its dotted name.
            table: modules of the newest distribution, for what a call returns.
            ours: classes of ours by dotted name, filled as files are walked.
        """
        self.uses: list[Use] = []
        self._path = path
        self._module = module
        self._table = table
        self._ours = ours
        self._imported: dict[str, str] = {}
        self._class: str | None = None
        self._variables: list[dict[str, str]] = [{}]

    # What expressions name, and what class their values have.

    def _named(self, node: ast.AST | None) -> str | None:
        """Give the dotted name of a module, class or function of rclpy or of ours."""
        if isinstance(node, ast.Name):
            return self._imported.get(node.id)
        if isinstance(node, ast.Attribute):
            owner = self._named(node.value)
            return f"{owner}.{node.attr}" if owner else None
        return None

    def _is_class(self, name: str) -> bool:
        if name in self._ours:
            return True
        try:
            return name.startswith("rclpy.") and isinstance(look_up(self._table, name), dict)
        except KeyError:
            return False

    def _annotated(self, node: ast.expr | None) -> str | None:
        """Give the class that an annotation means: `X`, `X | None`, `X[...]` or a string."""
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            return self._annotated(ast.parse(node.value, mode="eval").body)
        if isinstance(node, ast.BinOp):
            return self._annotated(node.left) or self._annotated(node.right)
        if isinstance(node, ast.Subscript):
            return self._annotated(node.value)
        name = self._named(node)
        return name if name and self._is_class(name) else None

    def _class_of(self, node: ast.AST | None) -> str | None:
        """Infer the class of an expression's value."""
        if isinstance(node, ast.Name):
            if node.id == "self":
                return self._class
            return next((v[node.id] for v in reversed(self._variables) if node.id in v), None)
        if isinstance(node, ast.Attribute):
            owner = self._class_of(node.value)
            if owner in self._ours and node.attr in self._ours[owner].types:
                return self._ours[owner].types[node.attr]
            return self._result(self._member(node))
        if isinstance(node, ast.Call):
            if isinstance(node.func, ast.Name) and node.func.id == "super":
                return next(iter(self._ours[self._class].bases), None) if self._class else None
            name = self._named(node.func) or self._member(node.func)
            return name if name and self._is_class(name) else self._result(name)
        return None

    def _result(self, name: str | None) -> str | None:
        """Give the class of rclpy that a call or a property results in."""
        try:
            entry = look_up(self._table, name) if name and name.startswith("rclpy.") else None
        except KeyError:
            return None
        return entry.partition("-> ")[2] or None if isinstance(entry, str) else None

    def _member(self, node: ast.AST) -> str | None:
        """Give the dotted name of the member of rclpy that `value.member` reaches, if it does."""
        if not isinstance(node, ast.Attribute):
            return None
        owner = self._class_of(node.value)
        return self._provider(owner, node.attr) if owner else None

    def _provider(self, owner: str, member: str) -> str | None:
        if owner.startswith("rclpy."):
            return f"{owner}.{member}"
        ours = self._ours.get(owner)
        if ours is None or member in ours.members:
            return None
        found = [self._provider(base, member) for base in ours.bases]
        return next((name for name in found if name), None)

    # The walk.

    def _use(self, node: ast.stmt | ast.expr, name: str | None, call: ast.Call | None) -> None:
        if name is None or not (name == "rclpy" or name.startswith("rclpy.")):
            return
        plain = call is not None and not any(isinstance(a, ast.Starred) for a in call.args)
        self.uses.append(
            Use(
                name,
                f"{self._path}:{node.lineno}",
                len(call.args) if call is not None and plain else 0,
                tuple(k.arg for k in call.keywords if k.arg) if call is not None else (),
            )
        )

    def visit_If(self, node: ast.If) -> None:
        before = len(self.uses)
        self.generic_visit(node)
        if ast.unparse(node.test).endswith("TYPE_CHECKING"):
            del self.uses[before:]  # imported by no one at run time

    def visit_Import(self, node: ast.Import) -> None:
        for alias in node.names:
            self._imported[alias.asname or alias.name.partition(".")[0]] = (
                alias.name if alias.asname else alias.name.partition(".")[0]
            )
            self._use(node, alias.name, None)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        base = self._module.rsplit(".", node.level)[0] if node.level else ""
        origin = ".".join(part for part in (base, node.module or "") if part)
        for alias in node.names:
            name = f"{origin}.{alias.name}"
            self._imported.setdefault(alias.asname or alias.name, name)
            self._use(node, name, None)

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        name = f"{self._module}.{node.name}"
        self._imported[node.name] = name
        ours = self._ours.setdefault(name, OurClass())
        ours.bases = [base for base in map(self._annotated, node.bases) if base]
        for child in ast.walk(node):
            if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
                ours.members.add(child.name)
            elif isinstance(child, ast.Name) and child in own_targets(node):
                ours.members.add(child.id)
            elif isinstance(child, ast.Attribute) and isinstance(child.ctx, ast.Store):
                ours.members |= {child.attr} if ast.unparse(child.value) == "self" else set()
        outer, self._class = self._class, name
        self.generic_visit(node)
        self._class = outer

    def _assign(self, target: ast.expr, kind: str | None) -> None:
        """Remember the class of a variable or of an attribute of ours."""
        if kind and isinstance(target, ast.Name):
            self._variables[-1][target.id] = kind
            if self._class and len(self._variables) == 1:
                self._ours[self._class].types.setdefault(target.id, kind)
        elif kind and isinstance(target, ast.Attribute):
            owner = self._ours.get(self._class_of(target.value) or "")
            if owner:
                owner.types.setdefault(target.attr, kind)

    def visit_FunctionDef(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        arguments = node.args
        everything = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
        known = {a.arg: self._annotated(a.annotation) for a in everything}
        self._variables.append({name: kind for name, kind in known.items() if kind})
        self.generic_visit(node)
        self._variables.pop()

    visit_AsyncFunctionDef = visit_FunctionDef  # noqa: N815  (the name ast looks for)

    def visit_Assign(self, node: ast.Assign) -> None:
        self.generic_visit(node)
        for target in node.targets:
            self._assign(target, self._class_of(node.value))

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        self.generic_visit(node)
        self._assign(node.target, self._annotated(node.annotation))

    def visit_Call(self, node: ast.Call) -> None:
        name = self._named(node.func) or self._member(node.func)
        if name is not None:
            ours = self._ours.get(name)
            inherited = self._provider(name, "__init__") if ours else name
            self._use(node, inherited, node)
        self.generic_visit(node)

    def visit_Attribute(self, node: ast.Attribute) -> None:
        self._use(node, self._named(node) or self._member(node), None)
        self.generic_visit(node)


def uses_of_rclpy(root: Path, package: str, newest: Table) -> Iterator[Use]:
    """Walk all sources of a package.

    Args:
        root: the folder that holds the package.
        package: its dotted name.
        newest: the table's modules of the newest distribution.

    Yields:
        Every use of rclpy, file by file.
    """
    ours: dict[str, OurClass] = {}
    paths = sorted((root / package.replace(".", "/")).rglob("*.py"))
    for collecting in (True, False):  # first all classes, then what they use of each other
        for path in paths:
            module = ".".join(path.relative_to(root).with_suffix("").parts)
            source = SourceFile(path.relative_to(root), module, newest, ours)
            source.visit(ast.parse(path.read_text()))
            if not collecting:
                yield from source.uses
