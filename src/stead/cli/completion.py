"""`stead completion bash|zsh|fish`: words, verbs and options, and the names of workspaces and nodes as they are now."""

from __future__ import annotations

import argparse

from stead.cli.context import Context
from stead.cli.entry import WORDS, Word, load, parser_for
from stead.cli.words import Namespace, Parser, Verb


def completion(context: Context, arguments: Namespace) -> None:
    """Prints the script; `source <(stead completion bash)` uses it."""
    context.out.line({"bash": bash, "zsh": zsh, "fish": fish}[arguments.shell]().rstrip("\n"))


def tree() -> dict[str, dict[str, list[str]]]:
    """Every word, its verbs ("" where it has none), and their options."""
    return {name: _verbs(name, word) for words in WORDS.values() for name, word in words.items()}


def bash() -> str:
    """A function that looks the words typed so far up in a table."""
    lines = [
        "# bash completion of stead: source <(stead completion bash)",
        "_stead() {",
        '  local cur="${COMP_WORDS[COMP_CWORD]}"',
    ]
    lines += ['  local key="${COMP_WORDS[1]} ${COMP_WORDS[2]}"', '  if [ "$COMP_CWORD" = 1 ]; then']
    lines += [f'    COMPREPLY=($(compgen -W "{" ".join(tree())}" -- "$cur")); return', "  fi", '  case "$key" in']
    for name, verbs in tree().items():
        for verb, options in verbs.items():
            if verb:
                lines.append(f'    "{name} {verb}") words="{" ".join(options)}" ;;')
    lines += ["    *)", '      case "${COMP_WORDS[1]}" in']
    for name, verbs in tree().items():
        words = verbs[""] if "" in verbs else list(verbs)
        lines.append(f'        {name}) words="{" ".join(words)}" ;;')
    lines += [
        '        *) words="" ;;',
        "      esac ;;",
        "  esac",
        _BASH_NAMES,
        "}",
        "complete -o default -F _stead stead",
    ]
    return "\n".join(lines) + "\n"


def zsh() -> str:
    """zsh runs the bash script."""
    return (
        "#compdef stead\n# zsh completion of stead: source <(stead completion zsh)\n"
        "autoload -U +X bashcompinit && bashcompinit\n" + bash()
    )


def fish() -> str:
    """One line for every word, verb and option."""
    lines = ["# fish completion of stead: stead completion fish | source", "complete -c stead -f"]
    for words in WORDS.values():
        lines += [
            f"complete -c stead -n __fish_use_subcommand -a {name} -d {_quoted(word.help)}"
            for name, word in words.items()
        ]
    for name, verbs in tree().items():
        for verb, options in verbs.items():
            seen = f"__fish_seen_subcommand_from {name}"
            if verb:
                lines.append(f"complete -c stead -n '{seen}' -a {verb}")
                seen += f"; and __fish_seen_subcommand_from {verb}"
            lines += [f"complete -c stead -n '{seen}' -l {option[2:]}" for option in options if option.startswith("--")]
    return "\n".join(lines) + "\n"


def _verbs(name: str, word: Word) -> dict[str, list[str]]:
    verbs = load(word)
    if word.verb:
        return {"": _options(name, verbs[word.verb])}
    return {key: _options(f"{name} {key}", verb) for key, verb in verbs.items()}


def _options(name: str, verb: Verb) -> list[str]:
    parser = parser_for(name, verb)
    actions: list[argparse.Action] = parser._actions  # noqa: SLF001
    return sorted({text for action in actions for text in action.option_strings if text.startswith("--")})


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "\\'") + "'"


def _arguments(parser: Parser) -> None:
    parser.add_argument("shell", choices=["bash", "zsh", "fish"])


_BASH_NAMES = """  local named="^(ws (show|start|stop|restart|rm|events|label|rename)|exec|logs|execs|kill|shells|files"
  named+="|ps|system|search|watch|toolbox|selfcheck) "
  if [[ "$cur" != -* && "$key " =~ $named ]]; then
    words="$words $(stead ws ls 2>/dev/null | awk 'NR > 1 {print $1}')"
  fi
  COMPREPLY=($(compgen -W "$words" -- "$cur"))"""

VERBS = {"completion": Verb("print the completion of a shell", plain=completion, arguments=_arguments)}
