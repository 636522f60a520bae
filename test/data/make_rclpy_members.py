# SPDX-License-Identifier: Apache-2.0
"""Write `rclpy_members.json`: the public names of rclpy in each supported ROS 2 distribution.

Reads the Python sources of rclpy with `ast`; nothing is imported, built or copied. Give the root
(the folder that holds `package.xml` and `rclpy/`) of the first and of the latest release of
every distribution, as the tags of the ros2-gbp/rclpy-release repository have them. A name is in
the table only if all releases given for its distribution have it:

    python test/data/make_rclpy_members.py humble=3.3.2/ humble=3.3.21/ jazzy=7.1.1/ ... \
        > test/data/rclpy_members.json

The table is `{distribution: {"releases": [...], "modules": {module: {name: entry}}}}`, an entry

- `"(a, b, *, c, **kwargs) -> rclpy.x.Y"` for a callable (no `self`; the result only where it
  is annotated as one class of rclpy),
- `"-> rclpy.x.Y"` or `null` for a property, a constant, or what comes from compiled code,
- `"=rclpy.x.Y"` for another name of the same thing,
- `{member: entry}` for a class, inherited members included; `**kwargs` that only hand on to the
  base class are replaced by its parameters.
"""

from __future__ import annotations

import ast
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

# Not the business of a node: the table stays small without them.
LEFT_OUT = re.compile(r"rclpy\.(action|experimental|impl(?!\.rcutils_logger))\b")
CALLED_BY_PYTHON = {"__init__", "__call__", "__enter__", "__exit__", "__new__"}


def is_public(name: str) -> bool:
    """Tell whether users of rclpy may rely on the name."""
    return not name.startswith("_") or name in CALLED_BY_PYTHON


def statements(body: list[ast.stmt], type_checking: bool = False) -> Iterator[ast.stmt]:
    """Yield the statements of a body and of the `if`, `try` and `with` blocks in it.

    Blocks for type checkers only are left out unless asked for.
    """
    for statement in body:
        if isinstance(statement, ast.If) and ast.unparse(statement.test).endswith("TYPE_CHECKING"):
            yield from statements(statement.body if type_checking else statement.orelse)
        elif isinstance(statement, ast.If | ast.Try | ast.With):
            for field in ("body", "orelse", "finalbody"):
                yield from statements(getattr(statement, field, []))
            for handler in getattr(statement, "handlers", []):
                yield from statements(handler.body)
        else:
            yield statement


def is_overload(function: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    """Tell whether the definition is there for type checkers only."""
    return any(ast.unparse(d).endswith("overload") for d in function.decorator_list)


def instance_attributes(definition: ast.ClassDef) -> Iterator[str]:
    """Yield the public attributes that the methods of a class assign on `self`."""
    for node in ast.walk(definition):
        if (
            isinstance(node, ast.Attribute)
            and isinstance(node.ctx, ast.Store)
            and isinstance(node.value, ast.Name)
            and node.value.id == "self"
            and is_public(node.attr)
        ):
            yield node.attr


def is_enum(definition: ast.ClassDef) -> bool:
    """Tell whether a class is an enumeration of the standard library's kind."""
    return any(ast.unparse(base).endswith(("Enum", "Flag")) for base in definition.bases)


class Module:
    """One source file of rclpy, reduced to its public names."""

    def __init__(self, name: str, is_package: bool, source: str) -> None:
        """Read the names defined and imported by a module.

        Args:
            name: dotted name.
            is_package: whether the file is an `__init__.py`.
            source: the text of the file.
        """
        self._package = name if is_package else name.rpartition(".")[0]
        self._name = name
        tree = ast.parse(source)
        everything = statements(tree.body, type_checking=True)
        self._defined = {s.name for s in everything if isinstance(s, ast.ClassDef)}
        aliases = self._imports(statements(tree.body))
        self._imported = aliases | self._imports(statements(tree.body, type_checking=True))
        self.names: dict[str, Any] = {
            alias: f"={target}"
            for alias, target in aliases.items()
            if target.startswith("rclpy.") and is_public(alias) and not LEFT_OUT.match(target)
        } | dict(self._members(tree.body))

    def _imports(self, body: Iterator[ast.stmt]) -> dict[str, str]:
        """Map the names that `from … import …` brings to what they mean."""
        return {
            alias.asname or alias.name: f"{self._origin(statement)}.{alias.name}"
            for statement in body
            if isinstance(statement, ast.ImportFrom)
            for alias in statement.names
        }

    def _origin(self, statement: ast.ImportFrom) -> str:
        if not statement.level:
            return statement.module or ""
        base = self._package.split(".")[: len(self._package.split(".")) - statement.level + 1]
        return ".".join([*base, *([statement.module] if statement.module else [])])

    def _dotted(self, node: ast.expr | None) -> str | None:
        """Name the class of rclpy that an annotation or a base class means, if it is one."""
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            return self._dotted(ast.parse(node.value, mode="eval").body)
        if isinstance(node, ast.Subscript):
            return self._dotted(node.value)
        if not isinstance(node, ast.Name | ast.Attribute):
            return None
        head, _, rest = ast.unparse(node).partition(".")
        target = f"{self._name}.{head}" if head in self._defined else self._imported.get(head, "")
        if not target.startswith("rclpy") or LEFT_OUT.match(target):
            return None
        return f"{target}.{rest}" if rest else target

    def _signature(
        self, function: ast.FunctionDef | ast.AsyncFunctionDef, of_class: bool
    ) -> str | None:
        decorators = {ast.unparse(d) for d in function.decorator_list}
        result = self._dotted(function.returns)
        arrow = f"-> {result}" if result else ""
        if any(d == "property" or d.endswith((".setter", ".getter")) for d in decorators):
            return arrow or None
        arguments = function.args
        names = [a.arg for a in (*arguments.posonlyargs, *arguments.args)]
        if of_class and "staticmethod" not in decorators:
            names = names[1:]
        if arguments.vararg:
            names.append(f"*{arguments.vararg.arg}")
        elif arguments.kwonlyargs:
            names.append("*")
        names += [a.arg for a in arguments.kwonlyargs]
        if arguments.kwarg:
            names.append(f"**{arguments.kwarg.arg}")
        return f"({', '.join(names)}) {arrow}".rstrip()

    def _members(self, body: list[ast.stmt], of_class: bool = False) -> Iterator[tuple[str, Any]]:
        """Yield (name, entry) for all that a module or class body defines."""
        for statement in statements(body):
            if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef):
                if is_public(statement.name) and not is_overload(statement):
                    yield statement.name, self._signature(statement, of_class)
            elif isinstance(statement, ast.ClassDef) and is_public(statement.name):
                bases = [self._dotted(base) for base in statement.bases]
                yield (
                    statement.name,
                    {"": [base for base in bases if base]}
                    | dict.fromkeys(instance_attributes(statement))
                    | (dict.fromkeys(("name", "value")) if is_enum(statement) else {})
                    | dict(self._members(statement.body, of_class=True)),
                )
            elif isinstance(statement, ast.Assign | ast.AnnAssign):
                targets = (
                    statement.targets if isinstance(statement, ast.Assign) else [statement.target]
                )
                for target in targets:
                    if isinstance(target, ast.Name) and is_public(target.id):
                        alias = isinstance(statement.value, ast.Name | ast.Attribute)
                        origin = self._dotted(statement.value) if alias else None
                        yield target.id, f"={origin}" if origin else None


