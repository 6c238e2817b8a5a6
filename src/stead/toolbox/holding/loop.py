"""The holder's event loop: descriptors, timers and signals, in one thread.

Contract: callbacks run one at a time and must not block. `watch`/`unwatch` a descriptor, `after` some seconds, `on_signal`;
`run` goes on until `stop`.
"""

from __future__ import annotations

import heapq
import os
import selectors
import signal
import time
from collections.abc import Callable

Callback = Callable[[], None]

_TIMERS = 1024
"""So many timers may wait before the cancelled ones are sorted out."""


class Timer:
    """Something to do later, unless cancelled."""

    __slots__ = ("callback", "order", "when")

    def __init__(self, when: float, order: int, callback: Callback | None) -> None:
        self.when = when
        self.order = order
        self.callback = callback

    def cancel(self) -> None:
        """May be called twice, also after it ran."""
        self.callback = None

    def __lt__(self, other: Timer) -> bool:
        return (self.when, self.order) < (other.when, other.order)


class Loop:
    """One for the whole program: it owns the process's signal wake-up."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        self._timers: list[Timer] = []
        self._order = 0
        self._crowded = _TIMERS
        self._signals: dict[int, Callback] = {}
        self._stopped = False
        self.after_each: list[Callback] = []
        self._wake, wake = os.pipe()
        os.set_blocking(self._wake, False)
        os.set_blocking(wake, False)
        signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
        self.watch(self._wake, self._signalled)

    def watch(self, descriptor: int, callback: Callback, *, write: bool = False) -> None:
        """Calls when readable (and, with `write`, when writable)."""
        events = selectors.EVENT_READ | (selectors.EVENT_WRITE if write else 0)
        if descriptor in self._selector.get_map():
            self._selector.modify(descriptor, events, callback)
        else:
            self._selector.register(descriptor, events, callback)

    def unwatch(self, descriptor: int) -> None:
        """Before the descriptor is closed."""
        if descriptor in self._selector.get_map():
            self._selector.unregister(descriptor)

    def after(self, seconds: float, callback: Callback) -> Timer:
        """Calls once, later."""
        self._order += 1
        timer = Timer(time.monotonic() + seconds, self._order, callback)
        heapq.heappush(self._timers, timer)
        if len(self._timers) > self._crowded:
            self._timers = [each for each in self._timers if each.callback is not None]
            heapq.heapify(self._timers)
            self._crowded = max(_TIMERS, 2 * len(self._timers))
        return timer

    def on_signal(self, number: int, callback: Callback) -> None:
        """Calls soon after the signal came; several may come as one."""
        self._signals[number] = callback
        signal.signal(number, _nothing)

    def stop(self) -> None:
        """`run` returns after the present round."""
        self._stopped = True

    def run(self) -> None:
        """Until `stop`."""
        while not self._stopped:
            for key, _ in self._selector.select(self._pause()):
                self._run(key)
            self._run_timers()
            for callback in self.after_each:
                callback()

    def _run(self, key: selectors.SelectorKey) -> None:
        """An earlier callback of this round may have closed the descriptor, and another may have its number now."""
        now = self._selector.get_map().get(key.fd)
        if now is not None and now.data is key.data:
            key.data()

    def _pause(self) -> float | None:
        while self._timers and self._timers[0].callback is None:
            heapq.heappop(self._timers)
        return max(0.0, self._timers[0].when - time.monotonic()) if self._timers else None

    def _run_timers(self) -> None:
        now = time.monotonic()
        while self._timers and self._timers[0].when <= now:
            callback = heapq.heappop(self._timers).callback
            if callback is not None:
                callback()

    def _signalled(self) -> None:
        for number in set(os.read(self._wake, 4096)):
            callback = self._signals.get(number)
            if callback is not None:
                callback()


def _nothing(number: int, frame: object) -> None:
    """The wake-up descriptor tells the loop."""
