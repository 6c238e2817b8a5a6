"""Public keys in `authorized_keys`: read, added once, removed, and everything else left as it was."""

import os
import stat
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from stead.protocol.errors import SteadError
from stead.toolbox.system import keys
from stead.toolbox.system.contract import AddKey, Keys
from stead.toolbox.system.keys import Person
from support.disk import Disk, small_disk

Private = ed25519.Ed25519PrivateKey | rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey


def line(key: Private, comment: str = "") -> str:
    public = key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()
    return f"{public} {comment}".strip()


def ed() -> ed25519.Ed25519PrivateKey:
    return ed25519.Ed25519PrivateKey.generate()


@pytest.fixture
def ann(tmp_path: Path) -> Person:
    (tmp_path / "home").mkdir()
    return Person("ann", str(tmp_path / "home"), os.getuid(), os.getgid())


def add(person: Person, text: str) -> Keys:
    key = keys.wanted(text)
    return keys.changed(person, lambda content: keys._with(content, key, text))


def remove(person: Person, fingerprint: str) -> Keys:
    return keys.changed(person, lambda content: keys._without(content, fingerprint))


def file_of(person: Person) -> Path:
    return Path(person.home) / ".ssh/authorized_keys"


def test_keys_of_every_type_are_known_by_their_fingerprint() -> None:
    curves = [ec.generate_private_key(curve) for curve in (ec.SECP256R1(), ec.SECP384R1(), ec.SECP521R1())]
    every: list[Private] = [ed(), rsa.generate_private_key(65537, 2048), *curves]
    for key in every:
        found = keys.wanted(line(key, "ann@laptop two words"))
        assert found.comment == "ann@laptop two words"
        assert found.fingerprint.startswith("SHA256:")
        assert len(found.fingerprint) == 50


def test_a_known_fingerprint() -> None:
    """As `ssh-keygen -l` prints it for this key."""
    text = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl github"
    assert keys.wanted(text).fingerprint == "SHA256:+DiY3wvvV6TuJJhbpZisF/zLDA0zPMSvHdkr4UvCOqU"


def test_adding_makes_the_file_with_the_right_modes_once(ann: Person) -> None:
    text = line(ed(), "ann")
    assert add(ann, text).changed
    again = add(ann, text.replace(" ann", " other comment"))
    assert (again.changed, len(again.keys)) == (False, 1)
    assert file_of(ann).read_text() == f"{text}\n"
    assert stat.S_IMODE(file_of(ann).stat().st_mode) == 0o600
    assert stat.S_IMODE(file_of(ann).parent.stat().st_mode) == 0o700


def test_other_lines_stay_byte_for_byte(ann: Person) -> None:
    mine, theirs = line(ed(), "mine"), line(ed(), "theirs")
    odd = b'# a comment\n\n   \nno key at all \xff\xfe\r\ncert-authority,principals="a b" ssh-ed25519 broken\n'
    file_of(ann).parent.mkdir(mode=0o777)
    file_of(ann).write_bytes(odd + theirs.encode())
    file_of(ann).chmod(0o644)
    told = add(ann, mine)
    assert file_of(ann).read_bytes() == odd + theirs.encode() + b"\n" + mine.encode() + b"\n"
    assert (len(told.keys), told.other_lines) == (2, 2)
    assert stat.S_IMODE(file_of(ann).stat().st_mode) == 0o600
    assert stat.S_IMODE(file_of(ann).parent.stat().st_mode) == 0o700
    assert remove(ann, keys.wanted(mine).fingerprint).changed
    assert file_of(ann).read_bytes() == odd + theirs.encode() + b"\n"
    assert not remove(ann, keys.wanted(mine).fingerprint).changed


def test_removing_makes_nothing(ann: Person) -> None:
    told = keys.changed(ann, lambda content: keys._without(content, "SHA256:none"), make=False)
    assert (told.user, told.keys, told.changed) == ("ann", [], False)
    assert not file_of(ann).parent.exists()


def test_options_are_read_and_kept(ann: Person) -> None:
    text = f'from="10.0.0.0/8,*.example.org",command="echo \\"a b\\"",no-pty {line(ed(), "bound")}'
    told = add(ann, text)
    assert told.keys[0].options == 'from="10.0.0.0/8,*.example.org",command="echo \\"a b\\"",no-pty'
    assert file_of(ann).read_text() == f"{text}\n"


