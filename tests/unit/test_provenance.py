import json
import os
import sys
import uuid
from importlib.metadata import version

import pytest
from epsigma import __version__
from epsigma.storage.digest import _read, code_digest
from epsigma.storage.provenance import record, versions

MAIN = '''"""What the module is for."""

import {p}.whole
from {p} import sibling
from {p}.direct import add


class Scale:
    """A factor."""

    factor = 2

    def __call__(self, x):
        """Scale x."""
        return self.factor * x


def compute(x, *, power=2):
    """Do it."""
    from {p} import inner

    # A comment.
    return add(x, inner.OFFSET) ** power + sibling.one() + {p}.whole.ONE


async def later():
    """Do it later."""
    return 1
'''

MODULES = {
    "__init__": '"""A package."""\n',
    "main": MAIN,
    "direct": "from {p}.deep import ZERO\n\n\ndef add(a, b):\n    return a + b + ZERO\n",
    "deep": "ZERO = 0\n",
    "inner": "OFFSET = 1\n",
    "sibling": "def one():\n    return 1\n",
    "whole": "ONE = 1\n",
    "unrelated": "from {p} import main\n\nANSWER = 42\n",
}


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A package of a name that no test has used before: its folder, on the path."""
    folder = tmp_path / f"package_{uuid.uuid4().hex}"
    folder.mkdir()
    for name, source in MODULES.items():
        (folder / f"{name}.py").write_text(source.replace("{p}", folder.name))
    monkeypatch.syspath_prepend(tmp_path)
    return folder


def digest(package, *modules):
    code_digest.cache_clear()
    _read.cache_clear()
    return code_digest(*(f"{package.name}.{name}" for name in modules or ["main"]))


def edit(package, module, old, new):
    path = package / f"{module}.py"
    source = path.read_text()
    old, new = (text.replace("{p}", package.name) for text in (old, new))
    assert old in source
    path.write_text(source.replace(old, new))


@pytest.mark.parametrize(
    ("module", "old", "new"),
    [
        pytest.param("main", "# A comment.", "# Another,\n    # longer one.", id="comment"),
        pytest.param("main", "What the module is for.", "Why?", id="the module's docstring"),
        pytest.param("main", '    """A factor."""\n\n', "", id="a class's docstring, removed"),
        pytest.param("main", "Scale x.", "Multiply.", id="a method's docstring"),
        pytest.param("main", "Do it.", "Compute.", id="a function's docstring"),
        pytest.param("main", "Do it later.", "Wait.", id="a coroutine's docstring"),
        pytest.param("deep", "ZERO", '"""It is new."""\n\nZERO', id="a docstring, added"),
        pytest.param(
            "main",
            "add(x, inner.OFFSET) ** power",
            "(\n        add(\n            x, inner.OFFSET,\n        )\n        ** power\n    )",
            id="layout",
        ),
        pytest.param("inner", "OFFSET = 1", "\n\nOFFSET   =  0x1", id="layout of an imported one"),
        pytest.param("unrelated", "ANSWER = 42", "ANSWER = 43", id="a module that imports it"),
    ],
)
def test_a_digest_stays_when_nothing_that_runs_changes(package, module, old, new):
    before = digest(package)
    edit(package, module, old, new)
    assert digest(package) == before


def test_a_digest_stays_when_a_file_is_touched(package):
    before = digest(package)
    for path in package.iterdir():
        os.utime(path, (0, 0))
    assert digest(package) == before


@pytest.mark.parametrize(
    ("module", "old", "new"),
    [
        pytest.param("main", "** power", "* power", id="an expression"),
        pytest.param("main", "power=2", "power=3", id="a default"),
        pytest.param("main", "factor = 2", "factor = 3", id="a class's attribute"),
        pytest.param("main", "def later", "def soon", id="a name"),
        pytest.param("main", "return 1", "return '1'", id="a type"),
        pytest.param("direct", "a + b", "a - b", id="`from package.module import name`"),
        pytest.param("deep", "ZERO = 0", "ZERO = 1", id="what an imported module imports"),
        pytest.param("inner", "OFFSET = 1", "OFFSET = 2", id="an import inside a function"),
        pytest.param("sibling", "return 1", "return 2", id="`from package import module`"),
        pytest.param("whole", "ONE = 1", "ONE = 2", id="`import package.module`"),
        pytest.param("__init__", '"""A', 'X = 1\n"""A', id="the package itself"),
    ],
)
def test_a_digest_changes_with_an_edit_of_what_runs(package, module, old, new):
    before = digest(package)
    edit(package, module, old, new)
    assert digest(package) != before


def test_a_module_brings_its_part_to_the_digest_in_any_order_and_once(package):
    alone = digest(package)
    both = digest(package, "main", "unrelated")
    assert both != alone
    assert digest(package, "unrelated", "main") == both
    assert digest(package, "unrelated", "main", "deep") == both


def test_a_digest_is_of_names_too(package):
    (package / "copy.py").write_text((package / "whole.py").read_text())
    assert digest(package, "copy") != digest(package, "whole")


SUBPACKAGE = {
    "__init__": "from .one import ONE\n",
    "one": "from . import two\nfrom ..whole import ONE\n\nONE = ONE + two.TWO\n",
    "two": "from ..sibling import one\n\nTWO = 2 * one()\n",
}


@pytest.mark.parametrize("start", ["sub", "sub.one"])
@pytest.mark.parametrize(
    ("module", "old", "new"),
    [
        pytest.param("sub/two", "2 *", "3 *", id="`from . import module`"),
        pytest.param("whole", "ONE = 1", "ONE = 2", id="`from ..module import name`"),
        pytest.param("sibling", "return 1", "return 2", id="of a module so imported"),
    ],
)
def test_relative_imports_are_followed(package, start, module, old, new):
    (package / "sub").mkdir()
    for name, source in SUBPACKAGE.items():
        (package / "sub" / f"{name}.py").write_text(source)
    before = digest(package, start)
    edit(package, module, old, new)
    assert digest(package, start) != before


def test_what_the_user_s_module_imports_from_the_working_directory_is_part_of_it(
    package, monkeypatch
):
    names = [f"{part}_{uuid.uuid4().hex}" for part in ("nets", "layers")]
    sources = (f"import json\nfrom {names[1]} import WIDTH\n", "WIDTH = 3\n")
    folder = package.parent
    for name, source in zip(names, sources, strict=True):
        (folder / f"{name}.py").write_text(source)

    def both():
        code_digest.cache_clear()
        _read.cache_clear()
        return code_digest(names[0])

    def widen(width):
        (folder / f"{names[1]}.py").write_text(f"WIDTH = {width}\n")

    monkeypatch.chdir(folder)
    inside = both()
    widen(4)
    assert both() != inside
    # From elsewhere it is somebody else's package, such as torch.
    (folder / "elsewhere").mkdir()
    monkeypatch.chdir(folder / "elsewhere")
    outside = both()
    widen(5)
    assert both() == outside


def test_digesting_imports_nothing(package):
    before = set(sys.modules)
    digest(package)
    assert set(sys.modules) == before


def test_a_module_without_source_is_an_error(package):
    with pytest.raises(ModuleNotFoundError, match=f"{package.name}.missing"):
        digest(package, "missing")


def test_a_plot_s_code_is_no_part_of_what_trains_and_attacks():
    # What epsigma.figures does may change; were it imported by these, editing a plot would retrain.
    from epsigma.storage import digest as provenance

    for stage in ("dataset", "train", "attack", "filter", "evaluate", "collect"):
        pending, seen = [f"epsigma.stages.{stage}"], set()
        while pending:
            name = pending.pop()
            if name not in seen:
                seen.add(name)
                pending += provenance._read(name)[1]
        assert not {name for name in seen if name.startswith("epsigma.figures")}


def test_versions_name_what_does_the_arithmetic():
    assert versions()["python"] == sys.version.split()[0]
    assert versions()["epsigma"] == __version__
    for package in ("torch", "kornia", "opencv-python-headless", "numpy", "safetensors", "pyarrow"):
        assert versions()[package] == version(package)


def test_a_record_says_what_made_a_file_in_strings():
    cell, settings = {"dataset": "digits", "seed": "0"}, {"parameters": {"eps": 0.1, "n": None}}
    metadata = record(cell, settings, "0123456789abcdef")
    assert list(metadata) == ["cell", "settings", "code", "versions"]
    assert json.loads(metadata["cell"]) == cell
    assert json.loads(metadata["settings"]) == settings
    assert metadata["code"] == "0123456789abcdef"
    assert json.loads(metadata["versions"]) == versions()
