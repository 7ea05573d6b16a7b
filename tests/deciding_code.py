"""What code decides an experiment's results, as one checksum.

An experiment's arrays are decided by ``stages`` and by everything that it reaches by name: the
functions, classes and constants of the package that are named in it, and in these, and so on. Of
a class only those members are taken that the code reached names, by attribute or in a text (as
for ``getattr``), and what Python calls by itself (``__init__`` and the like). So ``gather``,
``claims``, panels, progress and the store are left out, by that rule alone. Docstrings, comments,
annotations, formatting and the messages of errors are no part of it, nor are settings: these are
part of every task's key. Where a definition stands is none either.

What it does not see: data files, the libraries (a result's header names their versions), and names
that are put together while the code runs.
"""

from __future__ import annotations

import ast
import hashlib
from functools import cache
from pathlib import Path

PACKAGE = "autocrit_lite"
ROOT = Path(__file__).resolve().parents[1]
BASE = f"{PACKAGE}.runner.experiment", "Experiment"
SETTINGS = ("setting", "setting_of")
SKIPPED = ("ctx", "kind", "type_comment", "type_params", "annotation", "returns")


class Module:
    """The definitions and imports of one module of the package in a folder."""

    def __init__(self, root: Path, name: str) -> None:
        self.root, self.name = root, name
        folder = root.joinpath(*name.split("."))
        self.is_package = folder.is_dir()
        path = folder / "__init__.py" if self.is_package else folder.with_suffix(".py")
        self.definitions: dict[str, list[ast.stmt]] = {}
        text = path.read_text(encoding="utf-8") if path.is_file() else ""
        self.imports, body = parsed(text, name, self.is_package)
        for statement in nested(body):
            for defined in defines(statement):
                self.definitions.setdefault(defined, []).append(statement)


def nested(body):
    """Yield statements, those inside of ``if``, ``try`` and ``with`` too."""
    for statement in body:
        if isinstance(statement, (ast.If, ast.Try, ast.With)):
            parts = [getattr(statement, x, []) for x in ("body", "orelse", "finalbody")]
            parts += [handler.body for handler in getattr(statement, "handlers", [])]
            for part in parts:
                yield from nested(part)
        yield statement


def defines(statement):
    """Yield the names that a statement defines."""
    if isinstance(statement, (ast.FunctionDef, ast.ClassDef)):
        yield statement.name
    elif isinstance(statement, (ast.Assign, ast.AnnAssign, ast.AugAssign, ast.For)):
        targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
        for target in targets:
            for node in ast.walk(target):
                if isinstance(node, ast.Name):
                    yield node.id
                    break  # x[...] = and x.y = change x


