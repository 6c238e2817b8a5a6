"""The tar format: what we write others read, what others write we read, and what is hostile is refused."""

import io
import os
import random
import shutil
import subprocess
import tarfile
from pathlib import Path

import pytest

from stead.protocol.errors import SteadError
from stead.toolbox.confine import Root
from stead.toolbox.files import Files
from stead.toolbox.trees import tar
from stead.toolbox.trees.contract import Links
from stead.toolbox.trees.pack import Packer
from stead.toolbox.trees.unpack import SKIPPED_TOLD, Unpacker
from stead.toolbox.trees.walk import Choice

Facts = dict[str, tuple[object, ...]]


def _gnu() -> bool:
    program = shutil.which("tar")
    return (
        program is not None
        and b"GNU" in subprocess.run([program, "--version"], capture_output=True, check=False).stdout
    )


with_gnu_tar = pytest.mark.skipif(not _gnu(), reason="GNU tar is not installed")


def tree(place: Path) -> Path:
    """One of everything."""
    top = place / "tree"
    (top / "sub" / "empty").mkdir(parents=True)
    (top / "sub" / "file").write_bytes(b"content\n")
    (top / "sub" / "file").chmod(0o751)
    (top / "zero").touch()
    long = top / ("d" * 120)
    long.mkdir()
    (long / ("n" * 200)).write_bytes(b"long name")
    (long / "link").symlink_to("x/" * 80)
    (top / "caf\u00e9 \U0001f600").write_bytes(bytes(range(256)) * 30)
    (top / os.fsdecode(b"latin-\xe9")).write_bytes(b"not UTF-8")
    (top / "rel").symlink_to("sub/file")
    os.link(top / "sub" / "file", top / "hard")
    with (top / "sparse").open("wb") as file:
        for offset in (0, 3 << 20, 9 << 20):
            file.seek(offset)
            file.write(b"here")
        file.truncate(12 << 20)
    for number, path in enumerate(sorted(top.rglob("*"), reverse=True)):
        os.utime(path, ns=(0, (1_700_000_000 + number) * 10**9 + number), follow_symlinks=False)
    return top


def facts(top: Path, *, nanoseconds: bool = True, links: bool = True) -> Facts:
    """What must be the same on both ends."""
    found: Facts = {}
    for path in sorted(top.rglob("*")):
        about = path.lstat()
        modified = about.st_mtime_ns if nanoseconds else about.st_mtime_ns // 10**9
        content: object = None
        if path.is_symlink():
            content = path.readlink()
        elif path.is_file():
            content = path.read_bytes()
        mode = 0 if path.is_symlink() else about.st_mode
        modified = modified if links or not path.is_symlink() else 0
        found[str(path.relative_to(top))] = (mode, modified, content)
    return found


def packed(top: Path, choice: Choice | None = None, names: list[str] | None = None) -> bytes:
    root = Root(top)
    packer = Packer(root, ".", choice or Choice(), names)
    pieces = []
    while piece := packer.next():
        pieces.append(piece)
    packer.close()
    root.close()
    return b"".join(pieces)


def unpack(archive: bytes, target: Path, piece: int = 1 << 18, **options: object) -> Unpacker:
    target.mkdir(exist_ok=True)
    root = Root(target)
    unpacker = Unpacker(Files(root), ".", **options)  # type: ignore[arg-type]
    try:
        for start in range(0, len(archive), piece):
            unpacker.feed(archive[start : start + piece])
        unpacker.finish()
    finally:
        unpacker.close()
        root.close()
    return unpacker


def test_there_and_back_again(tmp_path: Path) -> None:
    top = tree(tmp_path)
    archive = packed(top)
    unpack(archive, tmp_path / "out", links=Links.KEEP)
    assert facts(tmp_path / "out") == facts(top)
    assert (tmp_path / "out/hard").samefile(tmp_path / "out/sub/file")
    assert (tmp_path / "out/sparse").stat().st_blocks * 512 < 1 << 20, "the holes were filled"
    assert len(archive) < 2 << 20


@pytest.mark.parametrize("piece", [1, 511, 513])
def test_in_pieces_of_any_size(tmp_path: Path, piece: int) -> None:
    top = tmp_path / "tree"
    top.mkdir()
    (top / "a").write_bytes(b"x" * 1500)
    (top / ("n" * 150)).write_bytes(b"y")
    unpack(packed(top), tmp_path / "out", piece)
    assert facts(tmp_path / "out") == facts(top)


