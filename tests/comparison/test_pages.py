"""The pages in a real browser, from disk: they do what they promise, complain of nothing and fetch nothing."""

from __future__ import annotations

import json

import numpy as np
import pytest
from browser import Browser
from daemons import eventually
from PIL import Image
from selenium.webdriver import ActionChains, Keys

from blend_daemon.comparison import blind, tally
from blend_daemon.comparison.measure import Trial
from blend_daemon.comparison.report import case_data, page


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    browser = Browser(tmp_path_factory.mktemp("browser"))
    yield browser
    browser.driver.quit()


@pytest.fixture(autouse=True)
def neither_network_nor_complaint(browser):
    browser.note()
    browser.fetched.clear()
    browser.complaints.clear()
    yield
    browser.note()
    assert browser.fetched, "the record works"
    # "chrome:" is the empty page that the browser starts with.
    assert not [url for url in browser.fetched if not url.startswith(("file:", "data:", "blob:", "chrome:"))]
    assert not browser.complaints


@pytest.fixture
def report(browser, compared):
    browser.open(compared / "report.html")
    return browser


def at(browser) -> str:
    return browser.run("return getComputedStyle(document.querySelector('.slider')).getPropertyValue('--at').trim()")


def shown(browser, folder) -> np.ndarray:
    """The slider as it is on the screen, (height, width, 3)."""
    browser.find(".slider").screenshot(str(folder / "slider.png"))
    return np.array(Image.open(folder / "slider.png").convert("RGB")).astype(int)


def test_the_slider_follows_the_mouse(report, tmp_path):
    range_ = report.find(".slider input")
    before = shown(report, tmp_path)
    ActionChains(report.driver).move_to_element(range_).click_and_hold().move_by_offset(-200, 0).release().perform()
    share = float(at(report).rstrip("%"))
    assert 0 < share < 40
    after = shown(report, tmp_path)
    width = before.shape[1]
    uncovered = slice(int(width * (share / 100 + 0.08)), int(width * 0.42))
    untouched = slice(0, int(width * (share / 100 - 0.08)))
    height = before.shape[0]
    middle = slice(int(height * 0.2), int(height * 0.4))
    assert np.abs(after - before)[middle, uncovered].mean() > 2, "the other picture has come out"
    assert np.abs(after - before)[middle, untouched].mean() < 0.1


def test_the_slider_follows_the_keyboard_and_tells_where_it_is(report):
    range_ = report.find(".slider input")
    range_.send_keys(Keys.HOME)
    assert at(report) == "0%"
    range_.send_keys(Keys.ARROW_RIGHT, Keys.ARROW_RIGHT)
    assert at(report) == "2%"
    range_.send_keys(Keys.END)
    assert at(report) == "100%"
    assert range_.get_attribute("aria-valuetext") == "100 % Copy and paste"
    assert "Poisson" in range_.get_attribute("aria-label")
    report.run("document.activeElement.blur()")

    def reached() -> bool:
        ActionChains(report.driver).send_keys(Keys.TAB).perform()
        return report.run("return document.activeElement === document.querySelector('.slider input')")

    assert any(reached() for _ in range(60))  # round the whole page


def test_a_method_is_picked_by_its_card_or_by_the_list(report):
    cards = {card.text.splitlines()[0]: card for card in report.all("#case-0 .methods button")}
    assert list(cards) == ["Copy and paste", "Alpha blending", "Poisson"]
    cards["Alpha blending"].click()
    assert report.find("#case-0 .tag.right").text == "Alpha blending"
    assert [card.get_attribute("aria-pressed") for card in cards.values()] == ["false", "true", "false"]
    report.find("#case-0 .sides select").send_keys("Target")
    assert report.find("#case-0 .tag.left").text == "Target"
    assert report.find("#case-0 .slider .before").get_attribute("alt") == "cat & coffee: Target"


def test_the_tables_show_figures_and_failures_and_are_sorted_by_a_heading(report):
    rows = lambda: [row.text.split()[0] for row in report.all("#case-0 tbody tr")]
    assert rows() == ["deep", "copy-paste", "alpha", "poisson"]
    assert "blend-daemon weights" in report.find("#case-0 td.failed").text
    heading = report.find("#case-0 thead th:nth-child(5)")
    assert heading.text == "content ↑"
    heading.click()
    heading.find_element("css selector", "button").send_keys(Keys.ENTER)
    assert heading.get_attribute("aria-sort") == "ascending"
    assert rows()[2] == "copy-paste", "it has the most content"
    assert rows()[-1] == "deep", "what failed stays below"
    assert report.find("main > .scroll tbody tr").text.startswith("deep failed")


def test_a_case_that_cannot_be_read_is_shown_with_its_reason(browser, tmp_path):
    trial = Trial("broken", "poisson", failure="The target is damaged.")
    (tmp_path / "r.html").write_text(page([case_data("broken", None, [trial], {})], {}))
    browser.open(tmp_path / "r.html")
    assert browser.find("h2").text == "broken"
    assert browser.find("#case-0 td.failed").text == "failed: The target is damaged."


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [360, 768, 1600])
def test_the_report_fits_its_window_and_can_be_read(browser, compared, width, dark):
    browser.open(compared / "report.html", width, dark)
    assert browser.run("return document.documentElement.scrollWidth <= innerWidth")
    assert browser.run("return [...document.images].every(image => image.complete && image.naturalWidth > 0 && image.alt)")
    assert browser.run(CONTRAST) >= 4.5


