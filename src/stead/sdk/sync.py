"""The sync face: the same nouns and methods, without `await`.

    with SyncStead() as stead:
        workspace = stead.workspaces.create()
        print(workspace.exec(["ls"]).stdout.decode())
        for piece in workspace.stream(["make", "test"]):
            print(piece.data.decode(), end="")

One event loop runs in a thread of its own; every call is carried out there and waited for here. `sync.pyi` says the types;
a test compares it with the async face.
"""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, ExitStack, contextmanager, suppress
from types import TracebackType
from typing import Any, Self

import anyio.to_thread
import msgspec
from anyio.from_thread import BlockingPortal, start_blocking_portal

from stead.sdk.client import Stead

NOUNS = ("stead.sdk.", "stead.toolbox.")


class SyncStead:
    """One control plane, without `await`. Takes what `Stead` takes."""

    def __init__(self, *args: Any, **options: Any) -> None:
        self._stead = Stead(*args, **options)
        self._stack = ExitStack()
        self._portal: BlockingPortal | None = None

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            self._portal = stack.enter_context(start_blocking_portal("asyncio"))
            stack.enter_context(self._portal.wrap_async_context_manager(self._stead))
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def __getattr__(self, name: str) -> Any:
        portal = self.__dict__.get("_portal")
        if portal is None or name.startswith("_"):
            raise AttributeError(f"{name!r} is there inside of `with SyncStead() as stead:`")
        return wrap(portal, getattr(self._stead, name))


class Wrapped:
    """A noun of the async face, seen from outside of its loop."""

    def __init__(self, portal: BlockingPortal, inner: Any) -> None:
        self._portal = portal
        self._inner = inner

    def __getattr__(self, name: str) -> Any:
        return wrap(self._portal, getattr(self._inner, name))

    def __iter__(self) -> Iterator[Any]:
        return _iterate(self._portal, aiter(self._inner))

    def __repr__(self) -> str:
        return f"<sync {self._inner!r}>"


def wrap(portal: BlockingPortal, value: Any) -> Any:
    """What is asynchronous becomes blocking; data stays what it is."""
    if inspect.iscoroutinefunction(value):
        return _blocking(portal, value)
    if inspect.isasyncgenfunction(value) or (inspect.ismethod(value) and _gives_iterator(value)):
        return lambda *args, **options: _iterate(portal, value(*args, **options))
    if callable(value) and inspect.ismethod(value):
        return lambda *args, **options: wrap(portal, value(*args, **options))
    if isinstance(value, AbstractAsyncContextManager):
        return _entered(portal, value)
    is_noun = type(value).__module__.startswith(NOUNS) and not isinstance(value, msgspec.Struct)
    return Wrapped(portal, value) if is_noun else value


def _blocking(portal: BlockingPortal, function: Callable[..., Any]) -> Callable[..., Any]:
    def call(*args: Any, **options: Any) -> Any:
        given = [_given(arg) for arg in args]
        named = {name: _given(option) for name, option in options.items()}
        return wrap(portal, portal.call(lambda: function(*given, **named)))

    return call


def _given(value: Any) -> Any:
    """An iterator of here, such as the pieces of an upload, as one of there."""
    return _pieces(value) if isinstance(value, Iterator) else value


async def _pieces(items: Iterator[Any]) -> AsyncIterator[Any]:
    """It may wait, so a thread asks it."""
    over = object()
    while (item := await anyio.to_thread.run_sync(next, items, over)) is not over:
        yield item


@contextmanager
def _entered(portal: BlockingPortal, manager: AbstractAsyncContextManager[Any]) -> Iterator[Any]:
    """`with` here is `async with` there."""
    with portal.wrap_async_context_manager(manager) as inner:
        yield wrap(portal, inner)


def _iterate(portal: BlockingPortal, items: AsyncIterator[Any]) -> Iterator[Any]:
    """The items one by one; leaving the loop early ends the iterator there too."""
    try:
        while True:
            try:
                yield wrap(portal, portal.call(items.__anext__))
            except StopAsyncIteration:
                return
    finally:
        if inspect.isasyncgen(items):
            with suppress(RuntimeError):  # its loop has ended, and with it the iterator
                portal.call(items.aclose)


def _gives_iterator(method: Any) -> bool:
    return str(inspect.get_annotations(method.__func__).get("return", "")).startswith("AsyncIterator")
