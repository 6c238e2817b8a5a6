"""Where things are in a run directory: `SOCKET`, where the guest listens, and `STATE`, where the holder tells its own and the
guest's pid and how often the guest was restarted. What the two are told is read by `stead.toolbox.holding.settings.load`.

Nothing is imported here, because the holder reads it too.
"""

from __future__ import annotations

SOCKET = "guest.sock"
STATE = "holder.json"
