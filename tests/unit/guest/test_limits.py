"""The page of limits tells the numbers that are in force."""

from pathlib import Path

from stead.guest import channel, console, limiter, rpc, server, streams, terminal
from stead.guest.sidecar import commands, history, http
from stead.protocol import guest as wire
from stead.toolbox import confine, contract, execs, files, place
from stead.toolbox.git import contract as git
from stead.toolbox.git import undoing
from stead.toolbox.holding import settings
from stead.toolbox.ignoring import globs
from stead.toolbox.language import contract as language
from stead.toolbox.search import contract as search
from stead.toolbox.search import files as listing
from stead.toolbox.search import indexer, symbols
from stead.toolbox.sessions import contract as sessions
from stead.toolbox.sessions import local as kept
from stead.toolbox.system import contract as system
from stead.toolbox.text import contract as text
from stead.toolbox.transfer import chunks, partial
from stead.toolbox.transfer import contract as transfer
from stead.toolbox.trees import contract as trees
from stead.toolbox.trees import unpack, walk
from stead.toolbox.watch import contract as watch
from stead.toolbox.watch import tree
from stead.transport import peer

PAGE = Path(__file__).parents[3] / "docs" / "workspace-limits.md"

IN_FORCE = {
    "path, name": [confine.PATH_BYTES, confine.NAME_BYTES],
    "links followed in one path": [confine.MAX_LINKS],
    "content of one file call": [contract.CALL_BYTES],
    "entries of one list": [contract.LIST_ENTRIES],
    "depth of one list": [files.LIST_DEPTH],
    "a file that is edited as text": [text.TEXT_BYTES],
    "lines in one answer of text": [text.READ_LINES],
    "edits of one call": [text.EDITS],
    "files of one patch": [text.PATCH_FILES],
    "depth of a tree": [walk.LEVELS],
    "members of one archive": [unpack.ENTRIES],
    "paths of one call about trees": [trees.NAMES],
    "patterns of one choice of a tree": [walk.PATTERNS, walk.PATTERNS_BYTES],
    "a file that goes in chunks": [transfer.LIMIT_BYTES],
    "one chunk, and the wait for the next": [transfer.CHUNK_BYTES, int(transfer.EXPIRY_SECONDS)],
    "transfers in chunks at once": [chunks.TRANSFERS],
    "uploads kept that broke off": [partial.KEPT, int(transfer.PARTIAL_SECONDS)],
    "commits or branches in one answer of git": [git.LOG_COMMITS],
    "files in one answer of git": [contract.LIST_ENTRIES],
    "what one patch has": [contract.CALL_BYTES],
    "reaching another repository": [int(git.FAR_SECONDS)],
    "a git call that may run hooks": [int(git.HOOK_SECONDS)],
    "room for git to move a working tree": [undoing.RESERVE_BYTES],
    "matches of one content search": [search.MOST, search.ANSWER_BYTES],
    "lines before and after a match": [search.CONTEXT],
    "characters shown of a line": [search.LONGEST],
    "places told of one line": [search.SPANS],
    "output of an exec on a full disk": [],
    "globs of a search or a watch": [globs.GLOBS, globs.GLOBS_BYTES],
    "files listed for search by name": [listing.MOST],
    "a search for content, or for what fits some words": [search.QUERY_CHARACTERS],
    "a search for names of files or symbols": [search.NAME_CHARACTERS],
    "parsing one file": [int(symbols.SECONDS), symbols.MEMORY_BYTES],
    "files, symbols, pieces in one answer of a search": [search.MOST_NAMES, search.MOST_SYMBOLS, search.MOST_RANKED],
    "a file in the index": [indexer.FILE_BYTES],
    "all files in the index": [indexer.TOTAL_BYTES],
    "the wait for the index": [int(search.WAIT_SECONDS)],
    "changes that wait for a reader of a watch": [watch.PENDING],
    "depth of what is watched": [tree.DEPTH],
    "language servers at once": [language.Limits().servers],
    "a file that a language server is shown": [language.FILE_BYTES],
    "places or diagnostics in one answer of a language server": [language.RESULTS],
    "lines of a log at once": [system.LOG_LINES, contract.CALL_BYTES],
    "installing or removing packages": [int(system.PACKAGE_SECONDS)],
    "waiting for another program that changes packages": [int(system.PACKAGE_LOCK_SECONDS)],
    "delay of a shutdown": [int(system.DELAY_SECONDS)],
    "execs running at once": [settings.RUNNING],
    "finished execs kept": [settings.KEPT],
    "output of one exec in the foreground ahead of its reader": [settings.LOG_BYTES],
    "output kept of one exec that was read": [settings.LOG_BYTES],
    "output kept of one exec that nobody waits for (background, `exec.run`)": [settings.LOG_BYTES],
    "output kept of all finished execs": [settings.TOTAL_LOG_BYTES],
    "arguments and environment of one exec": [execs.ARGV_BYTES],
    "time limit of one exec": [int(contract.EXEC_TIMEOUT)],
    "grace between TERM and KILL": [int(execs.GRACE)],
    "output in one finished result": [contract.CALL_BYTES, execs.RESULT_BYTES],
    "a foreground exec that nobody attends": [int(settings.DETACH_SECONDS)],
    "streams of one guest at once": [streams.STREAMS],
    "file operations at once": [place.THREADS],
    "one JSON-RPC line": [wire.LINE_BYTES],
    "JSON-RPC requests of one channel at once": [limiter.CONCURRENT],
    "JSON-RPC batch": [rpc.BATCH],
    "one line of a serial line": [wire.LINE_BYTES],
    "lines of one channel that wait for their answers": [channel.LINES],
    "half a line of which nothing comes any more": [int(channel.PATIENCE)],
    "half a message of the framed link": [int(peer.DEFAULT.silence_seconds)],
    "channels of one door at once": [server.CONNECTIONS],
    "commands of one serial line at once": [console.AT_ONCE],
    "a command of a serial line": [int(limiter.DEFAULT.exec_seconds)],
    "keys that wait for a program that reads none": [terminal.TYPED_BYTES],
    "JSON body of one HTTP request": [http.BODY_BYTES],
    "head of one HTTP request": [http.HEADER_BYTES],
    "HTTP connections at once": [http.CONNECTIONS],
    "an HTTP client that asks for nothing, and one that takes or sends nothing": [
        int(http.PATIENT.idle),
        int(http.PATIENT.stalled),
    ],
    "silence on an event stream over HTTP": [int(http.PATIENT.keepalive)],
    "a command over HTTP that names no time limit, in the foreground": [int(commands.SECONDS)],
    "a client of HTTP that sends its next requests before its answer": [http.HEADER_BYTES],
    "output in one answer over HTTP": [commands.TEXT_CHARACTERS],
    "history of what was printed, over HTTP": [history.ENTRIES, history.BYTES],
    "sessions of one workspace": [sessions.SESSIONS],
    "directory and variables kept of a session": [kept.FILE_BYTES],
}


def test_the_page_is_true() -> None:
    rows = [line.split("|")[1:3] for line in PAGE.read_text().splitlines() if line.startswith("| ")][1:]
    told = {
        name.strip(): [int(word) for word in limit.replace(",", "").split() if word.isdigit()] for name, limit in rows
    }
    assert told == IN_FORCE


def test_the_longest_log_is_the_same_on_both_sides() -> None:
    assert settings.LOG_BYTES == contract.EXEC_LOG_BYTES
