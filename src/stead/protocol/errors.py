"""The one table of errors: code, HTTP status, what to do.

Contract: raise `SteadError(code, message)`; every code is a row of `TABLE`, and `BY_STATUS` has one for a bare status. `Fault`
is what crosses a wire or an API: `{code, message, hint, details}`. `docs/errors.md` is generated from the table.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec


class Row(NamedTuple):
    """One kind of error: its HTTP status, whether trying again unchanged can help, and what a person can do."""

    status: int
    retry: bool
    hint: str


TABLE: dict[str, Row] = {
    # the caller's mistake
    "invalid": Row(400, False, "Correct the request; the message names the field."),
    "malformed": Row(400, False, "Send well-formed JSON of the documented shape."),
    "unauthenticated": Row(401, False, "Log in with `stead login`, or send a valid token."),
    "forbidden": Row(403, False, "Ask an administrator for the right, or use another token."),
    "origin_refused": Row(403, False, "Open the page from an address the server allows (setting `allowed_origins`)."),
    "not_found": Row(404, False, "Check the name or id; list what exists."),
    "method_not_found": Row(404, False, "Use a method the other side knows; compare versions."),
    "method_not_allowed": Row(405, False, "Use a method that this address knows; the API description lists them."),
    "conflict": Row(409, False, "Read the present state and decide again."),
    "in_progress": Row(409, True, "The same request is still running; ask again shortly."),
    "ambiguous": Row(409, False, "Give more of the id, or the whole name."),
    "precondition_failed": Row(412, False, "Somebody changed it since; read it again and repeat the change."),
    "too_large": Row(413, False, "Send less at once; large content goes through the streaming calls."),
    "range_unsatisfiable": Row(416, False, "Ask for a part that there is."),
    "key_reused": Row(422, False, "Use a new Idempotency-Key for a different request."),
    "headers_too_large": Row(431, False, "Send fewer or shorter headers."),
    "rate_limited": Row(429, True, "Wait a moment, then send fewer requests."),
    "too_many": Row(429, True, "Wait until something ends, or raise the limit named in the message."),
    # refused by policy
    "refused": Row(403, False, "The policy of this workspace or node does not allow it."),
    "isolation_unavailable": Row(409, False, "Choose a node that can give this isolation, or ask for less."),
    "no_node": Row(409, True, "Add or free a node that fits; the message says what was missing on each."),
    "approval_needed": Row(403, True, "An administrator must approve the node first: `stead node approve`."),
    # the far side
    "node_unreachable": Row(503, True, "The node is offline; the request can be repeated when it is back."),
    "workspace_unreachable": Row(503, True, "The workspace does not answer; `stead ws show` tells its state."),
    "workspace_not_running": Row(409, False, "Start it first: `stead ws start`."),
    "stream_unknown": Row(404, False, "The stream ended or was forgotten; open a new one or attach again."),
    "stream_reset": Row(409, False, "The other side ended the stream; the message says why."),
    "exec_unknown": Row(404, False, "No such exec in this workspace; `stead logs` lists those kept."),
    "timeout": Row(504, True, "It took longer than the limit; allow more time or look at what hangs."),
    "cancelled": Row(409, False, "It was cancelled; nothing more happens."),
    "expired": Row(410, False, "The deadline passed before it could be done; ask again."),
    "outcome_unknown": Row(500, False, "A crash hid whether it happened; look before repeating it."),
    "version_unsupported": Row(426, False, "Upgrade the older side; both versions are in the message."),
    "draining": Row(503, True, "It is shutting down or being drained; try again shortly."),
    # files
    "path_invalid": Row(400, False, "Give a path without NUL bytes, at most 4096 bytes, names at most 255."),
    "path_outside": Row(403, False, "The path leads out of the workspace; use one inside it."),
    "is_directory": Row(409, False, "It is a directory; use the calls for directories."),
    "not_directory": Row(409, False, "Part of the path is not a directory."),
    "not_file": Row(409, False, "It is not a regular file."),
    "already_exists": Row(409, False, "It exists already; choose another name or allow overwriting."),
    "not_empty": Row(409, False, "The directory is not empty; delete recursively if that is meant."),
    "permission_denied": Row(403, False, "The workspace's user may not do this to that file."),
    "not_text": Row(409, False, "The file is not valid text in this encoding; read it as bytes."),
    "text_not_found": Row(409, False, "Read the file again and give the text as it stands there."),
    "text_not_unique": Row(409, False, "Give more of the text around the place, or replace every one."),
    "empty_old_string": Row(400, False, "Say which text is to be replaced; write the whole file to begin one."),
    "identical_strings": Row(400, False, "Give a new text that differs from the old one."),
    "patch_rejected": Row(409, False, "Read the file again and make the diff anew; the details name file and hunk."),
    "disk_full": Row(507, True, "Free space on the machine and try again."),
    # programs of the workspace
    "program_missing": Row(424, False, "Install the program in the workspace, or use an image that has it."),
    "program_failed": Row(422, False, "The program ended with an error; the message has its own words."),
    "unsupported": Row(501, False, "This system has no such thing; the message says what is missing."),
    # language servers
    "lsp_not_found": Row(424, False, "Install a language server in the workspace; the message says which there are."),
    "lsp_failed": Row(502, True, "Ask again: it is started anew. If that stays so, look at what it says."),
    # git
    "ref_unknown": Row(404, False, "No such branch or commit; list the branches, or fetch first."),
    "nothing_to_commit": Row(409, False, "Nothing is staged; change something, or commit with `all` or `paths`."),
    "push_rejected": Row(409, False, "Pull what the remote has and push again, or read what its hook says."),
    "auth_failed": Row(424, False, "The other repository wants a valid credential; give one that may do this."),
    "no_repository": Row(409, False, "Name a directory inside a git repository of the workspace, or clone one."),
    # ours
    "database_unavailable": Row(503, True, "The database does not answer; it is tried again by itself."),
    "driver_failed": Row(502, True, "The driver could not do it; the message and `stead doctor` say why."),
    "unavailable": Row(503, True, "Try again shortly."),
    "internal": Row(500, False, "This is a bug; the server's log has the details under the request id."),
}

BY_STATUS: dict[int, str] = {
    400: "invalid",
    401: "unauthenticated",
    403: "forbidden",
    404: "not_found",
    405: "method_not_allowed",
    409: "conflict",
    412: "precondition_failed",
    413: "too_large",
    415: "invalid",
    426: "version_unsupported",
    429: "rate_limited",
    502: "unavailable",
    503: "unavailable",
    504: "timeout",
}
"""What a status of HTTP says where no error of ours comes with it, as from a proxy."""


class Fault(msgspec.Struct, frozen=True, omit_defaults=True):
    """An error as it crosses a wire or the API."""

    code: str
    message: str
    hint: str = ""
    details: dict[str, Any] = {}


class SteadError(Exception):
    """An error with a code of the table; the only kind that crosses between our parts."""

    def __init__(self, code: str, message: str, **details: Any) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.details = details

    @property
    def row(self) -> Row:
        """The row of the table; a code from a newer peer is treated as `internal`."""
        return TABLE.get(self.code, TABLE["internal"])

    @property
    def retry(self) -> bool:
        return self.row.retry

    def fault(self) -> Fault:
        return Fault(code=self.code, message=self.message, hint=self.row.hint, details=self.details)

    @classmethod
    def of(cls, fault: Fault) -> SteadError:
        """The error that crossed; its details may be called anything."""
        error = cls(fault.code, fault.message)
        error.details = fault.details
        return error
