"""Every call of the table is served, every operation has its row, and every area has its face."""

from importlib import import_module
from typing import Any, cast

import pytest

from stead.guest.attendance import Attendance
from stead.guest.calls import Calls
from stead.protocol.methods import CALLS
from stead.toolbox import areas
from stead.toolbox.areas import AREAS, Areas
from stead.toolbox.confine import Root
from stead.toolbox.local import LocalToolbox
from stead.toolbox.place import Place


def test_every_row_is_served_by_the_guest() -> None:
    table = Calls(cast(LocalToolbox, None), cast(Attendance, None))._table
    unserved = {name for name in CALLS if name != "exec.run" and name not in table and areas.find(name) is None}
    assert not unserved


@pytest.mark.parametrize("area", AREAS)
def test_every_operation_has_its_row_its_work_and_a_face(area: str) -> None:
    operations: dict[str, Any] = import_module(f"stead.toolbox.{area}.contract").OPERATIONS
    work = import_module(f"stead.toolbox.{area}.local").work
    assert set(operations) == {name for name in CALLS if name.startswith(f"{area}.")}
    assert type(getattr(Areas(), area)).__module__ == f"stead.toolbox.{area}.contract"
    assert set(work(Place(Root("/"), {}))) == set(operations)
