from __future__ import annotations

from pathlib import Path
from typing import Any

import attrs
import fake_plugins
import pytest
from fake_plugins import concrete, load, plugin, problems
from hypothesis import given
from hypothesis import strategies as st

import coldpress
from coldpress import ConfigError
from coldpress.registry import Registry


def both(instance: Any, attribute: attrs.Attribute[int], value: int) -> None:
    if value > instance.most:
        raise ValueError(f"must not be above most, {instance.most}, got {value}")


def compressor(**options: Any) -> Registry:
    fake = concrete(coldpress.Compressor, "acme", **options)
    return fake_plugins.registry((plugin("acme", compressor=[fake]), "acme", "1"))


@pytest.mark.parametrize(
    ("kind", "validator", "value", "message"),
    [
        (int, attrs.validators.ge(3), 2, "must be >= 3, got 2"),
        (str, attrs.validators.in_(["a", "b"]), "c", "must be in ['a', 'b'], got 'c'"),
        (str, attrs.validators.matches_re("[a-z]+"), "7", "must match regex '[a-z]+' ('7' doesn't"),
        (str, attrs.validators.min_len(2), "a", "Length of 'x' must be >= 2: 1"),
        (
            int,
            attrs.validators.or_(attrs.validators.gt(5), attrs.validators.lt(3)),
            4,
            "4 is not possible",
        ),
        (int, attrs.validators.not_(attrs.validators.in_([4])), 4, "4 is not possible"),
        (int | None, attrs.validators.ge(3), None, "none is not possible"),
        (str, lambda *_: Path("nowhere").read_text(), "x", "No such file or directory"),
        (str, lambda *_: b"\xff".decode(), "x", "can't decode byte"),
        (str, lambda *_: int("two\nlines"), "x", "invalid literal for int"),
        (str, lambda *_: [][0], "x", "list index out of range"),
    ],
)
def test_a_validator_s_message_is_fit_for_users(
    kind: Any, validator: Any, value: object, message: str
) -> None:
    registry = compressor(x=(kind, coldpress.option(help="", validator=validator)))
    (problem,) = problems({"compressor": {"use": "acme", "x": value}}, registry=registry)
    assert problem.startswith("compressor.x: 'x' in [compressor] acme: ")
    assert message in problem
    assert not any(ugly in problem for ugly in ("\n", "<class", "validator", "Attribute("))


def test_a_validator_sees_the_other_fields() -> None:
    registry = compressor(
        least=(int, coldpress.option(default=1, help="", validator=both)),
        most=(int, coldpress.option(default=5, help="")),
    )
    assert load({"compressor": {"use": "acme", "least": 5}}, registry=registry)
    (problem,) = problems({"compressor": {"use": "acme", "least": 6}}, registry=registry)
    assert "'least' in [compressor] acme: must not be above most, 5, got 6" in problem


def test_an_error_of_the_whole_component_stands_at_its_table() -> None:
    @attrs.define(slots=False, eq=False, kw_only=True)
    class Picky(fake_plugins.Lz4):  # type: ignore[misc]
        name = "picky"

        def __attrs_post_init__(self) -> None:
            raise RuntimeError("not on a Sunday")

    registry = fake_plugins.registry((plugin("acme", compressor=[Picky]), "acme", "1"))
    assert problems({"slots": 0, "compressor": {"use": "picky"}}, registry=registry) == [
        "slots: 'slots': must be from 1 to 4294967294, got 0",
        "compressor: [compressor] picky: not on a Sunday",
    ]


ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=6,
)
KEYS = ["use", "level", "limit", "block", "size", "path", "high", "accept", "promote", "pages"]
TABLES = ["compressor", "allocator", "packer", "device", "writeback", "cache", "slots", "entries"]


@given(
    st.dictionaries(
        st.sampled_from(TABLES),
        st.dictionaries(st.sampled_from(KEYS), ANY | st.sampled_from(["lz4", "nvme"])) | ANY,
    )
)
def test_whatever_is_given_is_taken_or_told(source: dict[str, Any]) -> None:
    try:
        load(source)
    except ConfigError as error:
        assert error.problems
        assert all("\n" not in str(problem) or "\\n" in str(problem) for problem in error.problems)
