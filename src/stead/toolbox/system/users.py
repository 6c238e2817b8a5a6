"""Who has an account, and who is logged in."""

from __future__ import annotations

import pwd
import re
import struct
from pathlib import Path
from typing import Any

from stead.toolbox.system import kernel
from stead.toolbox.system.contract import Account, Session, Users

SESSIONS = "/run/systemd/sessions"
UTMP = ("/run/utmp", "/var/run/utmp")
FIRST_PERSON, NOBODY = 1000, 65534
_RECORD = struct.Struct("=hxxi32s4s32s256shhiii16s20x")
_USER_PROCESS = 7


def users(sessions: str = SESSIONS, records: tuple[str, ...] = UTMP) -> Users:
    """Accounts by number; sessions from the login manager, or from the old record where there is none."""
    accounts = {entry.pw_name: entry for entry in reversed(pwd.getpwall())}  # of several of one name the first counts
    found = [_account(entry) for entry in sorted(accounts.values(), key=lambda entry: (entry.pw_uid, entry.pw_name))]
    return Users(accounts=found, sessions=_managed(Path(sessions)) or _recorded(records))


def _account(entry: pwd.struct_passwd) -> Account:
    return Account(
        name=kernel.told(entry.pw_name),
        uid=entry.pw_uid,
        gid=entry.pw_gid,
        home=kernel.told(entry.pw_dir),
        shell=kernel.told(entry.pw_shell),
        full_name=kernel.told(entry.pw_gecos.split(",")[0]),
        system=0 < entry.pw_uid < FIRST_PERSON or entry.pw_uid == NOBODY,
    )


def _managed(folder: Path) -> list[Session]:
    """One file a session, of lines `NAME=value`; those of services and greeters are nobody's login. The pipes beside them, by
    which the login manager sees who is gone, are not read: that would wait as long as somebody is logged in."""
    if not folder.is_dir():
        return []
    found = []
    for file in sorted(each for each in folder.iterdir() if each.is_file()):
        facts = dict(line.split("=", 1) for line in kernel.text(str(file)).splitlines() if "=" in line)
        if facts.get("CLASS", "").startswith("user") and "USER" in facts:
            found.append(
                Session(
                    user=facts["USER"],
                    terminal=facts.get("TTY", ""),
                    host=facts.get("REMOTE_HOST", ""),
                    since=_number(facts.get("REALTIME", "")) / 1e6,
                    pid=_number(facts.get("LEADER", "")),
                )
            )
    return found


def _recorded(records: tuple[str, ...]) -> list[Session]:
    """From utmp, in the form that all 64-bit Linux systems have."""
    try:
        data = next(Path(record).read_bytes() for record in records if Path(record).exists())
    except (OSError, StopIteration):
        return []
    whole = len(data) - len(data) % _RECORD.size
    return [_session(fields) for fields in _RECORD.iter_unpack(data[:whole]) if fields[0] == _USER_PROCESS]


def _session(fields: tuple[Any, ...]) -> Session:
    _, pid, line, _, user, host, _, _, _, seconds, micros, _ = fields
    return Session(user=_word(user), terminal=_word(line), host=_word(host), since=seconds + micros / 1e6, pid=pid)


def _number(text: str) -> int:
    """0 for what is none."""
    return int(text) if re.fullmatch(r"[0-9]{1,18}", text) else 0


def _word(raw: bytes) -> str:
    return raw.split(b"\0")[0].decode(errors="replace")