def test_many_at_once_are_all_there(ann: Person) -> None:
    texts = [line(ed(), str(number)) for number in range(16)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda text: add(ann, text), texts))
    assert sorted(file_of(ann).read_text().splitlines()) == sorted(texts)
    assert [entry.name for entry in file_of(ann).parent.iterdir()] == ["authorized_keys"]


def test_links_are_not_followed(ann: Person, tmp_path: Path) -> None:
    text = line(ed())
    (tmp_path / "elsewhere").mkdir()
    (Path(ann.home) / ".ssh").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(SteadError) as caught:
        add(ann, text)
    assert caught.value.code == "conflict"
    (Path(ann.home) / ".ssh").unlink()
    file_of(ann).parent.mkdir()
    (tmp_path / "target").write_text("keep")
    file_of(ann).symlink_to(tmp_path / "target")
    with pytest.raises(SteadError) as caught:
        add(ann, text)
    assert caught.value.code == "conflict"
    assert (tmp_path / "target").read_text() == "keep"
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_a_pipe_in_its_place_holds_nobody_up(ann: Person) -> None:
    file_of(ann).parent.mkdir()
    os.mkfifo(file_of(ann))
    with pytest.raises(SteadError) as caught:
        keys.of(ann)
    assert caught.value.code == "conflict"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root acts for other users")
def test_the_file_belongs_to_its_user(ann: Person) -> None:
    bob = ann._replace(uid=12345, gid=12345)
    os.chown(bob.home, 12345, 12345)
    add(bob, line(ed()))
    for path in (file_of(bob), file_of(bob).parent):
        assert (path.stat().st_uid, path.stat().st_gid) == (12345, 12345)


def test_nobody_has_no_keys_and_no_home_is_told(ann: Person) -> None:
    assert keys.of(ann).keys == []
    assert not (Path(ann.home) / ".ssh").exists()
    with pytest.raises(SteadError) as caught:
        keys.of(ann._replace(home="/no/such/home"))
    assert caught.value.code == "not_found"
    with pytest.raises(SteadError) as caught:
        keys.add(AddKey(key=line(ed()), user="no-such-user-here"))
    assert caught.value.code == "not_found"


GOOD = line(ed())


@pytest.mark.parametrize(
    "bad",
    [
        "",
        "ssh-ed25519",
        "ssh-ed25519 AAAA",
        GOOD[:-4],
        GOOD.replace("ssh-ed25519", "ssh-rsa", 1),
        GOOD + "\nssh-rsa AAAA",
        GOOD.replace(" ", "\n", 1),
        "# " + GOOD,
        "unknown-type " + GOOD.split()[1],
        f'command="unclosed {GOOD}',
        "ssh-dss AAAAB3NzaC1kc3M=",
        "x" * 20_000,
        line(rsa.generate_private_key(65537, 1024))[:-8],
    ],
)
def test_what_is_no_key_is_refused(bad: str) -> None:
    with pytest.raises(SteadError) as caught:
        keys.wanted(bad)
    assert caught.value.code == "invalid"


@pytest.mark.parametrize("way", [Disk.fill, Disk.fill_names])
def test_a_full_disk_loses_no_line(tmp_path: Path, way: Callable[[Disk], None]) -> None:
    first, second = line(ed(), "first"), line(ed(), "second")
    with small_disk(tmp_path / "home") as disk:
        bob = Person("bob", str(disk.path), os.getuid(), os.getgid())
        add(bob, first)
        known = keys.of(bob).keys[0].fingerprint
        text = f"# by hand\n{first}\ncert-authority odd line\n\xff"
        file_of(bob).write_text(text, encoding="latin-1")
        way(disk)
        used = disk.used()
        changes: list[Callable[[], Keys]] = [lambda: add(bob, second), lambda: remove(bob, known)]
        for change in changes:
            with pytest.raises(SteadError) as caught:
                change()
            assert caught.value.code == "disk_full"
            assert (file_of(bob).read_text(encoding="latin-1"), disk.used()) == (text, used)
        assert [key.comment for key in keys.of(bob).keys] == ["first"]
        disk.free()
        assert add(bob, second).changed
        assert file_of(bob).read_text(encoding="latin-1") == f"{text}\n{second}\n"
        assert remove(bob, known).other_lines == 2
