"""The page as its reader uses it, in Chromium; skipped where there is none."""

import re

import pytest

from tests.browser import chromium, opened, until
from tests.pages import hostile, ordinary, written
from tests.records import cell, scored, small
from tests.test_page import Picture, of

PHONE = {"viewport": {"width": 360, "height": 740}, "has_touch": True, "is_mobile": True}
SOUP = "#runs-table a:text-is('soup')"
OPEN = "document.querySelector('#cell').open"


@pytest.fixture(scope="module")
def browser():
    with chromium() as found:
        yield found


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    folder = tmp_path_factory.mktemp("page")
    return written(ordinary(folder / "results"), folder / "page.html", pictures=[Picture()])


@pytest.fixture
def page(browser, path):
    with opened(browser, path) as found:
        yield found


@pytest.fixture(scope="module")
def attacked(tmp_path_factory):
    folder = tmp_path_factory.mktemp("attacked")
    return written(hostile(folder / "results"), folder / "page.html", pictures=[Picture()])


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    records = [scored(cell(seed=seed), seed / 1_000) for seed in range(450)]
    material = of([*records, *small()[4:7]])
    return written(material, tmp_path_factory.mktemp("many") / "page.html")


def texts(page, selector):
    return [text.strip() for text in page.locator(selector).all_text_contents()]


def rows(page, table=2, column=0):
    section = f"section.results:nth-of-type({table})"
    lines = page.locator(f"{section} tbody.ours tr:visible > *:nth-child({column + 1})")
    return [re.split(r"\s", text.strip())[0] for text in lines.all_text_contents()]


def heading(page, name):
    return page.locator("section.results:nth-of-type(2) thead th", has_text=name)


def is_open(page):
    return page.locator("#cell").evaluate("dialog => dialog.open")


def shut(page):
    until(page, f"!{OPEN} && !location.hash")


def test_results_sort_by_number_both_ways_and_go_back(page):
    before = rows(page)
    assert before == ["adapter", "logme", "lora", "soup"]
    sst2 = heading(page, "SST-2")
    sst2.get_by_role("button").click()
    assert rows(page)[0] == "soup" and rows(page)[-1] == "logme"
    assert sst2.get_attribute("aria-sort") == "descending"
    sst2.get_by_role("button").press("Enter")
    assert rows(page)[-2:] == ["soup", "logme"]
    assert sst2.get_attribute("aria-sort") == "ascending"
    heading(page, "Trained").get_by_role("button").press("Space")
    assert rows(page) == ["adapter", "lora", "soup", "logme"]
    assert sst2.get_attribute("aria-sort") is None
    page.get_by_role("button", name="Reset order").nth(1).click()
    assert rows(page) == before
    assert page.locator("[aria-sort]").count() == 0


def test_results_narrow_to_methods_and_count_them(page):
    box = page.locator("#table-2-filter")
    box.fill("LO")
    count = page.locator("section.results:nth-of-type(2) output")
    assert rows(page) == ["logme", "lora"]
    assert count.text_content() == "2 of 4 rows"
    box.fill("nothing")
    assert rows(page) == [] and count.text_content() == "0 of 4 rows"
    assert page.get_by_text("No method has this").nth(1).is_visible()
    page.get_by_role("button", name="Clear filter").nth(1).click()
    assert len(rows(page)) == 4
    assert box.evaluate("box => box === document.activeElement")


def test_papers_rows_stay_at_the_bottom(browser, tmp_path):
    from reports.published import published
    from tests.records import SST2

    ours = [scored(cell(name, model="roberta-base"), 0.1 * i) for i, name in enumerate("abc")]
    made = written(of(ours, [SST2], published=published("roberta-base")), tmp_path / "p.html")
    with opened(browser, made) as page:
        theirs = texts(page, "tbody.papers th")
        page.locator("thead th", has_text="SST-2").first.get_by_role("button").click()
        assert texts(page, ".results tbody th")[:3] == ["c", "b", "a"]
        assert texts(page, ".results tbody th")[3:] == theirs
        page.locator("#table-1-filter").fill("c")
        assert texts(page, "tbody.ours tr:visible th") == ["c"]


