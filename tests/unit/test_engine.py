"""What the workflow takes from Snakemake beside rules: these tests fail when an upgrade changes it.

That is what `epsigma.engine` does to the scheduler, and what `workflow/rules/columns.smk` calls.
"""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

# Snakemake's rate limiter wakes the scheduler by timers.
RATE_LIMIT = f"""
import sys
import threading

sys.path.insert(0, {str(ROOT / "workflow")!r})
from epsigma.engine import lift_rate_limit

timer = threading.Timer


def noted(*arguments, **options):
    print("a timer", file=sys.stderr)
    return timer(*arguments, **options)


threading.Timer = noted


rule a:
    output:
        touch("a"),
    localrule: True


onstart:
    assert workflow.scheduler.job_rate_limiter is not None
    if config["lift"] == "yes":
        lift_rate_limit(workflow)
"""

TWIN = """
rule a:
    output:
        made="{x}/{y}/a",
    log:
        "logs/{x}/{y}",
    run:
        pass


use rule a as b with:
    output:
        made="{x}/b",
    log:
        "logs/{x}/b",
    wildcard_constraints:
        x="1|2",


ruleorder: b > a
"""


@pytest.fixture
def snakemake(tmp_path):
    """Run Snakemake on a Snakefile in a folder of its own, and return what it printed."""

    def run(snakefile, *arguments):
        (tmp_path / "Snakefile").write_text(snakefile)
        done = subprocess.run(
            [sys.executable, "-m", "snakemake", "--cores", "1", *arguments],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done

    return run


@pytest.mark.parametrize("lift", ["no", "yes"])
def test_the_scheduler_has_a_rate_limiter_that_wakes_it_unless_it_is_lifted(snakemake, lift):
    done = snakemake(RATE_LIMIT, "--config", f"lift={lift}")
    assert ("a timer" in done.stderr) is (lift == "no")


def calls(body):
    """List the methods of `workflow` that statements call, decorators included, in order.

    Returns:
        For each its name, the names of its keyword arguments, and whether it decorates.
    """
    found = []
    for node in body:
        if isinstance(node, ast.FunctionDef):
            found += [described(decorator, True) for decorator in node.decorator_list]
        elif isinstance(node, ast.Expr):
            found.append(described(node.value, False))
    return found


def described(node, decorates):
    keywords = set()
    if isinstance(node, ast.Call):
        keywords, node = {keyword.arg for keyword in node.keywords}, node.func
    assert isinstance(node, ast.Attribute)
    assert ast.unparse(node.value) == "workflow"
    return node.attr, keywords, decorates


def test_twins_are_made_by_what_use_rule_and_ruleorder_are_compiled_to(snakemake):
    compiled = ast.parse(snakemake(TWIN, "--print-compilation").stdout).body
    (loop,) = (
        node
        for node in ast.parse((ROOT / "workflow" / "rules" / "columns.smk").read_text()).body
        if isinstance(node, ast.For)
    )
    # What Snakemake writes for rule `a` comes first.
    theirs, ours = calls(compiled[1:]), calls(loop.body)
    expected = ["userule", "output", "log", "register_wildcard_constraints", "run", "ruleorder"]
    assert [name for name, *_ in theirs] == [name for name, *_ in ours] == expected
    assert [decorates for *_, decorates in theirs] == [decorates for *_, decorates in ours]
    _, options, _ = ours[0]
    assert options == {"rules", "name_modifier"}
    # The others say that no module is used, that no rule is left out, and where the line is.
    assert theirs[0][1] == options | {"from_module", "exclude_rules", "lineno"}
    userule = compiled[1].decorator_list[0]
    given = {keyword.arg: ast.literal_eval(keyword.value) for keyword in userule.keywords}
    assert (given["rules"], given["name_modifier"]) == (["a"], "b")
    assert (given["from_module"], given["exclude_rules"]) == (None, [])
    # Names of rules are strings, the one that wins first.
    assert [ast.literal_eval(name) for name in compiled[-1].value.args] == ["b", "a"]
    assert ast.unparse(loop.body[-1]) == "workflow.ruleorder(twin.rule, twin.stage)"
