"""What every frontend promises: it serves, it stops, and it leaves nothing behind."""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, ClassVar, Protocol

import pytest

from coldpress.config import load_config
from coldpress.errors import DeviceError, SlotEmpty
from coldpress.pipeline import Pipeline
from coldpress.roles import Frontend
from coldpress.testing.kit import Kit
from coldpress.testing.leftovers import Before
from coldpress.testing.pages import PAGE, any_page, same
from coldpress.testing.sockets import Listener, listeners
from coldpress.testing.threads import THREADS, run_threads

SLOTS = 256


class Client(Protocol):
    """A connection to a frontend that serves; every call returns when it was answered."""

    def read(self, slot: int) -> bytes | None:
        """The slot's page; of an empty slot None, or zeros if the frontend can not tell."""

    def write(self, slot: int, page: bytes) -> None:
        """Put a page, of the pipeline's size, into the slot."""

    def discard(self, slot: int) -> None:
        """Empty the slot."""


class FrontendContract(Kit):
    """The checks of the role, most of them through a client if there is one."""

    role = "frontend"
    plugin: ClassVar[type[Frontend]]
    patience: ClassVar[float] = 10.0
    """Seconds after which `serve` is taken to go on for ever."""

    def client(self, frontend: Frontend) -> AbstractContextManager[Client] | None:
        """A new connection to the frontend, which serves; None: the kit has no way to it.

        Override it: without, it is not known what becomes of a page. An `OSError` means that it is
        not ready yet: it is tried again.
        """
        return None

    @contextmanager
    def connected(self, frontend: Frontend) -> Iterator[Client]:
        if not self.can_ask():
            pytest.skip("the kit can not ask it for pages: override `client`")
        late = time.monotonic() + self.patience
        with ExitStack() as stack:
            while True:
                try:
                    found = self.client(frontend)
                    assert found is not None
                    client = stack.enter_context(found)
                    break
                except OSError:
                    if time.monotonic() > late:
                        raise
                    time.sleep(0.01)
            yield client

    def can_ask(self) -> bool:
        """Whether there is a way to a client."""
        return type(self).client is not FrontendContract.client

    @pytest.fixture
    def frontend(self, scratch: Path) -> Frontend:
        made: Frontend = self.make(scratch)
        return made

    @pytest.fixture
    def pipeline(self) -> Iterator[Pipeline]:
        """A pipeline whose pool holds about a quarter of its pages, some of them stored."""
        shape = {
            "slots": SLOTS,
            "compressor": {"use": "lz4"},
            "allocator": {"use": "zsmalloc", "limit": "256KiB", "chain": 4},
            "packer": {"block": "16KiB"},
            "device": {"use": "memory", "size": "8MiB"},
        }
        with Pipeline(load_config(shape)) as pipeline:
            for slot in range(0, SLOTS, 2):
                pipeline.store(slot, any_page(slot, 0))
            yield pipeline

    @contextmanager
    def serving(self, frontend: Frontend, pipeline: Pipeline) -> Iterator[threading.Thread]:
        """The frontend at work in a thread; at the end it was stopped and has returned."""
        errors: list[BaseException] = []

        def serve() -> None:
            try:
                frontend.serve(pipeline)
            except BaseException as error:
                errors.append(error)

        before = listeners()
        # One that does not stop must not keep the whole run from ending.
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        ready = time.monotonic() + 0.2
        while thread.is_alive() and time.monotonic() < ready and listeners() <= before:
            time.sleep(0.005)
        try:
            assert thread.is_alive(), f"serve has returned though nobody stopped it: {errors}"
            yield thread
        finally:
            self.stop(frontend, thread)
        assert not errors

    def stop(self, frontend: Frontend, thread: threading.Thread) -> None:
        """Stop it. A call before `serve` has quite begun may be lost, so there are more."""
        late = time.monotonic() + self.patience
        while True:
            began = time.monotonic()
            frontend.stop()
            assert time.monotonic() - began < 1, "stop did not return at once"
            thread.join(0.5)
            if not thread.is_alive():
                return
            assert time.monotonic() < late, "serve goes on after stop"

    def test_it_stops_from_another_thread_and_serves_again(
        self, frontend: Frontend, pipeline: Pipeline
    ) -> None:
        for _ in range(3):
            with self.serving(frontend, pipeline):
                pass

    def test_it_stops_from_a_signal_handler(self, frontend: Frontend, pipeline: Pipeline) -> None:
        if threading.current_thread() is not threading.main_thread():
            pytest.skip("signals come to the main thread, and the checks run in another")
        main = threading.get_ident()
        returned = threading.Event()

        def late(*_: object) -> None:
            raise TimeoutError("serve goes on after a signal handler called stop")

        def send() -> None:
            ended = time.monotonic() + self.patience
            while not returned.wait(0.2):
                over = time.monotonic() > ended
                signal.pthread_kill(main, signal.SIGUSR2 if over else signal.SIGUSR1)

        handlers = {
            signal.SIGUSR1: signal.signal(signal.SIGUSR1, lambda *_: frontend.stop()),
            signal.SIGUSR2: signal.signal(signal.SIGUSR2, late),
        }
        sender = threading.Thread(target=send)
        try:
            sender.start()
            frontend.serve(pipeline)
        finally:
            returned.set()
            sender.join()
            for number, handler in handlers.items():
                signal.signal(number, handler)

    def test_stop_before_serve_or_twice_is_no_error(
        self, frontend: Frontend, pipeline: Pipeline
    ) -> None:
        frontend.stop()
        thread = threading.Thread(target=frontend.serve, args=(pipeline,), daemon=True)
        thread.start()
        self.stop(frontend, thread)
        frontend.stop()
        frontend.stop()

    def test_the_pipeline_is_left_as_it_was(self, frontend: Frontend, pipeline: Pipeline) -> None:
        before = {slot: held(pipeline, slot) for slot in range(SLOTS)}
        with self.serving(frontend, pipeline):
            pass
        assert {slot: held(pipeline, slot) for slot in range(SLOTS)} == before
        pipeline.store(1, any_page(1, 1))
        assert same(pipeline.load(1), any_page(1, 1))

    def test_it_leaves_nothing_behind(
        self, frontend: Frontend, pipeline: Pipeline, scratch: Path
    ) -> None:
        def once() -> None:
            with self.serving(frontend, pipeline):
                if self.can_ask():
                    with self.connected(frontend) as client:
                        client.read(0)

        before = Before(scratch, once)
        once()
        once()
        before.check()

    def test_only_this_machine_reaches_it(self, frontend: Frontend, pipeline: Pipeline) -> None:
        """It was not told to listen anywhere else."""
        before = listeners()
        mask = os.umask(0)
        try:
            with self.serving(frontend, pipeline):
                found = listeners() - before
                far = [one for one in found if not one.is_near]
                assert not far, f"others can reach it: {far}"
                for one in found:
                    self.check_owner(one)
        finally:
            os.umask(mask)

    def check_owner(self, listener: Listener) -> None:
        path = Path(listener.address)
        if listener.kind == "unix" and path.exists():
            mode = path.stat().st_mode & 0o777
            assert not mode & 0o077, f"others may use its socket {path}, mode {mode:o}"

    def test_what_is_stored_is_served(self, frontend: Frontend, pipeline: Pipeline) -> None:
        expected = {slot: held(pipeline, slot) for slot in range(SLOTS)}
        with self.serving(frontend, pipeline), self.connected(frontend) as client:
            for slot, data in expected.items():
                assert alike(client.read(slot), data), f"slot {slot}"

    def test_a_random_history_through_it(self, frontend: Frontend, pipeline: Pipeline) -> None:
        model = {slot: held(pipeline, slot) for slot in range(SLOTS)}
        for seed in range(3):  # each by a connection of its own, and after the other was stopped
            with self.serving(frontend, pipeline), self.connected(frontend) as client:
                history(client, model, range(SLOTS), seed, 400)
            for slot, data in model.items():
                assert alike(held(pipeline, slot), data), f"slot {slot} lost what was acknowledged"

    def test_clients_at_once(self, frontend: Frontend, pipeline: Pipeline) -> None:
        models: dict[int, dict[int, bytes | None]] = {}
        errors: list[BaseException] = []

        def work(number: int) -> None:
            mine = range(number, SLOTS, THREADS)
            models[number] = model = {slot: held(pipeline, slot) for slot in mine}
            try:
                for seed in range(2):
                    with self.connected(frontend) as client:
                        history(client, model, mine, seed * THREADS + number, 150)
            except BaseException as error:
                errors.append(error)

        with self.serving(frontend, pipeline):
            with self.connected(frontend) as client:
                assert alike(client.read(0), any_page(0, 0))
            run_threads(work)
        assert not errors, errors
        for model in models.values():
            for slot, data in model.items():
                assert alike(held(pipeline, slot), data), f"slot {slot}"

    def test_it_stops_though_a_client_is_connected(
        self, frontend: Frontend, pipeline: Pipeline
    ) -> None:
        with self.serving(frontend, pipeline) as thread, self.connected(frontend) as client:
            client.write(3, any_page(3, 1))  # it serves: no call of stop is lost from here on
            frontend.stop()
            thread.join(self.patience)
            assert not thread.is_alive(), "serve goes on after stop"
        assert same(pipeline.load(3), any_page(3, 1))

    def test_a_request_that_was_begun_is_finished(
        self, frontend: Frontend, pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        begun, go = threading.Event(), threading.Event()

        def slowly() -> None:
            begun.set()
            go.wait(self.patience)

        self.interpose(monkeypatch, pipeline, ("store", "store_many"), slowly)
        with self.serving(frontend, pipeline) as thread, self.connected(frontend) as client:

            def write() -> None:
                with suppress(Exception):  # the answer may be lost, the write may not
                    client.write(5, any_page(5, 1))

            writer = threading.Thread(target=write)
            writer.start()
            try:
                assert begun.wait(self.patience), "a write does not reach the pipeline"
                began = time.monotonic()
                frontend.stop()
                assert time.monotonic() - began < 1, "stop waited for a request"
                time.sleep(0.1)
                assert thread.is_alive(), "serve has returned before a request was done"
            finally:
                go.set()
                writer.join()
        assert same(pipeline.load(5), any_page(5, 1))

    def test_an_error_of_the_pipeline_does_not_end_it(
        self, frontend: Frontend, pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def fail() -> None:
            raise DeviceError("a device that fails")

        reads, writes = ("load", "load_into", "load_many"), ("store", "store_many")
        with self.serving(frontend, pipeline) as thread:
            with monkeypatch.context() as patch:
                self.interpose(patch, pipeline, reads + writes, fail)
                for _ in range(3):
                    with suppress(Exception), self.connected(frontend) as client:
                        client.read(0)
                    with suppress(Exception), self.connected(frontend) as client:
                        client.write(0, any_page(0, 7))
            assert thread.is_alive()
            assert same(pipeline.load(0), any_page(0, 0))
            with self.connected(frontend) as client:
                client.write(0, any_page(0, 8))
                assert same(client.read(0), any_page(0, 8))

    def interpose(
        self,
        patch: pytest.MonkeyPatch,
        pipeline: Pipeline,
        names: tuple[str, ...],
        first: Callable[[], None],
    ) -> None:
        """Have these calls of the pipeline do something else first."""
        for name in names:
            real = getattr(pipeline, name)

            def call(*args: Any, real: Any = real) -> Any:
                first()
                return real(*args)

            patch.setattr(pipeline, name, call)


class FrontendTests(FrontendContract):
    """Proves a frontend: subclass it as `TestYours` and set `plugin`.

    With `client` it is asked for pages: random histories by one and by several connections, on a
    pipeline that writes back all the time, whose slots are looked at behind its back. An option
    `path` that is not given is in the scratch folder.
    """


def held(pipeline: Pipeline, slot: int) -> bytes | None:
    """What the pipeline itself has in the slot."""
    try:
        return pipeline.load(slot)
    except SlotEmpty:
        return None


def alike(found: bytes | None, expected: bytes | None) -> bool:
    """A frontend may not be able to tell an empty slot from zeros."""
    return (found or bytes(PAGE)) == (expected or bytes(PAGE))


def history(
    client: Client, model: dict[int, bytes | None], slots: range, seed: int, steps: int
) -> None:
    """Random reads, writes and discards of these slots; the model follows."""
    rng = random.Random(seed)
    for step in range(steps):
        slot = rng.choice(slots)
        what = rng.random()
        if what < 0.45:
            model[slot] = page = any_page(slot, seed * 1000 + step)
            client.write(slot, page)
        elif what < 0.55:
            model[slot] = None
            client.discard(slot)
        else:
            assert alike(client.read(slot), model[slot]), f"slot {slot} at step {step}"