def test_runs_sort_narrow_and_count(page):
    count = page.locator("#runs-count")
    total = page.locator("#runs-table tbody tr").count()
    assert count.text_content() == f"{total} of {total} runs"
    page.locator("#runs-status").select_option("failed")
    assert texts(page, "#runs-table tbody th") == ["adapter"]
    assert count.text_content() == f"1 of {total} runs"
    page.get_by_role("button", name="Clear filters").click()
    page.locator("#runs-task").select_option(label="SST-2")
    page.locator("#runs-text").fill("lora")
    assert texts(page, "#runs-table tbody th") == ["lora", "lora"]
    score = page.locator("#runs-table thead th", has_text="Score")
    score.get_by_role("button").click()
    assert texts(page, "#runs-table td:nth-child(5)") == ["0.9300", "0.9100"]
    score.get_by_role("button").click()
    assert texts(page, "#runs-table td:nth-child(5)") == ["0.9100", "0.9300"]
    page.get_by_role("button", name="Clear filters").click()
    assert texts(page, "#runs-table td:nth-child(5)")[-2:] == ["\N{EN DASH}"] * 2
    page.locator("#runs .unsort").click()
    assert page.locator("[aria-sort]").count() == 0


@pytest.mark.slow
def test_long_lists_are_drawn_a_page_at_a_time(browser, many):
    with opened(browser, many) as page:
        assert page.locator("#runs-table tbody tr").count() == 200
        page.get_by_role("button", name="Next").click()
        page.get_by_role("button", name="Next").click()
        assert page.locator("#runs-table tbody tr").count() == 53
        assert page.locator(".pager span").text_content() == "401\N{EN DASH}453 of 453"
        assert page.get_by_role("button", name="Next").is_disabled()
        page.locator("#runs-table thead th", has_text="Seed").get_by_role("button").click()
        assert texts(page, "#runs-table td:nth-child(4)")[:3] == ["449", "448", "447"]
        page.locator("#runs-text").fill("adapter")
        assert page.locator("#runs-table tbody tr").count() == 3
        assert not page.locator(".pager").is_visible()


def test_record_opens_by_click_and_shows_what_was_asked_and_found(page):
    page.click(SOUP)
    dialog = page.locator("#cell")
    dialog.get_by_role("heading", name="soup on SST-2, seed 0").wait_for()
    assert texts(page, "#cell h3") == [
        "Metrics",
        "Costs",
        "Log",
        "Run it again",
        "Settings",
        "Circumstances",
        "Predictions",
    ]
    told = dialog.inner_text()
    for part in ("0.94", "147 k", "147,456", "2 KiB", "2,048", "rank", "0.0004"):
        assert part in told
    first, second = texts(page, "#cell .predictions > dl > div")[:2]
    assert first == "dev 0predicted1 (positive) \N{EN DASH} wronglabel0 (negative)"
    assert second == "dev 1predicted1 (positive) \N{EN DASH} rightlabel1 (positive)"
    assert "bench reproduce results/" in told and "--methods soup" in told
    assert dialog.locator("svg polyline").get_attribute("points").count(",") == 40


def test_record_of_a_failed_run_says_why(page):
    page.locator("table.lost a").first.click()
    told = page.locator("#cell").inner_text()
    assert "loss became NaN\nat step 120" in told
    assert "bench reproduce" not in told and "--methods adapter" in told
    page.locator("#cell summary").click()
    assert "run.py" in page.locator("#cell pre").first.inner_text()


def test_texts_keep_their_lines(page):
    page.click("#runs-table a:text-is('prefix')")
    assert "one\ntwo" in page.locator("#cell .predictions").inner_text()
    assert "… 2 more" in page.locator("#cell .predictions").inner_text()


@pytest.mark.slow
def test_record_opens_by_its_address_and_the_way_back_leads_to_the_page(browser, path):
    with opened(browser, path) as page:
        address = page.locator(SOUP).get_attribute("href")
    with opened(browser, path, at=address) as page:
        assert is_open(page) and page.locator("#cell h2").inner_text().startswith("soup")
        page.go_back()
        shut(page)
        page.go_forward()
        until(page, OPEN)
        page.reload()
        assert is_open(page)
        page.keyboard.press("Escape")
        shut(page)
    with opened(browser, path, at="#cell-ffffffffffff") as page:
        assert not is_open(page)