# The least contrast (WCAG 2) of the text of headings, captions, table cells and buttons with what is behind it.
CONTRAST = """
  const pixel = document.createElement("canvas").getContext("2d", {willReadFrequently: true});
  const light = colour => {
    pixel.clearRect(0, 0, 1, 1); pixel.fillStyle = colour; pixel.fillRect(0, 0, 1, 1);
    const [r, g, b] = [...pixel.getImageData(0, 0, 1, 1).data].map(c => c <= 10 ? c / 255 / 12.92 : ((c / 255 + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = node => {
    for (; node; node = node.parentElement) {
      const colour = getComputedStyle(node).backgroundColor;
      if (!/, 0\\)$/.test(colour)) return colour;
    }
    return "white";
  };
  return Math.min(...[...document.querySelectorAll("h1, h2, p, caption, th, td, button:enabled, a, small, figcaption")]
    .filter(node => node.innerText?.trim()).map(node => {
      const [one, other] = [light(getComputedStyle(node).color), light(behind(node))].sort((a, b) => b - a);
      return (one + 0.05) / (other + 0.05);
    }));
"""


@pytest.fixture
def test(compared, tmp_path):
    folder = tmp_path / "blind"
    folder.mkdir()
    blind.make(compared, folder, pairs=True)
    return folder


def saved(browser) -> dict:
    for path in browser.downloads.iterdir():
        path.unlink()
    browser.find("#save").click()
    # Chromium keeps the name with an empty file, and renames the whole one over it.
    (file,) = eventually(lambda: [path for path in browser.downloads.glob("*.json") if path.stat().st_size])
    return json.loads(file.read_text())


def chosen_method(browser, key, place: int) -> str:
    sources = [image.get_attribute("src") for image in browser.all("#pictures img")]
    return key.pictures[sources[place].split("/")[-1].removesuffix(".png")][1]


def test_votes_by_mouse_and_keyboard_outlive_a_reload_and_are_counted(browser, test, tmp_path):
    browser.open(test / "vote.html")
    key = blind.open_key(test / blind.KEY)
    assert browser.run("return [...document.images].every(image => image.naturalWidth > 0 || !image.alt)")
    expected = [chosen_method(browser, key, 0)]
    browser.all("#pictures figcaption button")[0].click()
    expected.append(chosen_method(browser, key, 1))
    ActionChains(browser.driver).send_keys("2").perform()
    assert browser.find("#place").text == "Question 3 of 6"

    for loss in ("", "localStorage.clear()"):
        browser.run(loss)
        browser.driver.refresh()
        assert browser.find("#place").text == "Question 3 of 6", "nothing is lost by a reload, even where the browser stores nothing"
    ActionChains(browser.driver).send_keys(Keys.ARROW_LEFT).perform()
    assert "chosen" in browser.all("#pictures figure")[1].get_attribute("class")
    expected[1] = chosen_method(browser, key, 0)
    ActionChains(browser.driver).send_keys("1").perform()
    browser.find("#equal").click()
    for _ in range(3):
        expected.append(chosen_method(browser, key, 1))
        ActionChains(browser.driver).send_keys("2").perform()
    assert browser.find("#summary").text == "You have answered 6 of 6 questions."
    browser.find("#name").send_keys("Ada 1")
    paper = saved(browser)
    assert (paper["name"], len(paper["votes"])) == ("Ada 1", 6)

    (tmp_path / "votes.json").write_text(json.dumps(paper))
    votes = tally.read([tmp_path / "votes.json"], key)
    assert sorted(vote.choice.chosen or "" for vote in votes) == sorted([*expected, ""])


def test_a_voter_may_stop_early_and_look_closely(browser, test):
    browser.open(test / "vote.html", dark=True)
    assert not browser.find("#stop").is_enabled()
    browser.all(".look")[1].click()
    assert browser.run("const image = document.querySelector('dialog[open] img'); return image.naturalWidth === image.width")
    browser.find("dialog").click()
    assert not browser.all("dialog[open]")
    assert browser.run(CONTRAST) >= 4.5
    ActionChains(browser.driver).send_keys("0").perform()
    browser.find("#stop").click()
    paper = saved(browser)
    assert [vote["chosen"] for vote in paper["votes"]] == [None]


def test_two_voters_see_the_questions_in_orders_of_their_own(browser, test):
    orders = []
    for _ in range(4):
        browser.open(test / "vote.html")
        browser.run("localStorage.clear()")
        browser.driver.refresh()
        orders.append(browser.run("return JSON.stringify(state.questions.map(q => q.shown))"))
    assert len(set(orders)) > 1


@pytest.mark.parametrize("width", [360, 1280])
def test_the_voting_page_fits_its_window(browser, test, width):
    browser.open(test / "vote.html", width)
    assert browser.run("return document.documentElement.scrollWidth <= innerWidth")
