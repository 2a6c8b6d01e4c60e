"""The page in a real browser: it fits a phone and a desktop, and logs no error."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from evaluations import evaluation, extended

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
MEASURE = """<!doctype html><iframe src="report.html" style="width:{}px;height:900px;border:0">
</iframe><p id="width"></p><script>
onload = () => {{
  const page = document.querySelector("iframe").contentDocument.documentElement;
  document.querySelector("#width").textContent = "wide " + page.scrollWidth;
}};
</script>"""


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium to look at the page with")
@pytest.mark.parametrize("width", [390, 1200])
def test_the_page_does_not_scroll_sideways(width: int, tmp_path: Path) -> None:
    long = "a_name_without_any_place_to_break_it_" * 4
    made = evaluation(
        latency=3000,
        names=long + "{}",
        model={"name": long, "sha256": "0f" * 32},
        warnings=(long,),
        fidelity={"engine": long},
        resources={"layers": [{"name": long, **{f"column_{i}": 10**9 for i in range(12)}}]},
    )
    extended(made).write(tmp_path)
    measure = tmp_path / "measure.html"
    measure.write_text(MEASURE.format(width), encoding="utf-8")
    done = subprocess.run(
        [
            *(str(CHROMIUM), "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"),
            *("--dump-dom", "--allow-file-access-from-files", "--enable-logging=stderr"),
            *(f"--user-data-dir={tmp_path / 'profile'}", "--window-size=1400,1000"),
            measure.as_uri(),
        ],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    found = re.search(r"wide (\d+)", done.stdout)
    assert found is not None, done.stdout[-500:]
    assert int(found[1]) == width
    assert "CONSOLE" not in done.stderr