def test_keyboard_alone_opens_and_shuts_a_record(page):
    page.locator("#runs .unsort").focus()
    name = "document.activeElement.textContent"
    for _ in range(20):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.matches('#runs-table tbody a')"):
            break
    opener = page.evaluate("document.activeElement.href")
    page.keyboard.press("Enter")
    until(page, OPEN)
    assert page.evaluate("document.activeElement.id") == "cell-title"
    page.keyboard.press("Tab")
    assert page.evaluate(name) == "Close"
    page.keyboard.press("Escape")
    shut(page)
    assert page.evaluate("document.activeElement.href") == opener


@pytest.mark.slow
def test_skip_link_comes_first_and_leads_past_the_head(page):
    page.keyboard.press("Tab")
    link = page.locator("a.skip")
    assert link.evaluate("link => link === document.activeElement")
    assert link.bounding_box()["x"] >= 0
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"


@pytest.mark.slow
def test_parents_lead_to_their_records_and_escape_leaves_all(page):
    page.click(SOUP)
    assert "0123456789ab (not on this page)" in page.locator("#cell").inner_text()
    assert page.locator("#cell a").inner_text().startswith("lora, ")
    page.locator("#cell a").click()
    page.locator("#cell h2", has_text="lora on SST-2").wait_for()
    assert page.evaluate("document.activeElement.id") == "cell-title"
    page.go_back()
    page.locator("#cell h2", has_text="soup on SST-2").wait_for()
    page.locator("#cell a").click()
    page.locator("#cell h2", has_text="lora on SST-2").wait_for()
    page.keyboard.press("Escape")
    shut(page)
    assert page.evaluate("document.activeElement.textContent") == "soup"
    page.click(SOUP)
    page.locator("#cell").get_by_role("button", name="Close").click()
    shut(page)


def test_copy_puts_the_command_on_the_clipboard(browser, path):
    with opened(browser, path, permissions=["clipboard-read", "clipboard-write"]) as page:
        page.click(SOUP)
        key = page.evaluate("location.hash").removeprefix("#cell-")
        page.locator("#cell").get_by_role("button", name="Copy: This run").click()
        page.locator("#cell [role=status]", has_text="copied").wait_for()
        told = page.evaluate("navigator.clipboard.readText()")
        assert told == f"python -m bench reproduce results/{key}"


@pytest.mark.slow
def test_copy_works_without_the_clipboard_of_scripts(page):
    page.evaluate("delete Navigator.prototype.clipboard")
    keep = "window.got = document.activeElement.value"
    page.evaluate(f"document.addEventListener('copy', () => {{ {keep} }})")
    page.click(SOUP)
    page.locator("#cell").get_by_role("button", name="Copy: All runs").click()
    page.locator("#cell [role=status]", has_text="copied").wait_for()
    assert page.evaluate("window.got") == "python -m bench run --suite glue --methods soup"


def test_pictures_open_in_full_size(page):
    page.get_by_role("button", name="Full size").click()
    large = page.locator("#picture img")
    assert large.is_visible()
    assert large.get_attribute("src") == page.locator("figure img").first.get_attribute("src")
    page.keyboard.press("Escape")
    assert not large.is_visible()


def test_hostile_records_run_nothing_and_every_record_opens(browser, attacked):
    with opened(browser, attacked) as page:
        assert page.evaluate("window.pwned") is None
        assert page.locator("script").count() == 2
        wide = "document.documentElement.scrollWidth <= innerWidth"
        addresses = page.locator("#runs-table a").evaluate_all("all => all.map(a => a.hash)")
        assert len(addresses) == 24
        for address in addresses:
            page.evaluate("address => { location.hash = address }", address)
            key = "document.querySelector('#cell code')?.textContent"
            until(page, f"{key} === '{address.removeprefix('#cell-')}'")
            assert page.locator("#cell h3").count() >= 3
        assert page.evaluate("window.pwned") is None and page.evaluate("({}).x") is None
        assert page.locator("script").count() == 2 and page.evaluate(wide)
        hrefs = page.locator("a").evaluate_all("all => all.map(a => a.getAttribute('href'))")
        assert all(href.startswith("#") for href in hrefs)


