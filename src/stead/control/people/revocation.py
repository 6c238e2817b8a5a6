"""What must happen at once when a credential or a user ends.

Contract: `Revocation.credential(id)` and `.user(id)`: cached facts are dropped and what lives by them is cut.
"""

from __future__ import annotations

from stead.control.people.identity import Identities
from stead.control.people.live import Live
from stead.control.people.tickets import Tickets


class Revocation:
    """Tells everyone who keeps something by a credential."""

    def __init__(self, identities: Identities, live: Live, tickets: Tickets) -> None:
        self._identities = identities
        self._live = live
        self._tickets = tickets

    def credential(self, credential_id: str) -> None:
        """One token or session has ended."""
        self._identities.forget(credential_id=credential_id)
        self._tickets.forget(credential_id=credential_id)
        self._live.cut(credential_id=credential_id)

    def user(self, user_id: str) -> None:
        """A user was disabled, removed, or has another role."""
        self._identities.forget(user_id=user_id)
        self._tickets.forget(user_id=user_id)
        self._live.cut(user_id=user_id)
