"""Run the notebooks of docs/ and write what they show.

    notebook.py NOTEBOOK RESULTS

Cells are plain Python, so they are run by `exec`: no Jupyter has to be installed for that, which is
thirty packages more. A cell shows what it prints, the value of its last line, and its figures.
"""

import ast
import base64
import contextlib
import io
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

import matplotlib

# Bytes of a figure.
LARGEST = 60_000


def run_notebook(path: Path, results: Path) -> dict[str, Any]:
    """Run a notebook beside a folder of results, as if both lay in a clone.

    Args:
        path: of the notebook.
        results: what the notebook finds as `../results`; only read.

    Returns:
        The notebook with what its cells show, and nothing of what they showed before.

    Raises:
        Exception: what a cell raises.
    """
    matplotlib.use("agg")
    notebook: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    names: dict[str, Any] = {"__name__": "__main__"}
    cells = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    with tempfile.TemporaryDirectory() as clone:
        Path(clone, "docs").mkdir()
        Path(clone, "results").symlink_to(results.resolve())
        with contextlib.chdir(Path(clone, "docs")):
            for number, cell in enumerate(cells, start=1):
                source = "".join(cell["source"])
                cell["outputs"] = _run_cell(source, f"cell {number}", names)
                cell["execution_count"] = number
                for output in cell["outputs"]:
                    if output["output_type"] == "execute_result":
                        output["execution_count"] = number
    return notebook


def _run_cell(source: str, name: str, names: dict[str, Any]) -> list[dict[str, Any]]:
    """Run a cell and return what it shows."""
    from matplotlib import pyplot as plt

    tree = ast.parse(source, name)
    last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
    outputs = []
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        exec(compile(tree, name, "exec"), names)
        value = None
        if isinstance(last, ast.Expr):
            value = eval(compile(ast.Expression(last.value), name, "eval"), names)
    if printed.getvalue():
        outputs.append({"output_type": "stream", "name": "stdout", "text": printed.getvalue()})
    # As in Jupyter, a semicolon at the end hides the value.
    if value is not None and not source.rstrip().endswith(";"):
        data = {"text/plain": repr(value)}
        if hasattr(value, "_repr_html_"):
            data["text/html"] = value._repr_html_()
        outputs.append(_make_output("execute_result", data))
    for number in plt.get_fignums():
        outputs.append(_make_output("display_data", _draw(plt.figure(number))))
    plt.close("all")
    return outputs


def _make_output(kind: str, data: dict[str, Any]) -> dict[str, Any]:
    # By lines, as Jupyter writes text, for readable differences.
    lines = {
        name: text if name == "image/png" else text.splitlines(keepends=True)
        for name, text in data.items()
    }
    return {"output_type": kind, "metadata": {}, "data": lines}


def _draw(figure: Any) -> dict[str, str]:
    drawn = io.BytesIO()
    figure.savefig(drawn, format="png", metadata={"Software": None})
    png = drawn.getvalue()
    if len(png) > LARGEST:
        raise ValueError(f"a figure takes {len(png):,} bytes: make it smaller")
    return {"image/png": base64.b64encode(png).decode(), "text/plain": "<Figure>"}


def main() -> None:
    """Run a notebook and write it."""
    path, results = map(Path, sys.argv[1:])
    text = json.dumps(run_notebook(path, results), indent=1, ensure_ascii=False) + "\n"
    temporary = path.with_suffix(".new")
    temporary.write_text(text, encoding="utf-8")
    os.replace(temporary, path)


if __name__ == "__main__":
    main()
