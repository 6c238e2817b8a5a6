"""What went wrong, by what git said: the code, and its words without secrets."""

from __future__ import annotations

import base64
import re
from collections.abc import Sequence
from urllib.parse import quote

from stead.protocol.errors import SteadError
from stead.toolbox.git.contract import Credential
from stead.toolbox.programs import Finished

_SAYS: dict[str, tuple[str, ...]] = {
    "no_repository": ("not a git repository", "must be run in a work tree"),
    "permission_denied": ("detected dubious ownership",),
    "refused": ("transport '.*' not allowed",),
    "auth_failed": (
        *("Authentication failed", r"could not read (Username|Password)", r"Permission denied \(", "Access denied"),
        *(r"returned error: 40[13]", "terminal prompts disabled"),
    ),
    "unavailable": (
        *("Could not resolve host", "Failed to connect", r"Connection (refused|timed out|reset)", "Couldn't connect"),
        *("unable to connect", r"returned error: 5\d\d", "Empty reply from server", "Network is unreachable"),
    ),
    "not_found": (
        *("repository '.*' not found", "does not appear to be a git repository", "No such remote"),
        *("returned error: 404", "repository .* does not exist", "did not match any file", "is not a working tree"),
    ),
    "ref_unknown": (
        *("Remote branch .* not found", "couldn't find remote ref", "unknown revision", "bad revision"),
        *("Needed a single revision", "invalid reference", "not a valid object name", "src refspec .* does not match"),
        *("branch '.*' not found", "ambiguous argument", "a branch is expected"),
    ),
    "already_exists": ("already exists",),
    "conflict": (
        *("would be overwritten", "Not possible to fast-forward", "[Nn]ot fully merged", "unmerged", "needs merge"),
        *("checked out at", "is already used by worktree", "contains modified or untracked", "is a main working tree"),
        *("You have not concluded your merge", r"\.lock': File exists", "locked working tree", "annot delete branch"),
        *("ould not lock config file .*: File exists", "cannot lock ref"),
        *("commit your changes or stash them", "need to resolve your current index", "iverging branches"),
    ),
    "invalid": ("Please tell me who you are", "empty ident name", "unable to auto-detect email", "no email was given"),
}
_FULL = re.compile(
    r"^(?!remote: ).*(No space left on device|Disk quota exceeded|Out of diskspace|couldn't write '"
    r"|unable to write (file|new.index file)|disk is not full|failed to write new config)",
    re.MULTILINE,
)
"""Not what another machine says of itself. Git does not always say why it could not write."""
_KNOWN = [(re.compile("|".join(says)), code) for code, says in _SAYS.items()]
_USER_IN_URL = re.compile(r"([a-z][a-z0-9+.-]*://)[^/\s@'\"]*@", re.IGNORECASE)


def failure(command: str, done: Finished, credential: Credential | None = None) -> SteadError:
    """The error for a git that ended badly."""
    words = scrubbed(done.complaint, credential)
    known = (code for pattern, code in _KNOWN if pattern.search(words))
    code = "disk_full" if is_full(words) else next(known, "program_failed")
    if code == "invalid":
        return SteadError(code, "nobody is known as the author: give `author`, or set one (git.config)", field="author")
    return SteadError(code, f"git {command}: {words}", exit_code=done.code)


def is_full(words: str) -> bool:
    """Whether it had no room to write."""
    return _FULL.search(words) is not None


def scrubbed(words: str, credential: Credential | None = None) -> str:
    """Without names and passwords in URLs, and without the credential in any of the forms it goes out in."""
    words = _USER_IN_URL.sub(r"\1", words)
    for secret in _forms(credential) if credential else ():
        words = words.replace(secret, "***")
    return words


def _forms(credential: Credential) -> Sequence[str]:
    both = base64.b64encode(f"{credential.username}:{credential.password}".encode()).decode()
    return [both, credential.password, quote(credential.password, safe="")]
