"""Where a new workspace goes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stead.model.placement import Candidate, Wish, choose
from stead.model.workspaces import Isolation
from stead.protocol.errors import SteadError
from stead.protocol.messages import DriverFacts

PROCESS = DriverFacts(name="process", isolation=["none", "namespaces"])


def node(name: str, **changes: object) -> Candidate:
    given = {"node_id": f"nd_{name}", "name": name, "drivers": [PROCESS], "cpus": 4, "memory_bytes": 8 << 30}
    return Candidate(**(given | changes))  # type: ignore[arg-type]


def refusal(wish: Wish, *nodes: Candidate) -> SteadError:
    with pytest.raises(SteadError) as caught:
        choose(wish, list(nodes))
    return caught.value


WISH = Wish(driver="process")


def test_the_least_loaded_node_is_chosen() -> None:
    assert choose(WISH, [node("a", workspaces=4), node("b", workspaces=2), node("c", workspaces=3)]).name == "b"
    assert choose(WISH, [node("a", workspaces=4, cpus=16), node("b", workspaces=2, cpus=2)]).name == "a"
    assert choose(WISH, [node("a", load1=3.0), node("b", load1=0.5)]).name == "b"


@pytest.mark.parametrize(
    "changes, reason",
    [
        ({"approved": False}, "waits for approval"),
        ({"draining": True}, "is draining"),
        ({"online": False}, "is offline"),
        ({"max_workspaces": 3, "workspaces": 3}, "is full (3 of 3 workspaces)"),
        ({"drivers": []}, "has no driver process"),
    ],
)
def test_a_node_that_does_not_fit_says_why(changes: dict[str, object], reason: str) -> None:
    error = refusal(WISH, node("a", **changes))
    assert error.code == "no_node"
    assert error.details == {"nodes": {"a": reason}}
    assert reason in error.message


def test_labels_and_size_must_fit() -> None:
    wish = Wish(driver="process", labels={"gpu": "yes"})
    assert choose(wish, [node("a"), node("b", labels={"gpu": "yes", "x": "y"})]).name == "b"
    assert "lacks the label gpu=yes" in refusal(wish, node("a")).message
    assert "only 4 CPUs" in refusal(Wish(driver="process", cpus=8), node("a")).message
    assert "bytes of memory" in refusal(Wish(driver="process", memory_bytes=9 << 30), node("a")).message


def test_isolation_is_never_less_than_asked() -> None:
    assert choose(Wish(driver="process", isolation=Isolation.NAMESPACES), [node("a")]).name == "a"
    error = refusal(Wish(driver="process", isolation=Isolation.VM), node("a"), node("b"))
    assert error.code == "isolation_unavailable"
    assert "gives isolation namespaces at most, vm is asked" in error.message
    assert (
        refusal(Wish(driver="process", isolation=Isolation.VM), node("a"), node("b", draining=True)).code == "no_node"
    )


def test_without_any_node_the_message_says_what_to_do() -> None:
    assert "stead node join" in refusal(WISH).message


def test_a_node_asked_for_by_name_may_be_offline() -> None:
    assert choose(Wish(driver="process", named=True), [node("a", online=False)]).name == "a"


@given(
    st.lists(
        st.builds(
            lambda n, d, o, m, w: node(f"n{n}", draining=d, online=o, max_workspaces=m, workspaces=w),
            st.integers(0, 50),
            st.booleans(),
            st.booleans(),
            st.integers(0, 4),
            st.integers(0, 6),
        ),
        unique_by=lambda candidate: candidate.name,
        min_size=1,
        max_size=12,
    )
)
def test_whatever_is_chosen_fits_and_nothing_that_fits_is_passed_over(nodes: list[Candidate]) -> None:
    fitting = {
        c.node_id: c
        for c in nodes
        if c.online and not c.draining and (not c.max_workspaces or c.workspaces < c.max_workspaces)
    }
    if not fitting:
        assert set(refusal(WISH, *nodes).details["nodes"]) == {c.name for c in nodes}
        return
    chosen = fitting[choose(WISH, nodes).node_id]
    assert chosen.workspaces == min(c.workspaces for c in fitting.values())
