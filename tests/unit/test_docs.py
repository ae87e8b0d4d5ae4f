"""The pages are what `make docs` writes, their links lead somewhere, and the README stays short."""

import csv
import importlib.util
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
README = ROOT / "README.md"

FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
IMAGE = re.compile(r"!\[[^\]]*\]\(([^)\s]+)\)")
TABLE = re.compile(r"(?:^\|.*\n)+", re.MULTILINE)
FOLDERS = ("config", "containers", "docs", "envs", "profiles", "tests", "workflow")

spec = importlib.util.spec_from_file_location("docs_tables", DOCS / "tables.py")
assert spec is not None
assert spec.loader is not None
tables = importlib.util.module_from_spec(spec)
sys.modules[spec.name] = tables
spec.loader.exec_module(tables)

PAGES = tables.pages()
MARKDOWN = sorted(
    {*ROOT.glob("*.md"), *(path for name in FOLDERS for path in (ROOT / name).rglob("*.md"))}
)


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def prose(text: str) -> str:
    """The text without blocks of code."""
    return FENCE.sub("", text)


def anchors(text: str) -> set[str]:
    """What GitHub calls the headings of a page."""
    headings = re.findall(r"^#+ (.*)$", prose(text), re.MULTILINE)
    plain = (re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower() for heading in headings)
    return {re.sub(r"[^\w\- ]", "", heading).replace(" ", "-") for heading in plain}


def dead_links(text: str, folder: Path) -> Iterator[str]:
    """The relative links of a page in a folder that lead nowhere."""
    for link in LINK.findall(prose(text)):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = folder / path
        if not target.exists():
            yield link
        elif anchor:
            page = target.read_text(encoding="utf-8") if path else text
            if anchor not in anchors(page):
                yield link


def test_there_are_pages_and_tables() -> None:
    assert {path.stem for path in PAGES} == {
        *("README", "results", "attacks", "filters", "defences", "proofs", "checks", "running"),
        *("library", "architecture", "glossary", "photos", "atlas", "challenge"),
    }
    shown = {name for path in PAGES for _, name, _ in tables.BLOCK.findall(path.read_text())}
    assert shown == set(tables.COLUMNS)


@pytest.mark.parametrize("path", PAGES, ids=name_of)
def test_a_page_is_what_the_command_writes(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert text == tables.render_page(text)
    assert (
        text.count("<!-- table: ") == text.count("<!-- end -->") == len(tables.BLOCK.findall(text))
    )


def test_a_number_that_was_changed_by_hand_is_written_anew() -> None:
    text = README.read_text(encoding="utf-8")
    changed = text.replace("| 60.0 % (58.7 … 61.4) |", "| 70.0 % (58.7 … 61.4) |")
    assert changed != text
    assert tables.render_page(changed) == text


def test_an_unknown_table_is_an_error() -> None:
    with pytest.raises(KeyError, match="nothing"):
        tables.render_page("<!-- table: nothing -->\n<!-- end -->")


def test_all_data_are_shown_and_every_rate_is_in_its_interval() -> None:
    used = {tables.SOURCES.get(name, name) for name in tables.COLUMNS} | {"curves"}
    files = sorted((DOCS / "tables").glob("*.csv"))
    assert {path.stem for path in files} == used
    checked = 0
    for path in files:
        with path.open(encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file):
                assert None not in row
                assert None not in row.values()
                lows = [key for key in row if key.endswith("low") and row[key]]
                for key in lows:
                    name = key.removesuffix("low").removesuffix("_") or "accuracy"
                    low, rate, high = row[key], row[name], row[key.removesuffix("low") + "high"]
                    assert float(low) <= float(rate.rstrip(" %")) <= float(high), (path.name, row)
                    checked += 1
    assert checked > 100


def test_the_curves_agree_with_the_headline() -> None:
    curves = {
        (row["filter"], row["threat"], row["eps"], row["strength"]): row
        for row in tables.read_rows("curves")
    }
    for row in tables.read_rows("headline"):
        strength = row["strength"].removeprefix("σ = ")
        for threat in ("blind", "aware"):
            point = curves[row["filter"], threat, row["eps"], strength]
            for ours, theirs in (("", "accuracy"), ("_low", "low"), ("_high", "high")):
                # Both are rounded: to a tenth of a point, and to a hundredth.
                difference = float(row[threat + ours]) - 100 * float(point[theirs])
                assert abs(difference) < 0.0551


def test_the_figure_is_what_the_command_draws() -> None:
    assert tables.draw_figure() == tables.FIGURE.read_bytes()


def test_the_figure_is_of_its_data(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = tables.read_rows("curves")
    changed = [{**row, "accuracy": "0.5"} if row["eps"] == "0.1" else row for row in rows]
    monkeypatch.setattr(tables, "read_rows", lambda name: changed)
    assert tables.draw_figure() != tables.FIGURE.read_bytes()


def test_the_readme_is_short() -> None:
    text = README.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 130
    assert len(IMAGE.findall(text)) == 1
    (table,) = TABLE.findall(prose(text))
    assert 0 < len(table.splitlines()) - 2 <= 10
    assert text.index("make results") < text.index("make test") < text.index("\n## ")


def test_the_readme_links_every_page() -> None:
    linked = {link.partition("#")[0] for link in LINK.findall(README.read_text(encoding="utf-8"))}
    assert {f"docs/{path.name}" for path in DOCS.glob("*.md")} <= linked
    assert {"CONTRIBUTING.md", "CHANGELOG.md", "CITATION.cff", "LICENSE"} <= linked


@pytest.mark.parametrize("path", MARKDOWN, ids=name_of)
def test_links_lead_somewhere(path: Path) -> None:
    assert list(dead_links(path.read_text(encoding="utf-8"), path.parent)) == []


def test_dead_links_are_found() -> None:
    text = "# A b\n[x](#a-b) [x](#c) [x](missing.md) [x](README.md#nowhere) ![x](no.png)\n"
    assert list(dead_links(text, ROOT)) == ["#c", "missing.md", "README.md#nowhere", "no.png"]


def test_hooks_use_the_pinned_tools() -> None:
    configuration = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())
    hooks = [hook for repository in configuration["repos"] for hook in repository["hooks"]]
    pinned = re.findall(r"^(\w+)==", (ROOT / "envs" / "test.txt").read_text(), re.MULTILINE)
    used = [re.match(r"\.venv/bin/(\w+)", hook["entry"]) for hook in hooks]
    assert {hook["language"] for hook in hooks} == {"system"}
    assert {found and found[1] for found in used} == {"ruff", "snakefmt", "mypy"} <= set(pinned)


def test_github_runs_what_ci_runs() -> None:
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text())
    (job,) = workflow["jobs"].values()
    assert [step["run"] for step in job["steps"] if "run" in step] == [".ci/run"]
    versions = [step["with"]["python-version"] for step in job["steps"] if "with" in step]
    assert versions == ["3.11"]
    assert job["timeout-minutes"] == 90


def test_the_citation_says_what_the_licence_and_the_package_say() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    package = (ROOT / "workflow" / "epsigma" / "__init__.py").read_text(encoding="utf-8")
    assert citation["cff-version"] == "1.2.0"
    assert citation["title"] == "epsigma"
    assert (ROOT / "LICENSE").read_text().startswith(f"{citation['license']} License")
    assert f'__version__ = "{citation["version"]}"' in package
    assert [reference["title"] for reference in citation["references"]] == [
        "Mitigating Adversarial Examples in Neural Networks"
    ]
