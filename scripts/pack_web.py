"""Packs the built web app into what is distributed: in a wheel it is `stead/web`, where the control plane looks for it.

The build backend runs it; `make wheel` builds the web app first. Without a built one the package has none, and says so.
"""

from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

PLACES = {"wheel": "stead/web", "sdist": "web/dist"}


class PackWeb(BuildHookInterface[Any]):
    """The hook."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """An editable installation finds the app in the checkout."""
        if version == "editable":
            return
        app = Path(self.root) / "web" / "dist"
        if (app / "index.html").exists():
            build_data["force_include"][str(app)] = PLACES[self.target_name]
        else:
            self.app.display_warning("the web app is not built and not packed (make wheel builds it)")
