"""The page of `coldpress compare --html`, in a real browser."""

from __future__ import annotations

import html
import json
import random
import re
from pathlib import Path
from typing import Any

import pytest
from chromium import BROWSER, colours, render
from conftest import require

from coldpress.cli import main

ODD = "<b>\"odd\" & 'name'.toml"  # a file's name may be anything
LIMITS = ("20%", "60%")
PLOTS = ("Write I/Os", "Bytes written", "Refaults", "CPU time")
LIGHT, DARK = (0xFF, 0xFF, 0xFF), (0x14, 0x18, 0x1C)
BARS = {LIGHT: [(0x4C, 0x78, 0xA8), (0xE0, 0x7B, 0x39)], DARK: [(0x6F, 0x9F, 0xD0)]}

# Where everything is, as the browser laid it out.
MEASURE = """
<script>
const box = one => {
  const {left, top, width, height} = one.getBoundingClientRect();
  return {left, top, width, height};
};
const plots = [...document.querySelectorAll("svg")].map(svg => ({
  ...box(svg),
  title: svg.querySelector("title").textContent,
  bars: [...svg.querySelectorAll("rect")].map(rect => {
    const at = box(rect);
    const seen = document.elementFromPoint(at.left + at.width / 2, at.top + at.height / 2);
    const value = rect.parentNode.querySelector(".value").textContent;
    return {...at, value, seen: seen === rect};
  }),
  texts: [...svg.querySelectorAll("text")].map(text => ({...box(text), text: text.textContent})),
}));
const tables = [...document.querySelectorAll("table")].map(table => ({
  ...box(table), cells: [...table.rows].map(row => [...row.cells].map(cell => cell.textContent)),
}));
const pre = document.createElement("pre");
pre.id = "measured";
pre.textContent = JSON.stringify({plots, tables, wide: document.documentElement.scrollWidth});
document.body.append(pre);
</script>
"""


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the command writes, of two pipelines at two limits."""
    folder = tmp_path_factory.mktemp("html")
    rng = random.Random(3)
    words = [rng.randbytes(rng.randrange(2, 12)) for _ in range(500)]
    (folder / "pages").write_bytes(b"".join(rng.choice(words) for _ in range(200_000)))
    for name, block in (("plain.toml", "64KiB"), (ODD, "16KiB")):
        (folder / name).write_text(
            f'[compressor]\nuse = "lz4"\n[packer]\nblock = "{block}"\n[device]\nuse = "memory"\n'
        )
    target = folder / "report.html"
    call = ["compare", str(folder / "plain.toml"), str(folder / ODD), "--html", str(target)]
    assert main([*call, "--limit", ",".join(LIMITS), "--input", str(folder / "pages")]) == 0
    return target


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """For the browser's files: it starts faster where it has been before."""
    require(BROWSER is not None, "chromium is not installed")
    return tmp_path_factory.mktemp("browser")


def test_the_page_needs_nothing_but_itself(page: Path) -> None:
    text = page.read_text()
    assert "default-src 'none'" in text
    outside = re.findall(
        r"(?i)https?:|\bsrc\s*=|\bhref\s*=|url\(|@import|<script|\bon\w+\s*=", text
    )
    assert outside == []
    assert "<b>" not in text


def test_every_plot_says_its_numbers_in_words(page: Path) -> None:
    text = page.read_text()
    for name in PLOTS:
        assert re.search(
            rf'<title id="\w+-title">{name}</title>\n<desc id="\w+-text">limit 20%: ', text
        )
    for label in re.findall(r'aria-labelledby="([^"]+)"', text):
        assert all(f'id="{one}"' in text for one in label.split())


def test_in_a_browser_the_plots_are_there(page: Path, folder: Path) -> None:
    measured = measure(page, folder, (1250, 1600))
    assert [plot["title"] for plot in measured["plots"]] == list(PLOTS)
    for plot in measured["plots"]:
        assert plot["width"] > 400
        assert plot["height"] > 100
        assert len(plot["bars"]) == 2 * len(LIMITS)
        assert all(bar["width"] >= 0.5 and bar["height"] > 8 for bar in plot["bars"])
        assert max(bar["width"] for bar in plot["bars"]) > 200
        for text in plot["texts"]:  # nothing sticks out
            assert text["left"] >= plot["left"] - 1, text
            assert text["left"] + text["width"] <= plot["left"] + plot["width"] + 1, text
    writes = measured["plots"][0]["bars"]
    assert all(bar["seen"] for bar in writes)  # nothing lies on them
    counts = [int(bar["value"].replace(",", "")) for bar in writes]
    assert len(set(counts)) == 4
    for bar, count in zip(writes, counts, strict=True):  # linear, from 0
        assert bar["width"] / writes[counts.index(max(counts))]["width"] == pytest.approx(
            count / max(counts), abs=0.01
        )
    *limits, everything = measured["tables"]
    assert len(limits) == len(LIMITS)
    for table in limits:
        assert table["width"] > 300
        assert table["cells"][0] == ["figure", "plain.toml", ODD]
        assert len(table["cells"]) > 20
    assert everything["cells"][0] == ["figure"] + [
        f"{name} {limit}" for limit in LIMITS for name in ("plain.toml", ODD)
    ]
    assert ["failures", "0", "0", "0", "0"] in everything["cells"]
    assert measured["wide"] <= 1250


def test_in_a_narrow_window_nothing_is_cut_off(page: Path, folder: Path) -> None:
    measured = measure(page, folder, (500, 1600))
    assert measured["wide"] <= 500
    assert all(plot["left"] + plot["width"] <= 500 for plot in measured["plots"])


@pytest.mark.parametrize("paper", [LIGHT, DARK], ids=["light", "dark"])
def test_it_is_painted_and_the_console_is_silent(
    page: Path, folder: Path, paper: tuple[int, int, int]
) -> None:
    scheme = ["--blink-settings=preferredColorScheme=0"] if paper == DARK else []
    shown = render(page, folder, *scheme, size=(600, 340))
    assert shown.console == []
    found = colours(shown.picture)
    assert max(found, key=found.__getitem__) == paper
    for colour in BARS[paper]:
        assert found.get(colour, 0) > 500, found


def test_the_console_would_speak(folder: Path) -> None:
    """The tests above can fail: what a page must not do is told."""
    bad = folder / "bad.html"
    policy = "<meta http-equiv=Content-Security-Policy content=\"default-src 'none'\">"
    bad.write_text(f"{policy}<script>1</script><img src='missing.png'>")
    assert len(render(bad, folder).console) == 2


def measure(page: Path, folder: Path, size: tuple[int, int]) -> Any:
    """The layout of a copy of the page that may run this one script."""
    copy = folder / "copy.html"
    text = re.sub(r"<meta http-equiv=.*>\n", "", page.read_text())
    copy.write_text(text.replace("</body>", f"{MEASURE}</body>"))
    shown = render(copy, folder, size=size)
    assert shown.console == []
    found = re.search(r'<pre id="measured">(.*?)</pre>', shown.dom, re.DOTALL)
    assert found is not None
    return json.loads(html.unescape(found[1]))
