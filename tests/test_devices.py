"""What every device promises. The medium is read behind its back: it can not vouch for itself."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from media import MEDIA, PAGE, SIZE, Medium, buffer, noise, read

from coldpress import DeviceError
from coldpress.flat import OS_PAGE, resident
from coldpress_plugins.devices.file import FileDevice
from coldpress_plugins.devices.memory import MemoryDevice
from coldpress_plugins.devices.nvme import NvmeDevice


class DeviceContract:
    """What holds for every device; a subclass has the fixture `medium`."""

    def test_a_write_is_on_the_medium_at_its_offset_and_nowhere_else(self, medium: Medium) -> None:
        data = noise(3 * PAGE)
        medium.device.write(5 * PAGE, buffer(data))
        medium.device.flush()
        expected = bytearray(SIZE)
        expected[5 * PAGE : 8 * PAGE] = data
        assert medium.contents() == expected

    def test_a_read_gives_what_the_medium_holds_at_its_offset(self, medium: Medium) -> None:
        data = noise(3 * PAGE, 2)
        medium.plant(7 * PAGE, data)
        assert read(medium.device, 7 * PAGE, 3 * PAGE) == data
        assert read(medium.device, 8 * PAGE, PAGE) == data[PAGE : 2 * PAGE]

    def test_the_last_bytes_belong_to_it_and_the_next_do_not(self, medium: Medium) -> None:
        data = noise(PAGE, 3)
        medium.device.write(SIZE - PAGE, buffer(data))
        assert read(medium.device, SIZE - PAGE, PAGE) == data
        before = medium.contents()
        for offset, length in ((SIZE, PAGE), (SIZE - PAGE, 2 * PAGE), (-PAGE, PAGE)):
            with pytest.raises(ValueError, match="not inside"):
                medium.device.write(offset, buffer(length))
            with pytest.raises(ValueError, match="not inside"):
                medium.device.read_into(offset, buffer(length))
            with pytest.raises(ValueError, match="not inside"):
                medium.device.discard(offset, length)
        with pytest.raises(ValueError, match="not inside"):
            medium.device.discard(PAGE, -PAGE)
        assert medium.contents() == before

    def test_everything_between_matches_a_model(self, medium: Medium) -> None:
        pages = SIZE // PAGE
        spans = st.tuples(st.integers(0, pages - 1), st.integers(1, 8))
        steps = st.lists(st.tuples(st.sampled_from("wwrd"), spans, st.integers(0, 255)), max_size=9)
        model = bytearray(medium.contents())
        unknown: set[int] = set()  # pages that were discarded

        @settings(max_examples=20)
        @given(steps)
        def run(script: list[tuple[str, tuple[int, int], int]]) -> None:
            for kind, (first, count), seed in script:
                last = min(first + count, pages)
                start, end = first * PAGE, last * PAGE
                if kind == "w":
                    model[start:end] = noise(end - start, seed)
                    medium.device.write(start, buffer(bytes(model[start:end])))
                    unknown.difference_update(range(first, last))
                elif kind == "d":
                    medium.device.discard(start, end - start)
                    unknown.update(range(first, last))
                elif unknown.isdisjoint(range(first, last)):
                    assert read(medium.device, start, end - start) == model[start:end]
            found = medium.contents()
            for number in set(range(pages)) - unknown:
                place = slice(number * PAGE, (number + 1) * PAGE)
                assert found[place] == model[place]

        run()

    def test_wide_items_count_as_their_bytes(self, medium: Medium) -> None:
        data = buffer(noise(2 * PAGE))
        medium.device.write(PAGE, data.cast("Q"))
        assert medium.contents()[PAGE : 3 * PAGE] == data
        into = buffer(2 * PAGE)
        medium.device.read_into(PAGE, into.cast("I"))
        assert into == data

    def test_read_only_data_is_written(self, medium: Medium) -> None:
        data = buffer(noise(PAGE))
        medium.device.write(0, data.toreadonly())
        assert medium.contents()[:PAGE] == data

    def test_no_bytes_are_no_io(self, medium: Medium) -> None:
        medium.device.write(PAGE, b"")
        medium.device.read_into(PAGE, memoryview(bytearray()))
        medium.device.discard(PAGE, 0)
        assert medium.contents() == bytes(SIZE)

    def test_discard_gives_memory_back_and_spares_the_rest(self, medium: Medium) -> None:
        data = noise(SIZE)
        medium.device.write(0, buffer(data))
        medium.device.flush()
        before = medium.real_bytes()
        medium.device.discard(256 << 10, 512 << 10)
        medium.device.flush()
        assert before - medium.real_bytes() >= 500 << 10
        found = medium.contents()
        assert found[: 256 << 10] == data[: 256 << 10]
        assert found[768 << 10 :] == data[768 << 10 :]

    def test_threads_do_not_meet(self, medium: Medium) -> None:
        share, rounds, length = SIZE // 4, 40, 4 * PAGE
        wrong: list[str] = []

        def work(number: int) -> None:
            rng, model = random.Random(number), bytearray(share)
            for _ in range(rounds):
                at = rng.randrange(share // PAGE - 3) * PAGE
                model[at : at + length] = rng.randbytes(length)
                medium.device.write(number * share + at, buffer(bytes(model[at : at + length])))
                again = rng.randrange(share // PAGE - 3) * PAGE
                if read(medium.device, number * share + again, length) != model[again:][:length]:
                    wrong.append(f"thread {number} at {again}")
            models[number] = bytes(model)

        models: dict[int, bytes] = {}
        threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not wrong
        assert medium.contents() == b"".join(models[number] for number in range(4))

    def test_after_close_everything_but_close_says_so(self, medium: Medium) -> None:
        medium.device.close()
        for call in (
            lambda: medium.device.read_into(0, buffer(PAGE)),
            lambda: medium.device.write(0, buffer(PAGE)),
            lambda: medium.device.discard(0, PAGE),
            lambda: medium.device.flush(),
        ):
            with pytest.raises(DeviceError, match="device is closed"):
                call()
        medium.device.close()

    def test_it_opens_again_after_close(self, medium: Medium) -> None:
        medium.device.close()
        medium.device.open()
        medium.device.write(0, buffer(noise(PAGE)))
        assert read(medium.device, 0, PAGE) == noise(PAGE)


class TestContract(DeviceContract):
    @pytest.fixture(params=MEDIA)
    def medium(self, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Medium]:
        with MEDIA[request.param](tmp_path) as medium:
            yield medium


@pytest.fixture(params=["memory", "file"])
def unaligned(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Medium]:
    with MEDIA[request.param](tmp_path) as medium:
        yield medium


def test_any_offset_length_and_address_goes_where_alignment_is_1(unaligned: Medium) -> None:
    assert unaligned.device.alignment == 1
    data = bytearray(noise(1001))
    unaligned.device.write(4095, memoryview(data)[1:])
    unaligned.device.write(9, b"bytes")
    unaligned.device.flush()
    found = unaligned.contents()
    assert found[4095:5095] == data[1:]
    assert found[9:14] == b"bytes"
    into = bytearray(12)
    unaligned.device.read_into(7, memoryview(into)[1:])
    assert into == b"\0\0\0bytes\0\0\0\0"


def test_discard_spares_the_pages_that_it_touches_in_part(unaligned: Medium) -> None:
    data = noise(SIZE)
    unaligned.device.write(0, data)
    unaligned.device.discard(1, PAGE - 1)
    unaligned.device.discard(2 * PAGE + 1, 3 * PAGE)
    found = unaligned.contents()
    assert found[0] == data[0]
    assert found[PAGE : 2 * PAGE + 1] == data[PAGE : 2 * PAGE + 1]
    assert found[5 * PAGE + 1 :] == data[5 * PAGE + 1 :]


def test_memory_that_can_not_be_reserved_is_an_error() -> None:
    for size in (1 << 62, 1 << 70):
        with pytest.raises(DeviceError, match=f"memory: can not reserve {size} bytes"):
            MemoryDevice(size=size).open()


def test_memory_is_real_only_where_it_was_written() -> None:
    device = MemoryDevice(size=1 << 32)
    device.open()
    device.write((1 << 32) - 1, b"x")
    assert device._view is not None
    assert resident(device._view[-SIZE:]) == OS_PAGE
    device.close()


def test_a_path_must_name_something() -> None:
    for device in (FileDevice, NvmeDevice):
        for path in ("", "a\0b"):
            with pytest.raises(ValueError, match="must name a file"):
                device(path=path)
    with pytest.raises(TypeError, match="path"):
        NvmeDevice()  # type: ignore[call-arg]
