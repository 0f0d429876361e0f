"""站点：由 docs/ 生成时没有一个警告，不从外面取任何东西，手机的宽度上也放得下，站内搜索认得中文。"""

import subprocess
import sys

import pytest

from browser import chromium, served
from conftest import PROJECT_DIR

pytest.importorskip("sphinx", reason="没有装 Sphinx：python -m pip install -r requirements/site.txt")


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-b", "html", "docs", str(folder)]
    done = subprocess.run(command, cwd=PROJECT_DIR, capture_output=True, text=True, encoding="utf-8")
    assert done.returncode == 0, done.stderr
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("width", [390, 1280])
def test_the_site_opens_offline_and_its_search_knows_chinese(site, width):
    with chromium() as browser, served(site) as address:
        page = browser.new_page(viewport={"width": width, "height": 800})
        outside, errors = [], []
        page.on("request", lambda request: None if request.url.startswith(address) else outside.append(request.url))
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto(f"{address}study_keras/hello_transfer_learning.html")
        assert "第 1 课" in page.title()
        wider = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert wider <= 1, f"页面比屏幕宽 {wider} 像素"
        page.goto(f"{address}search.html?q=微调")
        page.locator("#search-results li").first.wait_for()
        assert "第 3 课" in page.inner_text("#search-results")
    assert not [url for url in outside if not url.startswith(("data:", "blob:"))] and not errors
