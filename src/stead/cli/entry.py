"""`stead`: finds the word, loads the one file that serves it, runs it, and turns what went wrong into words.

Contract: `main(argv) -> exit code`. 0 done, 1 a `SteadError`, 2 wrong usage, 130 interrupted, 141 the reader of stdout went
away; `exec` and its kin answer the remote exit code, and 125 for failures of Stead itself. `stead --help` loads nothing.
"""

from __future__ import annotations

import os
import sys

from stead.cli import kept

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from stead.cli.context import Context
    from stead.cli.words import Namespace, Parser, Verb
    from stead.protocol.errors import Fault, SteadError

FAILED, USAGE, OURS, INTERRUPTED, NO_READER = 1, 2, 125, 130, 141


class Word:
    """A first word: the module that serves it, and its verb there ("" for a noun with verbs of its own)."""

    __slots__ = ("help", "module", "verb")

    def __init__(self, module: str, verb: str, help: str) -> None:
        self.module = module
        self.verb = verb
        self.help = help


WORDS: dict[str, dict[str, Word]] = {
    "Run Stead": {
        "up": Word("server", "up", "control plane, node and web app on this machine"),
        "serve": Word("server", "serve", "the control plane alone"),
        "node": Word("nodes", "", "join, run and look after machines"),
        "guest": Word("guests", "", "serve a toolbox from this machine, or talk to a machine's guest"),
        "doctor": Word("doctor", "doctor", "what this machine can give, and how to get what is missing"),
        "status": Word("server", "status", "is the control plane there, and how is it"),
        "backup": Word("server", "backup", "write the database to a file"),
        "restore": Word("server", "restore", "put a backup back"),
    },
    "Work in workspaces": {
        "ws": Word("workspaces", "", "make, list, start, stop and remove workspaces"),
        "exec": Word("exec", "exec", "run a command in a workspace"),
        "logs": Word("exec", "logs", "the output of an exec"),
        "execs": Word("exec", "execs", "the execs of a workspace"),
        "kill": Word("exec", "kill", "send a signal to an exec"),
        "shells": Word("exec", "shells", "the shell sessions of a workspace"),
        "files": Word("files", "", "read, write and list files in a workspace"),
        "cp": Word("copying", "cp", "copy files and directories into, out of and between workspaces"),
        "sync": Word("syncing", "sync", "make a directory the same as another; only differences travel"),
        "ps": Word("system", "ps", "what runs in a workspace"),
        "system": Word("system", "system", "the system of a workspace: kernel, memory, network, disks, logs"),
        "search": Word("finding", "search", "search in content, names, symbols, or for what fits best"),
        "watch": Word("finding", "watch", "print every change of files"),
        "toolbox": Word("toolbox", "toolbox", "anything else: git, services, packages, keys, text, ..."),
    },
    "People and credentials": {
        "login": Word("login", "login", "log in with a login code or a token"),
        "logout": Word("login", "logout", "forget the saved login"),
        "whoami": Word("login", "whoami", "who this command line is"),
        "user": Word("users", "", "the people of this control plane"),
        "token": Word("tokens", "", "API tokens"),
        "session": Word("sessions", "", "browser sessions"),
    },
    "Look closer": {
        "events": Word("events", "events", "what happened, also live"),
        "audit": Word("audit", "audit", "who did what"),
        "command": Word("commands", "", "the durable orders to nodes"),
        "selfcheck": Word("selfcheck", "selfcheck", "try everything a workspace promises"),
        "mock-control": Word("mock", "mock", "a small control plane to drive by typing"),
        "completion": Word("completion", "completion", "shell completion"),
    },
}


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one invocation; never raises for what a person can cause."""
    words = list(sys.argv[1:] if argv is None else argv)
    try:
        code = kept.run(words)
        if code is not None:
            return code
        code = _dispatch(words)
        sys.stdout.flush()
    except BrokenPipeError:
        _silence_stdout()
        return NO_READER
    except KeyboardInterrupt:
        return INTERRUPTED
    return code


def find_word(name: str) -> Word | None:
    return next((group[name] for group in WORDS.values() if name in group), None)


def load(word: Word) -> dict[str, Verb]:
    """The verbs of the module that serves this word."""
    from importlib import import_module

    verbs: dict[str, Verb] = import_module(f"stead.cli.{word.module}").VERBS
    return verbs


def top_help() -> str:
    """The first page, from the table alone."""
    lines = [
        "usage: stead WORD ...",
        "",
        "One control plane for workspaces in which coding agents and people work.",
        "",
    ]
    for group, words in WORDS.items():
        lines += [f"{group}:", *(f"  {name:<13} {word.help}" for name, word in words.items()), ""]
    return "\n".join([*lines, "`stead WORD --help` tells more. `--json` prints JSON everywhere.", ""])


def parser_for(name: str, verb: Verb) -> Parser:
    """The parser of one verb with the options that all have."""
    from argparse import RawDescriptionHelpFormatter

    from stead.cli.words import Parser

    parser = Parser(
        prog=f"stead {name}",
        description=f"{verb.help[0].upper()}{verb.help[1:]}.",
        epilog=verb.details or None,
        formatter_class=RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    verb.arguments(parser)
    _add_common(parser, alone=verb.alone)
    return parser


def _add_common(parser: Parser, *, alone: bool) -> None:
    group = parser.add_argument_group("output" if alone else "connection and output")
    if alone:
        parser.set_defaults(url="", data="")
    else:
        group.add_argument("--url", default="", help="the control plane (STEAD_URL)")
        group.add_argument("--token-file", default="", metavar="FILE", help="a file with the API token (STEAD_TOKEN)")
        group.add_argument(
            "--data", default="", metavar="DIR", help="the data directory of a local server (STEAD_DATA)"
        )
    group.add_argument("--json", action="store_true", help="print JSON")


def parse(name: str, verb: Verb, words: list[str]) -> Namespace:
    """The arguments; what follows `--` stays as it is for verbs that pass it on. Exits as argparse does."""
    rest: list[str] = []
    if verb.raw:
        words, rest = [], words
    if verb.rest and "--" in words:
        at = words.index("--")
        words, rest = words[:at], words[at + 1 :]
    parser = parser_for(name, verb)
    arguments, unknown = parser.parse_known_args(words)
    if unknown:
        advice = "; put -- before the command" if verb.rest else ""
        parser.error(f"unrecognized arguments: {' '.join(unknown)}{advice}")
    arguments.rest = rest
    return arguments


def _dispatch(words: list[str]) -> int:
    if not words or words[0] in {"-h", "--help", "help"}:
        sys.stdout.write(top_help())
        return 0
    if words[0] in {"-V", "--version", "version"}:
        from stead import __version__

        sys.stdout.write(f"stead {__version__}\n")
        return 0
    word = find_word(words[0])
    if word is None:
        return _usage(f"there is no word {words[0]!r}", words[0], [name for group in WORDS.values() for name in group])
    verbs = load(word)
    if word.verb:
        return _run(words[0], verbs[word.verb], words[1:])
    return _noun(words[0], word, verbs, words[1:])


def _noun(name: str, word: Word, verbs: dict[str, Verb], rest: list[str]) -> int:
    if not rest or rest[0] in {"-h", "--help"}:
        lines = [f"usage: stead {name} VERB ...", "", f"{word.help[0].upper()}{word.help[1:]}.", ""]
        lines += [f"  {key:<10} {verb.help}" for key, verb in verbs.items()]
        sys.stdout.write("\n".join([*lines, ""]))
        return 0 if rest else USAGE
    if rest[0] not in verbs:
        return _usage(f"stead {name} has no verb {rest[0]!r}", rest[0], list(verbs), f"stead {name}")
    return _run(f"{name} {rest[0]}", verbs[rest[0]], rest[1:])


def _run(name: str, verb: Verb, rest: list[str]) -> int:
    from stead.protocol.errors import SteadError

    try:
        arguments = parse(name, verb, rest)
    except SystemExit as ended:
        return (OURS if verb.own_codes else USAGE) if ended.code else 0
    from stead.cli.context import Context

    data, token_file = arguments.data, arguments.token_file
    context = Context(url=arguments.url, data=data, token_file=token_file, json=arguments.json)
    try:
        return _call(verb, context, arguments) or 0
    except SteadError as error:
        report(context, error)
        return OURS if verb.own_codes else FAILED
    except BrokenPipeError:
        raise
    except UnicodeEncodeError:
        report(context, SteadError("invalid", "what goes into a workspace is UTF-8: names, arguments and variables"))
        return OURS if verb.own_codes else FAILED
    except OSError as error:
        _report_here(context, error)
        return OURS if verb.own_codes else FAILED


def _call(verb: Verb, context: Context, arguments: Namespace) -> int | None:
    if verb.plain is not None:
        return verb.plain(context, arguments)
    import anyio

    assert verb.run is not None
    try:
        return anyio.run(verb.run, context, arguments)
    except BaseExceptionGroup as group:
        raise _first(group) from None


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """What went wrong first, out of the tasks that ended because of it."""
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def report(context: Context, error: SteadError) -> None:
    """What went wrong and what can be done, on stderr."""
    if context.out.json:
        _report_json(error.fault())
        return
    context.out.note(f"stead: {error.message}")
    if error.row.hint:
        context.out.note(f"  {error.row.hint}")
    if error.code in {"unavailable", "unauthenticated"} and context.unknown:
        context.out.note("  No control plane is known here: `stead up` runs one, `stead login` remembers another.")
    if request_id := error.details.get("request_id"):
        context.out.note(f"  request {request_id}")


def _report_here(context: Context, error: OSError) -> None:
    """What this machine refused; the hints of the table are about workspaces."""
    import errno

    from stead.protocol.errors import Fault, SteadError

    said = f"{error.filename}: {error.strerror}" if error.filename and error.strerror else str(error)
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        report(context, SteadError("disk_full", said))
    elif context.out.json:
        codes = {errno.ENOENT: "not_found", errno.EISDIR: "is_directory", errno.ENOTDIR: "not_directory"}
        codes |= {errno.EACCES: "permission_denied", errno.EPERM: "permission_denied", errno.EEXIST: "already_exists"}
        _report_json(Fault(code=codes.get(error.errno or 0, "internal"), message=said))
    else:
        context.out.note(f"stead: {said}")


def _report_json(fault: Fault) -> None:
    import msgspec

    sys.stderr.write(msgspec.json.encode({"error": fault}).decode() + "\n")


def _usage(problem: str, given: str, known: list[str], word: str = "stead") -> int:
    from difflib import get_close_matches

    near = get_close_matches(given, known, n=1)
    sys.stderr.write(f"stead: {problem}{f'; did you mean {near[0]!r}?' if near else ''} (`{word} --help` lists them)\n")
    return USAGE


def _silence_stdout() -> None:
    """So that the interpreter does not complain when it flushes at its end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


if __name__ == "__main__":
    sys.exit(main())
