"""Who writes back, and who waits for it: by the storing thread itself, or in the background."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable

from coldpress.errors import PipelineClosed
from coldpress.health import TRIES
from coldpress.writeback import Writeback

WRITERS = 2
"""Threads in the background, each with a block in flight."""

_RETRY_SECONDS = 0.05  # after a turn that gave nothing back; twice as long after each failed write
_LONGEST_SECONDS = 1.0  # the most that it becomes: so long after it is back, a device is in use
_PATIENCE = 3  # such turns in a row until a waiting store is told that there is no room


class Inline:
    """The storing thread writes back, under the pipeline's lock: the same steps at each run."""

    unlocked = False
    crowded = False

    def __init__(self, writeback: Writeback) -> None:
        self._writeback = writeback

    def before_store(self) -> None:
        """Write back what is due; before, because a store that raises must not have stored."""
        if self._writeback.due:
            self._writeback.reclaim()

    def after_store(self) -> None:
        """The next store will see to it."""

    def promoted(self) -> None:
        """Something came back to the pool: write back what is due."""
        self.before_store()

    def given_back(self) -> None:
        """Nobody waits for it."""

    def wait_for_room(self, attempt: Callable[[], int]) -> int:
        """Make room until `attempt` gives a payload; -1 if there is truly no room."""
        while True:
            made = self._writeback.make_room()
            payload = attempt()
            if payload >= 0 or not made:
                return payload

    def pause(self) -> None:
        """Nothing is in flight."""

    def resume(self) -> None:
        """Nothing was held back."""

    def close(self) -> None:
        """There is no thread to end."""


