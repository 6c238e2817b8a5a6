"""Who asks a service for something.

Contract: `Caller` with `can(right)`, `require(right)`, `require_admin()`, `may_see(owner)`; `SYSTEM` is the control
plane itself. Rights are those of `stead.protocol.methods` (`workspace:read`, ...) and `admin`; the scope `*` stands for
all that the role allows.
"""

from __future__ import annotations

import msgspec

from stead.protocol.errors import SteadError

ADMIN = "admin"
EVERYTHING = "*"


class Caller(msgspec.Struct, frozen=True, kw_only=True):
    """A user through one credential: a role says what the user may do, scopes say what this credential may do of it."""

    user_id: str
    name: str
    role: str
    scopes: frozenset[str]
    via: str
    credential_id: str = ""

    @property
    def is_admin(self) -> bool:
        return self.role == ADMIN

    def can(self, right: str) -> bool:
        """Whether this credential carries the right, and the role does where it is `admin`."""
        if right == ADMIN and not self.is_admin:
            return False
        return EVERYTHING in self.scopes or right in self.scopes

    def require(self, right: str) -> None:
        """Raises "forbidden" without the right."""
        if not self.can(right):
            raise SteadError("forbidden", f"this needs the right {right}")

    def require_admin(self) -> None:
        """Raises "forbidden" unless an administrator asks with a credential for it."""
        self.require(ADMIN)

    def may_see(self, owner: str) -> bool:
        """Whether what belongs to `owner` exists for this caller."""
        return self.is_admin or owner == self.user_id


SYSTEM = Caller(user_id="system", name="system", role=ADMIN, scopes=frozenset({EVERYTHING}), via="system")