@with_gnu_tar
def test_python_and_tar_read_it(tmp_path: Path) -> None:
    top = tree(tmp_path)
    archive = packed(top)
    for name in ("python", "gnu"):
        (tmp_path / name).mkdir()
    with tarfile.open(fileobj=io.BytesIO(archive), encoding="utf-8", errors="surrogateescape") as file:
        file.extractall(tmp_path / "python", filter="fully_trusted")
    theirs = facts(tmp_path / "python", nanoseconds=False, links=False)
    assert theirs == facts(top, nanoseconds=False, links=False), "Python sets no times of links"
    done = subprocess.run(["tar", "xf", "-"], cwd=tmp_path / "gnu", input=archive, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    assert facts(tmp_path / "gnu", nanoseconds=False) == facts(top, nanoseconds=False)


@with_gnu_tar
@pytest.mark.parametrize(
    "form", ["gnu", "posix", "ustar", "oldgnu", "sparse", "sparse-0.0", "sparse-0.1", "sparse-1.0"]
)
def test_what_tar_writes(tmp_path: Path, form: str) -> None:
    top = tree(tmp_path)
    if form == "ustar":
        shutil.rmtree(top / ("d" * 120))
    how = [f"--format={form}"]
    if form.startswith("sparse"):
        how = ["-S", f"--sparse-version={form[7:]}", "--format=posix"] if "-" in form else ["-S", "--format=gnu"]
    done = subprocess.run(["tar", "cf", "-", *how, "."], cwd=top, capture_output=True, check=True)
    unpack(done.stdout, tmp_path / "out", 10_000, links=Links.KEEP)
    exact = "posix" in how[-1] or form == "posix"
    assert facts(tmp_path / "out", nanoseconds=exact) == facts(top, nanoseconds=exact)


@pytest.mark.parametrize("form", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_what_python_writes(tmp_path: Path, form: int) -> None:
    top = tree(tmp_path)
    memory = io.BytesIO()
    with tarfile.open(fileobj=memory, mode="w", format=form, errors="surrogateescape") as file:
        file.add(top, ".")
    unpack(memory.getvalue(), tmp_path / "out", links=Links.KEEP)
    assert facts(tmp_path / "out", nanoseconds=False) == facts(top, nanoseconds=False)


def member(name: str, kind: bytes = tarfile.REGTYPE, content: bytes = b"", **more: object) -> bytes:
    """A member as anybody may write it."""
    info = tarfile.TarInfo(name)
    info.type = kind
    info.size = len(content)
    for key, value in more.items():
        setattr(info, key, value)
    body = content + bytes(-len(content) % 512)
    return info.tobuf(tarfile.GNU_FORMAT, errors="surrogateescape") + body


HOSTILE = {
    "absolute": (member("/etc/evil", content=b"x"), "path_outside"),
    "up": (member("../evil", content=b"x"), "path_outside"),
    "up in the middle": (member("a/../../evil", content=b"x"), "path_outside"),
    "link out": (member("l", tarfile.SYMTYPE, linkname="/etc"), "path_outside"),
    "link up": (member("l", tarfile.SYMTYPE, linkname="../outside"), "path_outside"),
    "link through a link": (
        member("x", tarfile.SYMTYPE, linkname=".") + member("y", tarfile.SYMTYPE, linkname="x/.."),
        "path_outside",
    ),
    "file through a link": (
        member("x", tarfile.SYMTYPE, linkname=".") + member("x/evil", content=b"x"),
        None,
    ),
    "hard link out": (member("h", tarfile.LNKTYPE, linkname="../outside/secret"), "path_outside"),
    "hard link to a link": (
        member("x", tarfile.SYMTYPE, linkname="a") + member("h", tarfile.LNKTYPE, linkname="x"),
        "not_file",
    ),
    "hard link to nothing": (member("h", tarfile.LNKTYPE, linkname="nothing"), "not_found"),
    "device": (member("null", tarfile.CHRTYPE, devmajor=1, devminor=3), "not_file"),
    "pipe": (member("pipe", tarfile.FIFOTYPE), "not_file"),
    "long name": (member("x" * 10_000, content=b"x"), "path_invalid"),
    "long path": (member("d/" * 3000 + "f"), "path_invalid"),
    "deep": (member("d/" * 1000 + "f"), "too_large"),
    "no name": (member("", content=b"x"), "path_invalid"),
    "huge": (member("big", content=b"")[:124] + b"\x80" + b"\0" * 3 + b"\x3f" * 8, "malformed"),
    "cut": (member("f", content=b"x" * 5000)[:1000], "malformed"),
    "no tar": (b"hello" * 500, "malformed"),
    "empty": (b"", "malformed"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_archives_leave_nothing_outside(tmp_path: Path, name: str) -> None:
    archive, code = HOSTILE[name]
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/secret").write_text("secret")
    if code is None:
        unpack(archive + tar.END, tmp_path / "out")
        assert (tmp_path / "out/x/evil").is_file()
        assert not (tmp_path / "out/x").is_symlink()
    else:
        with pytest.raises(SteadError) as found:
            unpack(archive + (tar.END if name not in {"cut", "empty"} else b""), tmp_path / "out")
        assert found.value.code == code
    assert sorted(path.name for path in tmp_path.rglob("*") if "out" not in path.name and "evil" in path.name) in (
        [],
        ["evil"],
    )
    assert {path.name for path in tmp_path.iterdir()} == {"out", "outside"}
    assert [path.name for path in (tmp_path / "outside").iterdir()] == ["secret"]
    assert not list((tmp_path / "out").rglob(".stead-*"))


def test_links_that_were_there_are_not_followed(tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/f").write_text("old")
    (tmp_path / "out").mkdir()
    (tmp_path / "out/d").symlink_to("../outside")
    (tmp_path / "out/f").symlink_to("../outside/f")
    unpack(member("d/f", content=b"new") + member("f", content=b"new") + tar.END, tmp_path / "out")
    assert (tmp_path / "outside/f").read_text() == "old"
    assert (tmp_path / "out/d/f").read_text() == (tmp_path / "out/f").read_text() == "new"


def test_links_that_lead_out_are_skipped_or_kept_when_asked(tmp_path: Path) -> None:
    archive = member("l", tarfile.SYMTYPE, linkname="/etc") + member("f", content=b"x") + tar.END
    unpack(archive, tmp_path / "skipped", links=Links.SKIP)
    assert [path.name for path in (tmp_path / "skipped").iterdir()] == ["f"]
    unpack(archive, tmp_path / "kept", links=Links.KEEP)
    assert (tmp_path / "kept/l").readlink() == Path("/etc")


def test_what_is_told_of_an_archive_is_bounded(tmp_path: Path) -> None:
    """However many records say that something was left out, and however many links lead out."""
    records = b"".join(tar.left_out([b"x%d" % number, b"y"]) for number in range(300))
    links = b"".join(member(f"l{number}", tarfile.SYMTYPE, linkname="/etc") for number in range(300))
    done = unpack(records + links + tar.END, tmp_path / "out", links=Links.SKIP).finish()
    assert (done.skipped_count, len(done.skipped), len(done.left_out)) == (300, SKIPPED_TOLD, tar.LEFT_OUT_TOLD)
    assert len(tar.left_out([b"x"] * 1000)) < 4096


def test_the_content_has_a_limit(tmp_path: Path) -> None:
    archive = member("a", content=b"x" * 600) + member("b", content=b"x" * 600) + tar.END
    with pytest.raises(SteadError) as found:
        unpack(archive, tmp_path / "out", limit=1000)
    assert found.value.code == "too_large"
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["a"]


def test_closed_directories_get_their_modes_at_the_end(tmp_path: Path) -> None:
    archive = member("d", tarfile.DIRTYPE, mode=0o500) + member("d/f", content=b"x", mode=0o4755) + tar.END
    unpack(archive, tmp_path / "out")
    assert (tmp_path / "out/d").stat().st_mode & 0o7777 == 0o500
    assert (tmp_path / "out/d/f").stat().st_mode & 0o7777 == 0o755
    (tmp_path / "out/d").chmod(0o700)


@with_gnu_tar
def test_broken_archives_are_refused_or_read(tmp_path: Path) -> None:
    rng = random.Random(5)
    top = tree(tmp_path)
    whole = subprocess.run(["tar", "cSf", "-", "--format=posix", "."], cwd=top, capture_output=True, check=True).stdout
    whole = whole[: 40 << 10]
    for _ in range(80):
        broken = bytearray(whole)
        for _ in range(rng.randrange(1, 5)):
            at = rng.randrange(len(broken))
            broken[at] = rng.randrange(256)
            start = at // 512 * 512
            block = broken[start : start + 512]
            block[148:156] = b" " * 8
            broken[start + 148 : start + 156] = b"%06o\0 " % sum(block)
        try:
            unpack(bytes(broken), tmp_path / "out", links=Links.SKIP, limit=1 << 30)
        except SteadError as error:
            assert error.code != "internal"
    assert {path.name for path in tmp_path.iterdir()} == {"out", "tree"}


@pytest.mark.parametrize("name", ["../secret", "/etc/passwd", "a/../../secret"])
def test_names_that_lead_out_are_not_packed(tmp_path: Path, name: str) -> None:
    (tmp_path / "top").mkdir()
    (tmp_path / "secret").write_text("x")
    with pytest.raises(SteadError) as found:
        packed(tmp_path / "top", names=[name])
    assert found.value.code == "path_outside"


def test_a_file_that_changes_while_it_is_packed(tmp_path: Path) -> None:
    """It may shrink, grow or go: the archive stays whole."""
    top = tmp_path / "tree"
    top.mkdir()
    for name in ("a", "b", "c", "d"):
        (top / name).write_bytes(name.encode() * (1 << 20))
    root = Root(top)
    packer = Packer(root, ".", Choice())
    pieces = [packer.next()]
    os.truncate(top / "a", 10)
    with (top / "b").open("ab") as file:
        file.write(b"more")
    (top / "c").unlink()
    (top / "d").unlink()
    (top / "d").mkdir()
    while piece := packer.next():
        pieces.append(piece)
    packer.close()
    root.close()
    unpack(b"".join(pieces), tmp_path / "out")
    assert (tmp_path / "out/a").stat().st_size == 1 << 20
    assert (tmp_path / "out/b").read_bytes() == (top / "b").read_bytes()
    assert not (tmp_path / "out/c").exists()