def read_release(root: Path) -> tuple[str, dict[str, Any]]:
    """Read one checked-out release of rclpy.

    Returns:
        Its version, and the table of its modules.
    """
    version = re.search(r"<version>(.+?)</version>", (root / "package.xml").read_text())
    if version is None:
        raise SystemExit(f"{root}/package.xml names no version")
    modules = {}
    for path in sorted((root / "rclpy").rglob("*.py")):
        name = ".".join(path.relative_to(root).with_suffix("").parts)
        is_package = name.endswith(".__init__")
        name = name.removesuffix(".__init__")
        if not LEFT_OUT.match(name):
            modules[name] = Module(name, is_package, path.read_text()).names
    return version[1], flattened(modules)


def resolved(modules: dict[str, Any], name: str) -> Any:
    """Look up the entry of a dotted name, through its aliases."""
    module, _, member = name.rpartition(".")
    entry = modules.get(module, {}).get(member)
    return resolved(modules, entry[1:]) if isinstance(entry, str) and entry[0] == "=" else entry


def parameters(entry: str) -> list[str]:
    """Split the signature of a callable into its parameters."""
    return [p for p in entry[1 : entry.index(")")].split(", ") if p]


def signature(names: list[str], of: str) -> str:
    """Write the signature of a callable with other parameters."""
    return f"({', '.join(names)}){of[of.index(')') + 1 :]}"


def handing_on(entry: Any, replaced: list[Any]) -> Any:
    """Put the parameters of the methods it replaces where a method takes `**kwargs` for them."""
    if not isinstance(entry, str) or "**kwargs" not in entry:
        return entry
    names = [p for p in parameters(entry) if p != "**kwargs"]
    for base in replaced:
        names += [p for p in parameters(base) if p not in names]
    return signature(names, entry) if replaced else entry


def with_inherited(modules: dict[str, Any], definition: dict[str, Any]) -> dict[str, Any]:
    """Add to a class what it inherits from other classes of rclpy."""
    bases = [resolved(modules, base) for base in definition[""]]
    inherited = [with_inherited(modules, base) for base in bases if base]
    members: dict[str, Any] = {}
    for base in reversed(inherited):
        members |= base
    own = {name: entry for name, entry in definition.items() if name}
    return members | {
        name: handing_on(entry, [base[name] for base in inherited if name in base])
        for name, entry in own.items()
    }


def flattened(modules: dict[str, Any]) -> dict[str, Any]:
    """Replace `import *` and base classes by what they bring, in all modules of a release."""
    for names in modules.values():
        source = names.pop("*", "=")[1:].removesuffix(".*")
        names |= {name: f"={source}.{name}" for name in modules.get(source, {})} | names
    return {
        module: {
            name: with_inherited(modules, entry) if isinstance(entry, dict) else entry
            for name, entry in names.items()
        }
        for module, names in modules.items()
    }


def common(first: Any, second: Any) -> Any:
    """Keep what two releases both promise."""
    if isinstance(first, dict) and isinstance(second, dict):
        return {name: common(first[name], second[name]) for name in first if name in second}
    if isinstance(first, str) and isinstance(second, str) and first[0] == second[0] == "(":
        return signature([p for p in parameters(first) if p in parameters(second)], second)
    return second or first


def main(arguments: list[str]) -> None:
    """Print the table made from `distribution=folder` arguments."""
    if not arguments or any("=" not in argument for argument in arguments):
        raise SystemExit(__doc__)
    table: dict[str, Any] = {}
    for argument in arguments:
        distribution, _, folder = argument.partition("=")
        version, modules = read_release(Path(folder))
        known = table.setdefault(distribution, {"releases": [], "modules": modules})
        known["releases"].append(version)
        known["modules"] = common(known["modules"], modules)
    json.dump(table, sys.stdout, indent=0, sort_keys=True)
    print()


if __name__ == "__main__":
    main(sys.argv[1:])