@cache
def parsed(text, module, is_package):
    """Return what names stand for after a module's imports, and its code without what computes
    nothing. Names stand for (module, name) or (module, None).
    """
    tree, found = ast.parse(text), {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            parts = module.split(".")
            kept = len(parts) - node.level + is_package
            start = parts[:kept] if node.level else []
            source = ".".join([*start, *([node.module] if node.module else [])])
            for alias in node.names:
                found[alias.asname or alias.name] = (source, alias.name)
        elif isinstance(node, ast.Import):
            for alias in node.names:
                if alias.asname or "." not in alias.name:
                    found[alias.asname or alias.name] = (alias.name, None)
    return found, _Bare().visit(tree).body


module_of = cache(Module)


class Reach:
    """All that is reached in a folder's package from ``stages`` of a class."""

    def __init__(self, root: Path, module: str, kind: str) -> None:
        self.root = root
        self.code: dict[tuple[str, str], list[str]] = {}
        self.named = {"stages"}
        self.waiting: dict[str, list] = {}
        self.define(module, kind)

    def is_module(self, name):
        """Return whether the package has a module of that full name."""
        path = self.root.joinpath(*name.split("."))
        return (path / "__init__.py").is_file() or path.with_suffix(".py").is_file()

    def resolve(self, module, name):
        """Return (module, name) where a name is defined, (module, None) for a module, or None."""
        if name in module_of(self.root, module).definitions:
            return module, name
        own = module_of(self.root, module)
        source, original = own.imports.get(name, (module, name))
        if (source, original) == (module, name):  # an import goes before a submodule of that name
            found = own.is_package and self.is_module(f"{module}.{name}")
            return (f"{module}.{name}", None) if found else None
        if source.split(".")[0] != PACKAGE:
            return None
        return (source, None) if original is None else self.resolve(source, original)

    def define(self, module, name):
        """Take a definition in, and all that it reaches."""
        if (module, name) in self.code or (module, name) == BASE:
            return
        self.code[module, name] = own = []
        for statement in module_of(self.root, module).definitions[name]:
            if isinstance(statement, ast.ClassDef):
                self.class_(module, own, statement)
            else:
                self.take(module, own, statement)

    def class_(self, module, own, statement):
        """Take in a class: its bases, and its members as soon as they are named."""
        for node in (*statement.bases, *statement.keywords, *statement.decorator_list):
            self.take(module, own, node)
        for member in statement.body:
            names = list(defines(member))
            if any(name.startswith("__") or name in self.named for name in names):
                self.take(module, own, member)
            else:
                for name in names:
                    self.waiting.setdefault(name, []).append((module, own, member))

    def take(self, module, own, node):
        """Take in a piece of code of a module."""
        own.append(text_of(node))
        for part in parts_of(node):
            if isinstance(part, (ast.Name, ast.Attribute)):
                found = self.whose(module, part)
                if found and found[1] is not None:
                    self.define(*found)
            if isinstance(part, ast.Attribute):
                self.name(part.attr)
            elif isinstance(part, ast.Constant):
                self.name(part.value)

    def whose(self, module, node):
        """Return what a name or a chain of attributes stands for in the package, or None."""
        if isinstance(node, ast.Name):
            return self.resolve(module, node.id)
        if isinstance(node, ast.Attribute):
            found = self.whose(module, node.value)
            if found and found[1] is None:
                return self.resolve(found[0], node.attr)
        return None

    def name(self, name):
        """Take in the members of that name, of classes already here and of those to come."""
        self.named.add(name)
        for found in self.waiting.pop(name, []):
            self.take(*found)


def is_setting(value):
    """Return whether a value declares a setting."""
    return (
        isinstance(value, ast.Call)
        and isinstance(value.func, ast.Name)
        and value.func.id in SETTINGS
    )


class _Bare(ast.NodeTransformer):
    """Takes out of a syntax tree what computes nothing, and settings."""

    def visit_Import(self, node):
        return None

    def visit_ImportFrom(self, node):
        return None

    def visit_Raise(self, node):
        return ast.Raise()

    def visit_Expr(self, node):
        return None if isinstance(node.value, ast.Constant) else self.generic_visit(node)

    def visit_AnnAssign(self, node):
        if node.value is None or is_setting(node.value):
            return None
        return ast.Assign([self.visit(node.target)], self.visit(node.value))


@cache
def parts_of(node):
    """Return the names, attributes and texts in a piece of code."""
    return [
        part
        for part in ast.walk(node)
        if isinstance(part, (ast.Name, ast.Attribute))
        or (isinstance(part, ast.Constant) and isinstance(part.value, str))
    ]


@cache
def text_of(node):
    """Return a piece of code as a text that is the same in all versions of Python."""
    return repr(told(node))


def told(node):
    """Return a syntax tree as nested lists."""
    if isinstance(node, ast.AST):
        fields = [(k, v) for k, v in ast.iter_fields(node) if k not in SKIPPED]
        own = [[k, told(v)] for k, v in fields if v is not None and v != []]
        return [type(node).__name__, *own]
    return [told(x) for x in node] if isinstance(node, list) else repr(node)


def reached(root, module, kind):
    """Return the code that decides the results of a class: its bare texts by (module, name)."""
    return {where: sorted(own) for where, own in Reach(root, module, kind).code.items()}


def checksum(module: str, kind: str, root: Path = ROOT) -> str:
    """Return the SHA-256 of all code that decides the results of an experiment's class."""
    code = reached(root, module, kind)
    return hashlib.sha256(repr(sorted((w[1], own) for w, own in code.items())).encode()).hexdigest()
