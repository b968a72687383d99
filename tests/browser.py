"""Chromium over a page that is a file; what it complains of is kept."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

FLAGS = (
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)
PATIENCE = 20_000  # milliseconds, on a machine that does other things too


@contextmanager
def chromium() -> Iterator[Any]:
    """The browser; skips where there is none."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    path = shutil.which("chromium") or shutil.which("chromium-browser")
    if path is None:
        pytest.skip("no Chromium on this machine")
    with sync_api.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=path, args=FLAGS)
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def opened(browser: Any, path: Path, at: str = "", **options: Any) -> Iterator[Any]:
    """The page in a window of its own; raises AssertionError for what the page should not do.

    That is a message on the console, an error, or a request for anything but itself.
    """
    context = browser.new_context(**{"viewport": {"width": 1280, "height": 800}, **options})
    context.set_default_timeout(PATIENCE)
    page, wrong = context.new_page(), []
    page.on("console", lambda message: wrong.append(message.text))
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on(
        "request", lambda request: wrong.append(request.url) if _foreign(request, path) else None
    )
    try:
        page.goto(path.as_uri() + at)
        yield page
        assert not wrong, wrong
    finally:
        context.close()


def until(page: Any, expression: str) -> None:
    """Waits for JavaScript to be true; the page's policy forbids the driver's own way to wait."""
    for _ in range(PATIENCE // 20):
        if page.evaluate(expression):
            return
        page.wait_for_timeout(20)
    raise AssertionError(f"never true: {expression}")


def _foreign(request: Any, path: Path) -> bool:
    return not request.url.startswith(("data:", path.as_uri()))
