"""Copies within a root.

Contract: `copy(files, params)` is a generator of steps that returns `Copied`. A directory is packed and unpacked beside its
target and then renamed, so that it is there whole or not at all; a file is replaced atomically. Links stay links, holes holes,
hard links within the tree hard links. Modes (without set-user-id and the like) and
times are kept, owners are not. A directory is not copied into itself.
"""

from __future__ import annotations

import contextlib
import errno
import os
import posixpath
import stat
from collections.abc import Generator

from stead.protocol.errors import SteadError
from stead.toolbox import confine
from stead.toolbox.confine import DIRECTORY, QUIET, Location, Root
from stead.toolbox.files import Files
from stead.toolbox.trees.contract import Copied, Copy, Links
from stead.toolbox.trees.pack import Packer
from stead.toolbox.trees.tar import LEFT_OUT_TOLD
from stead.toolbox.trees.unpack import Unpacker
from stead.toolbox.trees.walk import Choice

_BLOCK = 8 << 20


def copy(files: Files, p: Copy) -> Generator[None, None, Copied]:
    """A file, a link or a directory to a new name."""
    root = files.root
    for path in (p.source, p.target):
        names = root.parts(path)
        if not names or names[-1] == "..":
            raise SteadError("invalid", "the path must name something inside the workspace's root")
    with root.locate(p.source, follow=False) as at, confine.errors(p.source):
        found = os.stat(at.name, dir_fd=at.directory, follow_symlinks=False)
        target = os.readlink(at.name, dir_fd=at.directory) if stat.S_ISLNK(found.st_mode) else ""
    shown = root.relative(p.target)
    if p.parents:
        files.mkdir(posixpath.dirname(shown) or ".", parents=True)
    if stat.S_ISDIR(found.st_mode):
        return (yield from _directory(files, p, found, shown))
    if target:
        return _link(files, p, target, shown)
    if not stat.S_ISREG(found.st_mode):
        raise SteadError("not_file", f"{confine.shown(p.source)}: pipes, sockets and devices are not copied")
    return (yield from _file(files, p, shown))


def _file(files: Files, p: Copy, shown: str) -> Generator[None, None, Copied]:
    descriptor = files.root.open(p.source, os.O_RDONLY | os.O_NOFOLLOW | QUIET)
    try:
        found = confine.regular(descriptor, p.source)
        with files.writer(p.target, mode=found.st_mode & 0o777, exclusive=not p.overwrite) as writer:
            offset = 0
            while offset < found.st_size:
                with confine.errors(p.target):
                    piece = os.pread(descriptor, _BLOCK, offset)
                if not piece:
                    break
                writer.put(offset, piece)
                offset += len(piece)
                yield
            writer.stamp(offset, found.st_mtime_ns)
            writer.commit()
    finally:
        os.close(descriptor)
    return Copied(path=shown, files=1, directories=0, links=0, size=offset)


def _link(files: Files, p: Copy, target: str, shown: str) -> Copied:
    with (
        files.root.locate(p.target, follow=False) as at,
        confine.errors(p.target),
        files.hidden(at.directory) as hidden,
    ):
        os.symlink(target, hidden, dir_fd=at.directory)
        _place(at, hidden, overwrite=p.overwrite)
    return Copied(path=shown, files=0, directories=0, links=1, size=0)


def _place(at: Location, hidden: str, *, overwrite: bool) -> None:
    """Renames what is ready; it is removed when its name is taken."""
    new = Location([os.dup(at.directory)], hidden)
    try:
        with new:
            if overwrite:
                os.rename(hidden, at.name, src_dir_fd=at.directory, dst_dir_fd=at.directory)
            elif not confine.rename_new(new, at):
                os.link(hidden, at.name, src_dir_fd=at.directory, dst_dir_fd=at.directory, follow_symlinks=False)
                os.unlink(hidden, dir_fd=at.directory)
    except OSError:
        os.unlink(hidden, dir_fd=at.directory)
        raise


def _directory(files: Files, p: Copy, found: os.stat_result, shown: str) -> Generator[None, None, Copied]:
    root = files.root
    above = posixpath.dirname(shown) or "."
    _check_apart(root, above, found, p.source)
    with root.locate(p.target, follow=False) as at:
        with confine.errors(p.target):
            if _there(at):
                raise FileExistsError(errno.EEXIST, "there already")
        with files.hidden(at.directory) as hidden:
            staged = f"{above}/{hidden}"
            try:
                with (
                    contextlib.closing(Packer(root, p.source, Choice())) as packer,
                    contextlib.closing(Unpacker(files, staged, links=Links.KEEP)) as unpacker,
                ):
                    while piece := packer.next():
                        unpacker.feed(piece)
                        yield
                    done = unpacker.finish()
                    files.move(staged, p.target)
            finally:
                files.delete(staged, recursive=True)
    return Copied(
        path=shown,
        files=done.files,
        directories=done.directories,
        links=done.links,
        size=done.size,
        left_out=[name.encode(errors="replace").decode() for name in packer.left_out[:LEFT_OUT_TOLD]],
    )


def _there(at: Location) -> bool:
    try:
        os.stat(at.name, dir_fd=at.directory, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return True


def _check_apart(root: Root, above: str, found: os.stat_result, source: str) -> None:
    """The target is not inside of the source."""
    top = os.fstat(root.descriptor)
    descriptor = root.open(above, DIRECTORY)
    try:
        with confine.errors(source):
            while True:
                here = os.fstat(descriptor)
                if os.path.samestat(here, found):
                    raise SteadError("path_invalid", f"{confine.shown(source)}: a directory is not copied into itself")
                if os.path.samestat(here, top):
                    return
                upper = os.open("..", DIRECTORY, dir_fd=descriptor)
                os.close(descriptor)
                descriptor = upper
                if os.path.samestat(os.fstat(descriptor), here):
                    raise SteadError("not_found", f"{confine.shown(source)}: the target was moved away meanwhile")
    finally:
        os.close(descriptor)