class Background:
    """Threads that write back as soon as it is due; stores at the limit wait, in their order.

    Notes: every method is called under the pipeline's lock, which is let go while it waits. A
    waiter holds nothing but its place in the queue.
    """

    unlocked = True

    def __init__(self, writeback: Writeback, lock: threading.Lock) -> None:
        self._writeback = writeback
        self._lock = lock
        self._work = threading.Condition(lock)  # for the writers: there is something to do
        self._again = threading.Condition(lock)  # for the writers, while the device fails
        self._quiet = threading.Condition(lock)  # for `pause`: a writer has come to rest
        self._waiters: deque[threading.Condition] = deque()
        self._busy = 0
        self._paused = 0
        self._closed = False
        self._begun = False  # between the high watermark and the accept threshold
        self._idle_turns = 0  # in a row, that gave nothing back
        self._retry_at = 0.0  # not before that time, while the device fails
        self._failed_turns = 0
        self._refused = False  # the first of those who wait has tried since, and needs more room
        self._failure: BaseException | None = None
        self._threads = [
            threading.Thread(target=self._run, name=f"coldpress-writeback-{n}", daemon=True)
            for n in range(WRITERS)
        ]
        for thread in self._threads:
            thread.start()

    def before_store(self) -> None:
        """The writers see to it."""

    def after_store(self) -> None:
        """Something was stored: wake the writers if it is time."""
        if self._writeback.due:
            self._begun = True
            self._work.notify_all()

    def promoted(self) -> None:
        """Something came back to the pool: wake the writers if it is time."""
        self.after_store()

    def given_back(self) -> None:
        """Something was made smaller: it may be what the first in the queue waits for."""
        self.after_store()
        self._wake_next()

    @property
    def crowded(self) -> bool:
        """Whether stores are waiting: a new one goes behind them."""
        return bool(self._waiters)

    def wait_for_room(self, attempt: Callable[[], int]) -> int:
        """Wait until `attempt` gives a payload; -1 if there is truly no room.

        Those who came earlier try earlier, so that a small object does not keep overtaking a large
        one. While the device is given up, the outcome of the next try to write is waited for.
        Raises `PipelineClosed` if the pipeline is closed meanwhile.
        """
        mine = threading.Condition(self._lock)
        came = self._failed_turns
        self._waiters.append(mine)
        first = False
        try:
            while True:
                self._check()
                if self._waiters[0] is mine:
                    if not first:  # turns from before it was this one's are no reason to refuse it
                        first = True
                        self._idle_turns = 0
                    payload = attempt()
                    self._refused = payload < 0
                    if payload >= 0:
                        return payload
                    given_up = self._writeback.failures >= TRIES and self._failed_turns > came
                    if (given_up or self._idle_turns >= _PATIENCE) and not self._busy:
                        self._idle_turns = 0
                        return attempt() if self._writeback.compact() else -1
                    self._begun = True
                    self._work.notify_all()
                mine.wait()
        finally:
            self._waiters.remove(mine)
            self._wake_next()

    def pause(self) -> None:
        """Let the writers finish what they have begun, and nothing more until `resume`."""
        self._paused += 1
        while self._busy and not self._closed:
            self._quiet.wait()
        if self._closed:
            self._paused -= 1
            self._check()

    def resume(self) -> None:
        """The writers go on."""
        self._paused -= 1
        self._idle_turns = 0
        self._work.notify_all()
        self._again.notify_all()
        self._wake_next()

    def close(self) -> None:
        """End the threads and wake all who wait; the lock is let go until they have ended."""
        self._closed = True
        self._work.notify_all()
        self._again.notify_all()
        self._quiet.notify_all()
        for waiter in self._waiters:
            waiter.notify()
        self._lock.release()
        try:
            for thread in self._threads:
                thread.join()
        finally:
            self._lock.acquire()

    def _check(self) -> None:
        if self._failure is not None:
            raise self._failure
        if self._closed:
            raise PipelineClosed("the pipeline was closed while a store waited for room")

    def _wake_next(self) -> None:
        if self._waiters:
            self._waiters[0].notify()

    def _run(self) -> None:
        with self._lock:
            try:
                while not self._closed:
                    # `close` may have come, and told everybody, while the turn let the lock go.
                    if not self._turn() and not self._closed:
                        self._rest()
            except BaseException as error:  # a plugin's fault: tell those who wait, do not hang
                self._failure = error
                self._closed = True
                for waiter in self._waiters:
                    waiter.notify()
                self._quiet.notify_all()
                raise

    def _rest(self) -> None:
        """Wait until there may be something to do."""
        if not self._begun or self._paused:
            self._work.wait()
        elif self._writeback.failures:
            # Not for `_work`: each store would be one more try of a device that does not answer.
            left = self._retry_at - time.monotonic()
            self._again.wait(left if left > 0 else _RETRY_SECONDS)
        else:
            self._work.wait(_RETRY_SECONDS if self._idle_turns else None)

    def _turn(self) -> bool:
        """Write one block, if it is time and there is one; whether there may be more to do."""
        writeback = self._writeback
        if self._paused:
            return False
        # With many threads someone is always in the queue. That alone is no reason to go on, or the
        # whole pool would be written out.
        if not writeback.wanted and not (self._waiters and self._refused):
            self._begun = False
        if not self._begun:
            writeback.tidy()
            return False
        if writeback.failures and (self._busy or time.monotonic() < self._retry_at):
            return False  # one try at a time
        before, failures = writeback.progress, writeback.failures
        self._busy += 1
        try:
            block = writeback.next_block(writeback.accept, unlocked=True)
            if block is not None:
                writeback.write(block, unlocked=True)
        finally:
            self._busy -= 1
            self._quiet.notify_all()
        if writeback.failures > failures:
            self._failed_turns += 1
            pause = min(_RETRY_SECONDS * 2.0 ** min(failures, 10), _LONGEST_SECONDS)
            self._retry_at = time.monotonic() + pause
        if writeback.progress != before:
            self._idle_turns = 0
            self._again.notify_all()
            # Whoever waits tries first: on a busy machine the whole pool would be written out
            # before that thread has its turn.
            self._refused = False
            self._wake_next()
            return True
        if not self._busy:  # else what is in flight may still give something back
            self._idle_turns += 1
            self._wake_next()
        return False
