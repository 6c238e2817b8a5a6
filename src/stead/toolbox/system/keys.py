"""Public keys that may log in as a user: the file `authorized_keys`.

Contract: what is in the file and is no key that is meant stays byte for byte. The file is replaced whole, with mode 0600 and
its user as owner, in a directory of mode 0700; every step goes by descriptors from the home directory on, and a link in the
place of the directory or the file is refused. A key is compared by its content, so that it is never there twice.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import errno
import fcntl
import hashlib
import os
import pwd
import re
import stat
import struct
from collections.abc import Callable, Iterator
from typing import NamedTuple

from stead.protocol.errors import SteadError
from stead.toolbox.confine import errors
from stead.toolbox.system.contract import AddKey, Key, Keys, OfUser, RemoveKey

FOLDER, FILE = ".ssh", "authorized_keys"
FILE_BYTES = 1 << 20
KEY_BYTES = 16_384
_ECDSA = {f"ecdsa-sha2-nistp{bits}": 1 + 2 * -(-bits // 8) for bits in (256, 384, 521)}
_TYPES = frozenset(
    {"ssh-ed25519", "ssh-rsa", "sk-ssh-ed25519@openssh.com", "sk-ecdsa-sha2-nistp256@openssh.com", *_ECDSA}
)
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_RSA_BITS = 1024
_OPTION = re.compile(r'[A-Za-z0-9@._-]+(?:="(?:[^"\\]|\\.)*")?')


class Person(NamedTuple):
    """Whose file it is."""

    name: str
    home: str
    uid: int
    gid: int


class PublicKey(NamedTuple):
    """One line, read. `blob` is the key itself."""

    options: str
    type: str
    blob: bytes
    comment: str

    @property
    def fingerprint(self) -> str:
        """As `ssh-keygen -l` prints it."""
        return "SHA256:" + base64.b64encode(hashlib.sha256(self.blob).digest()).decode().rstrip("=")


def listed(asked: OfUser) -> Keys:
    """Those in the file; none when there is no file."""
    return of(person(asked.user))


def add(asked: AddKey) -> Keys:
    """At the end."""
    key = wanted(asked.key)
    return changed(person(asked.user), lambda content: _with(content, key, asked.key.strip()))


def remove(asked: RemoveKey) -> Keys:
    """Every line of this key."""
    print_ = asked.key if asked.key.startswith("SHA256:") else wanted(asked.key).fingerprint
    return changed(person(asked.user), lambda content: _without(content, print_), make=False)


def person(user: str) -> Person:
    """An account of this system."""
    try:
        entry = pwd.getpwnam(user) if user else pwd.getpwuid(os.geteuid())
    except (KeyError, ValueError):
        raise SteadError("not_found", f"there is no user {user[:100]!r}", field="user") from None
    return Person(entry.pw_name, entry.pw_dir, entry.pw_uid, entry.pw_gid)


def of(person: Person) -> Keys:
    """What the file says now."""
    with errors(person.home), contextlib.ExitStack() as stack:
        folder = _folder(stack, person, make=False)
        return _told(person, b"" if folder is None else _read(folder))


def changed(person: Person, change: Callable[[bytes], bytes], *, make: bool = True) -> Keys:
    """Reads, changes and replaces the file, one after the other; with `make` its directory is made where it is missing."""
    with errors(person.home), contextlib.ExitStack() as stack:
        folder = _folder(stack, person, make=make)
        if folder is None:
            return _told(person, b"")
        fcntl.flock(folder, fcntl.LOCK_EX)
        before = _read(folder)
        after = change(before)
        if after != before:
            _replace(folder, after, person)
        return _told(person, after, changed=after != before)


def wanted(line: str) -> PublicKey:
    """A line that is to be a key; "invalid" says what is wrong with it."""
    if "\n" in line.strip() or "\r" in line or re.search(r"[\0\ud800-\udfff]", line) or len(line) > KEY_BYTES:
        raise SteadError("invalid", "key: one line is needed, such as that in id_ed25519.pub", field="key")
    key = read(line.strip())
    if key is None:
        raise SteadError("invalid", "key: this is no public key of OpenSSH", field="key")
    return key


def read(line: str) -> PublicKey | None:
    """`[options] type base64 [comment]`; None for what is something else."""
    line = line.strip()
    options = ""
    if line and not line.startswith("#") and line.split(" ", 1)[0] not in _TYPES:
        options, line = _options(line)
        if not options:
            return None
    type_, _, rest = line.partition(" ")
    text, _, comment = rest.strip().partition(" ")
    try:
        blob = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None
    return PublicKey(options, type_, blob, comment.strip()) if type_ in _TYPES and _sound(type_, blob) else None


def _options(line: str) -> tuple[str, str]:
    """The options in front of a key, and what follows them."""
    at = 0
    while found := _OPTION.match(line, at):
        at = found.end()
        if line[at : at + 1] != ",":
            break
        at += 1
    return (line[:at], line[at:].strip()) if at and line[at : at + 1] in {" ", "\t"} else ("", line)


def _sound(type_: str, blob: bytes) -> bool:
    """Whether the content is a key of this type: its parts are there, and nothing else."""
    parts = _parts(blob)
    if not parts or parts[0] != type_.encode():
        return False
    rest = parts[1:]
    if type_ == "ssh-ed25519":
        return [len(part) for part in rest] == [32]
    if type_ == "ssh-rsa":
        return len(rest) == 2 and int.from_bytes(rest[1], "big").bit_length() >= _RSA_BITS
    if type_ in _ECDSA:
        return (
            len(rest) == 2 and rest[0] == type_.removeprefix("ecdsa-sha2-").encode() and len(rest[1]) == _ECDSA[type_]
        )
    return len(rest) == (3 if "ecdsa" in type_ else 2)


def _parts(blob: bytes) -> list[bytes]:
    """Strings with their length in front; none when they do not come out even."""
    found = []
    while blob:
        if len(blob) < 4 or len(blob) - 4 < (size := struct.unpack_from(">I", blob)[0]):
            return []
        found.append(blob[4 : 4 + size])
        blob = blob[4 + size :]
    return found


def _with(content: bytes, key: PublicKey, line: str) -> bytes:
    if any(known.blob == key.blob for known in _keys(content)):
        return content
    joint = b"" if not content or content.endswith(b"\n") else b"\n"
    return content + joint + line.encode() + b"\n"


def _without(content: bytes, fingerprint: str) -> bytes:
    kept = []
    for line in content.splitlines(keepends=True):
        key = read(line.decode(errors="replace"))
        if key is None or key.fingerprint != fingerprint:
            kept.append(line)
    return b"".join(kept)


def _keys(content: bytes) -> Iterator[PublicKey]:
    for line in content.splitlines():
        if key := read(line.decode(errors="replace")):
            yield key


def _told(person: Person, content: bytes, *, changed: bool = False) -> Keys:
    lines = [line for line in content.splitlines() if line.strip() and not line.lstrip().startswith(b"#")]
    keys = [
        Key(type=key.type, fingerprint=key.fingerprint, comment=key.comment, options=key.options)
        for key in _keys(content)
    ]
    return Keys(user=person.name, keys=keys, changed=changed, other_lines=len(lines) - len(keys))


def _folder(stack: contextlib.ExitStack, person: Person, *, make: bool) -> int | None:
    """A descriptor of `.ssh`, which is the user's own and nobody else's."""
    home = os.open(person.home, _DIRECTORY)
    stack.callback(os.close, home)
    if make:
        with contextlib.suppress(FileExistsError):
            os.mkdir(FOLDER, 0o700, dir_fd=home)
            os.chown(FOLDER, person.uid, person.gid, dir_fd=home, follow_symlinks=False)
    try:
        folder = os.open(FOLDER, _DIRECTORY | os.O_NOFOLLOW, dir_fd=home)
    except FileNotFoundError:
        return None
    except OSError as error:
        if error.errno in {errno.ELOOP, errno.ENOTDIR}:
            raise SteadError("conflict", f"{FOLDER} of {person.name} is no directory of its own") from error
        raise
    stack.callback(os.close, folder)
    if os.fstat(folder).st_uid not in {person.uid, 0}:
        raise SteadError("conflict", f"{FOLDER} of {person.name} belongs to somebody else")
    if make and stat.S_IMODE(os.fstat(folder).st_mode) != 0o700:
        os.fchmod(folder, 0o700)
    return folder


def _read(folder: int) -> bytes:
    try:
        descriptor = os.open(FILE, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
    except FileNotFoundError:
        return b""
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise SteadError("conflict", f"{FILE} is a link") from error
        raise
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode) or found.st_size > FILE_BYTES:
            raise SteadError("conflict", f"{FILE} is no file of at most {FILE_BYTES} bytes")
        with os.fdopen(os.dup(descriptor), "rb") as file:
            return file.read(FILE_BYTES)
    finally:
        os.close(descriptor)


def _replace(folder: int, content: bytes, person: Person) -> None:
    name = f".{FILE}.{os.urandom(6).hex()}"
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(name, flags, 0o600, dir_fd=folder)
    try:
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(descriptor, 0o600)
            if os.fstat(descriptor).st_uid != person.uid:
                os.fchown(descriptor, person.uid, person.gid)
            file.write(content)
            file.flush()
            os.fsync(descriptor)
        os.rename(name, FILE, src_dir_fd=folder, dst_dir_fd=folder)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(name, dir_fd=folder)
        raise
