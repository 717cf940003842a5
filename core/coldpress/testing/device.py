"""What every device promises. The medium is read behind its back: it can not vouch for itself."""

from __future__ import annotations

import os
import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coldpress.errors import DeviceError
from coldpress.flat import OS_PAGE
from coldpress.roles import Device
from coldpress.testing.kit import Kit, built
from coldpress.testing.leftovers import Before
from coldpress.testing.pages import same
from coldpress.testing.ranges import SIZE, RangeModel, agree, buffer, noise, read
from coldpress.testing.threads import THREADS, interleaved, run_threads
from coldpress.testing.whole import WholePipelineTests


class DeviceContract(Kit):
    """The checks of the role alone, on a device of 1 MiB if the options do not say otherwise."""

    role = "device"
    plugin: ClassVar[type[Device]]

    def outside(self, device: Device, offset: int, length: int) -> bytes | None:
        """What the medium of the open device holds there, read without the device.

        None: there is no way to it, and the checks must believe what the device reads. Without an
        override it is the file or block device that the option `path` names, byte by byte; a
        device that lays it out otherwise overrides this.
        """
        path = getattr(device, "path", None)
        if not isinstance(path, str) or not (Path(path).is_file() or Path(path).is_block_device()):
            return None
        with open(path, "rb", buffering=0) as file:
            return os.pread(file.fileno(), length, offset).ljust(length, b"\0")

    def real_bytes(self, device: Device) -> int | None:
        """What the medium of the open device takes now; None if that can not be told.

        To give back what is discarded is a hint's matter: an override says that the device does.
        """
        return None

    def device(self, scratch: Path) -> Any:
        """A new device, not open yet."""
        return built(self.role, self.plugin, {"size": SIZE, **self.given(scratch)})

    @contextmanager
    def opened(self, scratch: Path) -> Iterator[Device]:
        device: Device = self.device(scratch)
        device.open()
        try:
            yield device
        finally:
            device.close()

    @pytest.fixture
    def medium(self, scratch: Path) -> Iterator[Device]:
        """An open device."""
        with self.opened(scratch) as device:
            yield device

    def held(self, device: Device, offset: int = 0, length: int | None = None) -> bytes:
        """What the medium holds after a flush, from outside if there is a way to it."""
        length = device.size if length is None else length
        device.flush()
        inside = read(device, offset, length)
        found = self.outside(device, offset, length)
        if found not in (None, inside):
            raise AssertionError("the medium does not hold what the device reads from it")
        return inside

    def fill(self, device: Device) -> bytearray:
        """Something else in every place; what that is."""
        model = bytearray(noise(device.size, 99))
        device.write(0, buffer(bytes(model), self.unit(device)))
        agree(self.held(device), model)
        return model

    def unit(self, device: Device) -> int:
        """A length that any device takes, and any address that is a multiple of it."""
        return max(OS_PAGE, device.alignment)

    def test_its_alignment_and_queue_depth_are_numbers_that_can_be_used(
        self, medium: Device
    ) -> None:
        assert medium.alignment >= 1
        assert medium.alignment.bit_count() == 1, "it is no power of two"
        assert medium.size % medium.alignment == 0
        assert medium.queue_depth >= 1

    def test_a_write_is_at_its_offset_and_nowhere_else(self, medium: Device) -> None:
        model, unit = self.fill(medium), self.unit(medium)
        for place, (first, count) in enumerate(((5, 3), (0, 1), (20, 16), (21, 1), (6, 4))):
            start, end = first * unit, (first + count) * unit
            model[start:end] = noise(end - start, place)
            medium.write(start, buffer(bytes(model[start:end]), unit))
            agree(read(medium, start, end - start), model[start:end], start)
            agree(self.held(medium), model)

    def test_what_was_written_is_there_before_a_flush_and_after(self, medium: Device) -> None:
        model, unit = self.fill(medium), self.unit(medium)
        pages = range(medium.size // unit)
        for seed, looks in enumerate((False, True, False)):
            for place, number in enumerate(random.Random(seed).choices(pages, k=2 * len(pages))):
                start = number * unit
                model[start : start + unit] = random.Random(f"{seed} {place}").randbytes(unit)
                medium.write(start, buffer(bytes(model[start : start + unit]), unit))
            if looks:
                agree(read(medium, 0, medium.size), model)
            agree(self.held(medium), model)

    def test_a_write_is_complete_when_it_returns(self, medium: Device) -> None:
        unit = self.unit(medium)
        data = buffer(noise(4 * unit), unit)
        medium.write(unit, data)
        assert same(data, noise(4 * unit)), "a write changed what it was given"
        data[:] = bytes(4 * unit)
        agree(self.held(medium, unit, 4 * unit), noise(4 * unit))

    def test_the_last_bytes_belong_to_it_and_the_next_do_not(self, medium: Device) -> None:
        model, unit, size = self.fill(medium), self.unit(medium), medium.size
        model[-unit:] = noise(unit, 3)
        medium.write(size - unit, buffer(noise(unit, 3), unit))
        for offset, length in (
            (size, unit),
            (size - unit, 2 * unit),
            (-unit, unit),
            (1 << 62, unit),
        ):
            for call in self.calls(medium, offset, length):
                with pytest.raises(ValueError):  # noqa: PT011 - in the device's own words
                    call()
        with pytest.raises(ValueError):  # noqa: PT011
            medium.discard(unit, -unit)
        agree(self.held(medium), model)

    def calls(self, device: Device, offset: int, length: int) -> list[Callable[[], None]]:
        """All calls that name a range, for this one."""
        view = buffer(length, self.unit(device))
        return [
            lambda: device.read_into(offset, view),
            lambda: device.write(offset, view),
            lambda: device.discard(offset, length),
        ]

    def test_what_is_not_aligned_is_refused(self, medium: Device) -> None:
        if medium.alignment == 1:
            pytest.skip("it takes any offset, length and address: its alignment is 1")
        model, unit = self.fill(medium), self.unit(medium)
        off = medium.alignment // 2
        room = buffer(2 * unit, unit)[off : off + unit]
        with pytest.raises(ValueError):  # noqa: PT011 - in the device's own words
            medium.write(0, room)
        with pytest.raises(ValueError):  # noqa: PT011
            medium.read_into(0, room)
        for offset, length in ((off, unit), (0, unit + off)):
            for call in self.calls(medium, offset, length):
                with pytest.raises(ValueError):  # noqa: PT011
                    call()
        agree(self.held(medium), model)

    def test_any_offset_length_and_address_goes_where_alignment_is_1(self, medium: Device) -> None:
        if medium.alignment > 1:
            pytest.skip(f"it is aligned to {medium.alignment} bytes")
        model = self.fill(medium)
        for offset, data in ((4095, noise(1001)), (9, b"bytes"), (8190, b"x" * 5), (0, b"0")):
            model[offset : offset + len(data)] = data
            odd = bytearray(b"!" + data + b"!")
            for given_as in (bytes(data), bytearray(data), memoryview(odd)[1:-1]):
                medium.write(offset, given_as)
            into = bytearray(b"\xee" * (len(data) + 2))
            medium.read_into(offset, memoryview(into)[1:-1])
            assert same(into, b"\xee" + data + b"\xee")
        agree(self.held(medium), model)

    def test_wide_items_count_as_their_bytes(self, medium: Device) -> None:
        unit = self.unit(medium)
        data = buffer(noise(2 * unit), unit)
        medium.write(unit, data.cast("Q"))
        agree(self.held(medium, unit, 2 * unit), noise(2 * unit))
        into = buffer(2 * unit, unit)
        medium.read_into(unit, into.cast("I"))
        agree(bytes(into), noise(2 * unit))

    def test_read_only_data_is_written(self, medium: Device) -> None:
        unit = self.unit(medium)
        data = buffer(noise(unit), unit)
        medium.write(0, data.toreadonly())
        agree(self.held(medium, 0, unit), noise(unit))

    def test_no_bytes_are_no_io(self, medium: Device) -> None:
        model, unit = self.fill(medium), self.unit(medium)
        medium.write(unit, b"")
        medium.read_into(unit, memoryview(bytearray()))
        medium.discard(unit, 0)
        agree(self.held(medium), model)

    def test_discard_spares_the_rest(self, medium: Device) -> None:
        model, unit, step = self.fill(medium), self.unit(medium), medium.alignment
        gone = [(8 * unit, 4 * unit), (20 * unit + step, 3 * unit), (0, step)]
        for offset, length in gone:
            medium.discard(offset, length)
        medium.flush()
        for view in (read(medium, 0, medium.size), self.outside(medium, 0, medium.size)):
            found = bytearray(view or model)
            for offset, length in gone:  # which reads as anything
                found[offset : offset + length] = model[offset : offset + length]
            agree(found, model)
        medium.write(8 * unit, buffer(noise(4 * unit), unit))
        agree(self.held(medium, 8 * unit, 4 * unit), noise(4 * unit))

    def test_discard_gives_room_back(self, medium: Device) -> None:
        self.fill(medium)
        before = self.real_bytes(medium)
        if before is None:
            pytest.skip("the kit can not tell: override `real_bytes`")
        medium.discard(medium.size // 4, medium.size // 2)
        medium.flush()
        after = self.real_bytes(medium)
        assert after is not None
        assert before - after >= medium.size // 2 - 4 * self.unit(medium)

    def test_against_a_model(self, scratch: Path) -> None:
        @self.settings()
        @given(st.data())
        def run(data: st.DataObject) -> None:
            with self.opened(scratch) as device:
                model = RangeModel(device, self.unit(device))
                model.run(data)
                device.flush()
                model.same(read(device, model.start, model.span), 0)
                outside = self.outside(device, model.start, model.span)
                if outside is not None:
                    model.same(outside, 0)

        run()

    def test_threads_do_not_meet(self, medium: Device) -> None:
        unit = self.unit(medium)
        self.stripes(medium, 4 * unit, rounds=40)

    def test_threads_side_by_side_do_not_meet(self, medium: Device) -> None:
        """What a device keeps in units larger than its alignment is read, changed and written."""
        self.stripes(medium, max(medium.alignment, 512), rounds=60)

    def stripes(self, device: Device, width: int, rounds: int) -> None:
        """Threads that write and read at once, each in every fourth stripe of this width."""
        model, unit = self.fill(device), self.unit(device)
        # Few places, so that they meet.
        count = min(device.size // width // THREADS, 16)
        wrong: list[str] = []

        def work(number: int) -> None:
            rng = random.Random(number)
            data = buffer(width, unit)
            try:
                for _ in range(rounds):
                    at = (rng.randrange(count) * THREADS + number) * width
                    data[:] = model[at : at + width] = rng.randbytes(width)
                    with interleaved(rng.getrandbits(30)):
                        device.write(at, data)
                    again = (rng.randrange(count) * THREADS + number) * width
                    if read(device, again, width) != model[again : again + width]:
                        wrong.append(f"thread {number} at {again}")
            except BaseException as error:
                wrong.append(f"thread {number}: {error!r}")

        run_threads(work)
        assert not wrong
        agree(self.held(device), model)

    def test_after_close_everything_but_close_says_so(self, medium: Device) -> None:
        unit = self.unit(medium)
        medium.close()
        for call in (*self.calls(medium, 0, unit), medium.flush):
            with pytest.raises(DeviceError):
                call()
        medium.close()

    def test_calls_during_close_end_or_say_so(self, medium: Device) -> None:
        unit = self.unit(medium)
        calls = [*self.calls(medium, 0, unit), medium.flush]
        ended = time.monotonic() + 10
        errors: list[BaseException] = []
        running = threading.Barrier(len(calls) + 1)

        def work(number: int) -> None:
            if number == len(calls):
                running.wait()
                time.sleep(0.01)
                medium.close()
                return
            running.wait()
            try:
                while time.monotonic() < ended:
                    calls[number]()
            except BaseException as error:
                errors.append(error)

        run_threads(work, len(calls) + 1)
        assert len(errors) == len(calls), "a closed device went on"
        assert all(isinstance(error, DeviceError) for error in errors), errors

    def test_it_opens_again_after_close(self, scratch: Path) -> None:
        device = self.device(scratch)
        for seed in range(3):
            device.open()
            self.fill(device)
            unit = self.unit(device)
            device.write(unit, buffer(noise(unit, seed), unit))
            agree(self.held(device, unit, unit), noise(unit, seed), unit)
            device.close()

    def test_it_leaves_nothing_behind(self, scratch: Path) -> None:
        def once() -> None:
            with self.opened(scratch):
                pass

        before = Before(scratch, once)
        with self.opened(scratch) as device:
            if device.persistent:
                pytest.skip("its contents outlive close")
            self.fill(device)
        before.check()

    def test_a_second_one_is_refused_or_apart(self, scratch: Path) -> None:
        with self.opened(scratch) as device:
            unit = self.unit(device)
            blank = bytes(device.size)  # which a second one has no other reason to refuse
            device.write(0, buffer(blank, unit))
            device.flush()
            second = self.device(scratch)
            try:
                second.open()
            except DeviceError:
                for call in (*self.calls(second, 0, unit), second.flush):
                    with pytest.raises(DeviceError):
                        call()
            else:
                second.write(unit, buffer(noise(unit), unit))
                second.flush()
            alone = read(device, 0, device.size) == blank
            assert alone, "two are on one medium"
            model = self.fill(device)
            second.close()
            alone = self.held(device) == model
            assert alone, "the second took the first one's bytes along"

    def test_a_failed_open_leaves_no_trace(self, scratch: Path) -> None:
        given = self.given(scratch)
        if "path" not in given:
            pytest.skip("it has no option `path` that could be wrong")
        (scratch / "file").touch()
        wrong = {"size": SIZE, **given, "path": str(scratch / "file" / "cold.img")}
        before = Before(scratch)
        device = built(self.role, self.plugin, wrong)
        with pytest.raises(DeviceError) as caught:
            device.open()
        before.check()  # even while the error lives
        assert str(caught.value)
        with pytest.raises(DeviceError):
            device.flush()
        device.close()


class DeviceTests(WholePipelineTests, DeviceContract):
    """Proves a device: subclass it as `TestYours` and set `plugin`.

    An option `path` that is not given is a file in the scratch folder. What is written is looked
    for on the medium itself, see `outside`; whether a flush reached what survives a power cut no
    check can tell.
    """
