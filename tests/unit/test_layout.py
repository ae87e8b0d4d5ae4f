"""The house stays one to live in: no module, rule file or function grows too long."""

import ast
from pathlib import Path

import pytest

WORKFLOW = Path(__file__).parents[2] / "workflow"
MODULES = sorted((WORKFLOW / "epsigma").rglob("*.py"))


def name(path):
    return str(path.relative_to(WORKFLOW))


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_a_module_has_at_most_300_lines_and_a_function_50_beside_its_docstring(path):
    source = path.read_text(encoding="utf-8")
    assert len(source.splitlines()) <= 300
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef):
            first = node.body[0]
            docstring = 0
            if ast.get_docstring(node) is not None:
                docstring = first.end_lineno - first.lineno + 1
            assert node.end_lineno - node.lineno + 1 - docstring <= 50, node.name


@pytest.mark.parametrize("path", sorted((WORKFLOW / "rules").glob("*.smk")), ids=name)
def test_a_file_of_rules_has_at_most_120_lines(path):
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 120
