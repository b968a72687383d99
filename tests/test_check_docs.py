"""The pages on adding things: their files are written, their commands run, output compared."""

import re
from pathlib import Path

import pytest

from tests.packages import ROOT, bench, install

PAGES = ["adding-a-method", "adding-a-merge", "adding-a-task", "adding-a-suite"]
BLOCK = re.compile(r'^```(\w+)(?: title="([^"]+)")?\n(.*?)^```$', re.M | re.S)


def blocks(page: str) -> list[tuple[str, str, str]]:
    """Kind, title and text of every fenced block."""
    return BLOCK.findall((ROOT / "docs" / f"{page}.md").read_text(encoding="utf-8"))


def as_shown(shown: str, printed: str) -> bool:
    """Whether the lines stand in what was printed, in order; `...` is anything."""
    parts = [re.escape(part.strip("\n")) for part in shown.split("...")]
    return bool(re.search(".*?".join(parts), printed, re.S))


@pytest.mark.parametrize(
    ("shown", "same"), [("a\n...\nc", True), ("a\nc", False), ("c\n...\na", False), ("b|...", True)]
)
def test_output_is_compared_line_by_line(shown, same):
    assert as_shown(shown, "a\nb| 3.1 |\nc\n") == same


@pytest.mark.parametrize("page", PAGES)
def test_page_has_no_block_that_is_not_tried(page):
    found = blocks(page)
    text = (ROOT / "docs" / f"{page}.md").read_text(encoding="utf-8")
    assert len(found) == text.count("```") / 2
    for kind, title, _ in found:
        assert kind in ("sh", "text") or title
    assert len(text.splitlines()) < 130


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES)
def test_page_does_what_it_says(page, tmp_path):
    folder, target = tmp_path / "page", tmp_path / "installed"
    folder.mkdir()
    lines: list[str] = []
    for kind, title, text in blocks(page):
        if title:
            (folder / title).write_text(text, encoding="utf-8")
        lines += text.splitlines() if kind == "sh" else []
    if "python -m pip install ." in lines:
        lines.remove("python -m pip install .")
        install(folder, target)
    done = bench(lines, tmp_path, target) if target.exists() else bench(lines, folder, target)
    assert done.returncode == 0, done.stderr
    for kind, _, text in blocks(page):
        if kind == "text":
            assert as_shown(text, done.stdout), f"{text}\n{done.stdout}"


@pytest.mark.parametrize("page", PAGES)
def test_files_that_a_page_names_are_there(page):
    text = (ROOT / "docs" / f"{page}.md").read_text(encoding="utf-8")
    named = re.findall(r"`((?:methods|tasks|bench|examples|docs)/[\w./-]+)`", text)
    assert named
    for name in named:
        assert Path(ROOT, name).exists() or name == "methods/layernorm.py"
