"""A call in a thread of its own: what it gives, and what an interrupt makes of it."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable

import pytest

from coldpress.apart import Apart


def interrupt() -> None:
    main = threading.main_thread().ident
    assert main is not None
    signal.pthread_kill(main, signal.SIGINT)


def test_it_gives_what_the_call_returns_and_raises_what_it_raises() -> None:
    def fails(stop: threading.Event) -> int:
        raise KeyError("a fault")

    assert Apart("name", lambda stop: threading.current_thread().name).result() == "name"
    with pytest.raises(KeyError, match="a fault"):
        Apart("name", fails).result()


def test_an_interrupted_call_is_waited_for() -> None:
    ended: list[bool] = []

    def call(stop: threading.Event) -> None:
        interrupt()
        assert stop.wait(60)
        ended.append(True)

    with pytest.raises(KeyboardInterrupt):
        Apart("name", call).result()
    assert ended == [True]


class Interrupted(threading.Thread):
    """A thread whose `start` raises, when the thread already runs or before it ever does."""

    before = False

    def start(self) -> None:
        if not self.before:
            super().start()
        raise KeyboardInterrupt


class NeverStarted(Interrupted):
    before = True


def test_a_thread_that_comes_up_after_the_interrupt_does_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    late: list[threading.Thread] = []

    class Late(threading.Thread):
        def start(self) -> None:
            late.append(self)
            raise KeyboardInterrupt

    monkeypatch.setattr(threading, "Thread", Late)
    begun: list[bool] = []
    with pytest.raises(KeyboardInterrupt):
        Apart("name", lambda stop: begun.append(True)).result()
    monkeypatch.undo()
    threading.Thread.start(late[0])
    late[0].join()
    assert not begun


@pytest.mark.parametrize("kind", [Interrupted, NeverStarted])
def test_an_interrupt_while_the_thread_is_started(
    kind: Callable[..., threading.Thread], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(threading, "Thread", kind)
    begun, ended = [], []

    def call(stop: threading.Event) -> None:
        begun.append(True)
        assert stop.wait(60)
        ended.append(True)

    with pytest.raises(KeyboardInterrupt):
        Apart("name", call).result()
    assert begun == ended