def test_a_script_that_slipped_in_would_not_run(browser, path, tmp_path):
    text = path.read_text(encoding="utf-8")
    slipped = tmp_path / "slipped.html"
    attack = "<script>window.pwned=1</script><img src=x onerror='window.pwned=1'>"
    slipped.write_text(text.replace("<h1>", attack + "<h1>"), encoding="utf-8")
    with (
        pytest.raises(AssertionError, match="Content Security Policy"),
        opened(browser, slipped) as page,
    ):
        assert page.evaluate("window.pwned") is None


@pytest.mark.parametrize("which", ["path", "attacked"])
def test_phone_scrolls_tables_in_their_boxes_and_never_the_page(browser, request, which):
    with opened(browser, request.getfixturevalue(which), **PHONE) as page:
        narrow = "document.documentElement.scrollWidth <= innerWidth"
        assert page.evaluate("innerWidth") == 360 and page.evaluate(narrow)
        box = page.locator("#runs .scroll")
        assert box.evaluate("box => box.scrollWidth > box.clientWidth")
        box.evaluate("box => { box.scrollLeft = 200 }")
        assert page.locator("#runs-table tbody th").first.bounding_box()["x"] == 16
        page.locator("#runs-table a").first.tap()
        until(page, OPEN)
        dialog = page.locator("#cell").evaluate("box => [box.scrollWidth, box.clientWidth]")
        assert dialog[0] <= dialog[1] and page.evaluate(narrow)


@pytest.mark.slow
def test_what_is_tapped_is_large_enough(browser, path):
    with opened(browser, path, **PHONE) as page:
        page.locator("#runs-table a").first.tap()
        shown = page.locator("button:visible, input:visible, select:visible, nav a")
        sizes = shown.evaluate_all(
            "all => all.map(e => e.getBoundingClientRect()).map(box => [box.width, box.height])"
        )
        assert len(sizes) > 10 and all(width >= 24 and height >= 36 for width, height in sizes)


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_texts_stand_out_from_their_ground(browser, path, scheme):
    contrast = """() => {
      const light = (text) => {
        const parts = text.match(/[\\d.]+/g).slice(0, 3).map((part) => part / 255);
        const linear = (c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
        const [r, g, b] = parts.map(linear);
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
      };
      const style = (of) => getComputedStyle(document.querySelector(of));
      const ground = light(style("body").backgroundColor);
      const of = (name) => {
        const [a, b] = [light(style(name).color), ground].sort((x, y) => y - x);
        return (a + 0.05) / (b + 0.05);
      };
      return ["body", ".small", "nav a", ".status.ok", ".status.failed", ".status.skipped",
        "thead th", "figcaption"].map(of);
    }"""
    with opened(browser, path, color_scheme=scheme, reduced_motion="reduce") as page:
        assert min(page.evaluate(contrast)) >= 4.5
        assert page.evaluate("getComputedStyle(document.documentElement).scrollBehavior") == "auto"
        ground = page.locator("figure img").evaluate(
            "image => getComputedStyle(image).backgroundColor"
        )
        assert ground == "rgb(255, 255, 255)"


def test_results_can_be_read_without_javascript(browser, path):
    with opened(browser, path, java_script_enabled=False) as page:
        assert page.locator("section.results table").count() == 2
        assert page.get_by_text("need JavaScript").is_visible()
        assert page.locator(".controls:visible, #runs-table:visible").count() == 0
        assert page.get_by_text("loss became NaN").first.is_visible()
        assert page.locator("figure img").is_visible()


@pytest.mark.slow
def test_print_leaves_controls_out_and_shows_tables_whole(page):
    page.emulate_media(media="print")
    assert page.locator("nav:visible, .controls:visible, .pager:visible").count() == 0
    for box in page.locator(".scroll").all():
        assert box.evaluate("box => getComputedStyle(box).overflowX") == "visible"
    page.emulate_media(media="screen")
    page.click(SOUP)
    page.emulate_media(media="print")
    assert page.locator("#cell").is_visible() and not page.locator("main").is_visible()
