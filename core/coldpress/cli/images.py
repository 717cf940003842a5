"""What the commands that look at an image share."""

from __future__ import annotations

import argparse
import contextlib
from collections.abc import Iterator

from coldpress.errors import DeviceUnusable
from coldpress.harness.errors import InputError


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the image, --key and --json."""
    parser.add_argument("image", metavar="IMAGE", help="a file or a block device")
    parser.add_argument(
        "--key",
        default="",
        metavar="FILE",
        help="the key file of an encrypted image, to authenticate what is in it",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")


@contextlib.contextmanager
def usable() -> Iterator[None]:
    """An image that can not be looked at is a mistake of the call. Raises `InputError`."""
    try:
        yield
    except DeviceUnusable as error:
        raise InputError(str(error)) from error
