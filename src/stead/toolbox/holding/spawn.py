"""Starting a process: `posix_spawn` (which does not copy the holder), its own session, three descriptors, nothing else.

Contract: `spawn(argv, environment, cwd, stdin, stdout, stderr)` answers the pid or raises `CannotStartError` with the exit code
a shell would give: 127 for a program that is not there, 126 for one that cannot be run. The calling program must have
one thread: its working directory is lent to the child for a moment.
"""

from __future__ import annotations

import os
import signal
import stat

NOT_FOUND = 127
CANNOT_RUN = 126
DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

_DESCRIPTORS = 256
_RESET = signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}
"""All signals: also cheaper than some, for the system is not asked what each of the others does now."""


class CannotStartError(Exception):
    """The process could not be started."""

    def __init__(self, exit_code: int, message: str) -> None:
        super().__init__(message)
        self.exit_code = exit_code
        self.message = message


def keep_descriptors() -> None:
    """Nothing this program was handed goes on to what it starts."""
    for descriptor in range(3, _DESCRIPTORS):
        try:
            os.set_inheritable(descriptor, False)
        except OSError:
            continue


def spawn(argv: list[str], environment: dict[str, str], cwd: str, stdin: int, stdout: int, stderr: int) -> int:
    """Starts a process as the leader of its own session."""
    try:
        os.chdir(cwd)
    except OSError as error:
        raise CannotStartError(CANNOT_RUN, f"the directory {cwd!r}: {error.strerror}") from error
    try:
        program = find(argv[0], environment.get("PATH", DEFAULT_PATH))
        return os.posix_spawn(
            program,
            argv,
            environment,
            file_actions=[
                (os.POSIX_SPAWN_DUP2, stdin, 0),
                (os.POSIX_SPAWN_DUP2, stdout, 1),
                (os.POSIX_SPAWN_DUP2, stderr, 2),
            ],
            setsid=True,
            setsigmask=[],
            setsigdef=_RESET,
        )
    except OSError as error:
        raise CannotStartError(CANNOT_RUN, f"{argv[0][:200]!r} cannot be run: {error.strerror}") from error
    except ValueError as error:
        raise CannotStartError(CANNOT_RUN, f"{argv[0][:200]!r} cannot be run: {error}") from error
    finally:
        os.chdir("/")


def find(program: str, path: str) -> str:
    """The file to run, as a shell looks for it."""
    if "/" in program:
        _check(program, program)
        return program
    refusal: CannotStartError | None = None
    for directory in path.split(":"):
        candidate = f"{directory or '.'}/{program}"
        try:
            _check(candidate, program)
        except CannotStartError as error:
            refusal = refusal or (error if error.exit_code == CANNOT_RUN else None)
        else:
            return candidate
    raise refusal or CannotStartError(NOT_FOUND, f"no program {program[:200]!r}")


def _check(file: str, program: str) -> None:
    try:
        found = os.stat(file)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise CannotStartError(NOT_FOUND, f"no program {program[:200]!r}") from error
    except OSError as error:
        raise CannotStartError(CANNOT_RUN, f"{program[:200]!r} cannot be run: {error.strerror}") from error
    if not stat.S_ISREG(found.st_mode):
        raise CannotStartError(CANNOT_RUN, f"{program[:200]!r} is not a program")
    if not os.access(file, os.X_OK):
        raise CannotStartError(CANNOT_RUN, f"{program[:200]!r} may not be run")
