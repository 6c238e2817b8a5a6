"""Which server is for which file, where its project begins, and where its program is found.

Contract: `language_of(path)`, `project_of(root, path, language)` (relative to the workspace) and `find(place, project,
language, everything=...)`, the first server that is there, or "lsp_not_found". A program is looked for in the workspace's
`PATH`, then in `node_modules/.bin` and `.venv/bin` of the project and of the workspace, then beside our own interpreter.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from stead.protocol.errors import SteadError
from stead.toolbox.confine import QUIET, Root, shown
from stead.toolbox.place import Place

_LOOK = getattr(os, "O_PATH", os.O_RDONLY | QUIET) | os.O_CLOEXEC


class Kind(NamedTuple):
    """A server that we know. `quiet`: how long after diagnostics no others follow, where it cannot be asked for them.
    `checks_only`: it has nothing but diagnostics. `characters`: it counts them without saying so. `bare`: it tells nothing of a
    file whose address has escapes. `install`: what brings it."""

    program: str
    arguments: tuple[str, ...]
    install: str
    quiet: float = 0.5
    checks_only: bool = False
    characters: bool = False
    bare: bool = False


class Language(NamedTuple):
    """A language: its servers, the best first, and what a project of it has."""

    name: str
    servers: tuple[Kind, ...]
    marks: tuple[str, ...]


PYTHON = Language(
    "Python",
    (
        Kind("basedpyright-langserver", ("--stdio",), "pip install basedpyright"),
        Kind("pyright-langserver", ("--stdio",), "npm install pyright"),
        Kind("pylsp", (), "pip install 'python-lsp-server[pyflakes]'", quiet=1.5, characters=True),
        Kind("jedi-language-server", (), "pip install jedi-language-server", quiet=0.2, bare=True),
        Kind("ruff", ("server",), "pip install ruff", checks_only=True),
    ),
    ("pyproject.toml", "setup.py", "setup.cfg", "package.json", ".git"),
)
TYPESCRIPT = Language(
    "TypeScript and JavaScript",
    (
        Kind("tsc", ("--lsp", "--stdio"), "npm install typescript@7"),
        Kind(
            "typescript-language-server", ("--stdio",), "npm install typescript-language-server typescript@5", quiet=2.0
        ),
        Kind("vtsls", ("--stdio",), "npm install @vtsls/language-server", quiet=2.0),
    ),
    ("tsconfig.json", "jsconfig.json", "package.json", "pyproject.toml", ".git"),
)
_SUFFIXES = {
    ".py": (PYTHON, "python"),
    ".pyi": (PYTHON, "python"),
    ".ts": (TYPESCRIPT, "typescript"),
    ".mts": (TYPESCRIPT, "typescript"),
    ".cts": (TYPESCRIPT, "typescript"),
    ".tsx": (TYPESCRIPT, "typescriptreact"),
    ".js": (TYPESCRIPT, "javascript"),
    ".mjs": (TYPESCRIPT, "javascript"),
    ".cjs": (TYPESCRIPT, "javascript"),
    ".jsx": (TYPESCRIPT, "javascriptreact"),
}


class Program(NamedTuple):
    """A server that was found: its argument vector, and what it needs in its environment."""

    kind: Kind
    argv: list[str]
    environment: dict[str, str]


def language_of(path: str) -> tuple[Language, str]:
    """The language of a file, and its name in the protocol."""
    found = _SUFFIXES.get(Path(path).suffix.lower())
    if found is None:
        known = " ".join(_SUFFIXES)
        raise SteadError("lsp_not_found", f"{shown(path)}: no language server is known for this; for {known} there are")
    return found


def project_of(root: Root, path: str, language: Language) -> str:
    """The nearest directory above a file that is a project, or the workspace itself."""
    for directory in _above(path):
        if any(_exists(root, f"{directory}/{mark}") for mark in language.marks):
            return directory
    return "."


def find(place: Place, project: str, language: Language, *, everything: bool) -> Program:
    """The first server that is there; `everything`: more than diagnostics is wanted."""
    folders = list(_folders(place, project))
    for kind in language.servers:
        if everything and kind.checks_only:
            continue
        for folder in folders:
            program = shutil.which(kind.program, path=folder)
            if program is not None and _serves(kind, program):
                return Program(kind, [program, *kind.arguments], _environment(place, project, folders))
    choices = " or ".join(f"`{kind.install}`" for kind in language.servers if not (everything and kind.checks_only))
    raise SteadError("lsp_not_found", f"no language server for {language.name} is installed: {choices}")


def _above(path: str) -> Iterator[str]:
    """The directories of a relative path, the nearest first."""
    directory = os.path.dirname(path)  # noqa: PTH120
    while directory:
        yield directory
        directory = os.path.dirname(directory)  # noqa: PTH120
    yield "."


def _exists(root: Root, path: str) -> bool:
    try:
        os.close(root.open(path, _LOOK))
    except SteadError:
        return False
    return True


def _folders(place: Place, project: str) -> Iterator[str]:
    yield from place.programs.environment.get("PATH", os.defpath).split(os.pathsep)
    yield from _own(place, project)
    yield str(Path(sys.executable).parent)


def _own(place: Place, project: str) -> Iterator[str]:
    """Where the project and the workspace keep programs."""
    for base in dict.fromkeys((project, ".")):
        for folder in ("node_modules/.bin", ".venv/bin"):
            if _exists(place.root, f"{base}/{folder}"):
                yield os.path.normpath(f"{place.root.path}/{base}/{folder}")


def _environment(place: Place, project: str, folders: list[str]) -> dict[str, str]:
    """The project's own programs come first; its virtual environment is where Python servers look for packages."""
    own = list(_own(place, project))
    environment = {"PATH": os.pathsep.join(dict.fromkeys([*own, *folders]))}
    for folder in own:
        if folder.endswith("/.venv/bin"):
            return environment | {"VIRTUAL_ENV": os.path.dirname(folder)}  # noqa: PTH120
    return environment


def _serves(kind: Kind, program: str) -> bool:
    """Whether this one is a server: TypeScript is from its version 7 on, which has no `tsserver` any more."""
    if kind.program != "tsc":
        return True
    return not Path(os.path.realpath(program)).parent.parent.joinpath("lib/tsserver.js").exists()
