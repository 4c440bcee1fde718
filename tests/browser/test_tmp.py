from pathlib import Path

import pytest
from browser.reader import Reader, errors


@pytest.mark.browser
@pytest.mark.timeout(900)
def test_look(browser, jupyterlab, tmp_path):
    r = Reader(browser.pages[0], jupyterlab)
    r.open("03_exec_or_shell.ipynb")
    out = Path("/tmp/look")
    out.mkdir(exist_ok=True)
    ids = ["setup", "write-main", "write-exec-dockerfile", "start-exec", "predict-exec"]
    for i in ids:
        assert not errors(r.run_one(i)), i
    r.page.wait_for_timeout(1500)
    r.page.screenshot(path=out / "a.png")
    b = r.notebook.locator(".dockerlab-option")
    print(b.count(), b.all_inner_texts())
    b.nth(1).click()
    r.page.wait_for_timeout(700)
    r.page.screenshot(path=out / "b.png")
    # keyboard
    b.nth(0).focus()
    r.page.keyboard.press("Tab")
    r.page.keyboard.press("Tab")
    print("focus", r.page.evaluate("() => document.activeElement.textContent"))
    r.page.keyboard.press("Enter")
    r.page.wait_for_timeout(700)
    print(b.all_inner_texts(), r.page.evaluate("() => document.activeElement.className"))
    b.nth(3).focus()
    r.page.keyboard.press("Space")
    r.page.wait_for_timeout(700)
    print(b.all_inner_texts())
    r.page.screenshot(path=out / "c.png")
    for i in ["stop-exec", "claim-exec"]:
        assert not errors(r.run_one(i)), i
    r.page.wait_for_timeout(1000)
    r.page.screenshot(path=out / "d.png")
    r.command("notebook:run-all-below")
    for _ in range(600):
        c = {x["id"]: x for x in r.cells()}
        if c["cleanup"]["count"]:
            break
        r.page.wait_for_timeout(500)
    print(errors(r.cells()))
    r.page.wait_for_timeout(1500)
    r.screenshot(out / "e.png")
