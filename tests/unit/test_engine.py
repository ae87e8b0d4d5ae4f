"""What the workflow takes from Snakemake beside rules: these tests fail when an upgrade changes it.

That is what `epsigma.engine` does to the scheduler, and how it adds rules.
"""

import ast
import inspect
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from epsigma import engine
from epsigma.engine import Apart, add_twin

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

# What is left is asked for by a scheduler that looks at it, and by one that does not.
REMAINING = f"""
import sys

sys.path.insert(0, {str(ROOT / "workflow")!r})
from epsigma.lookups import Remaining, look_up
from snakemake.scheduling.greedy import Scheduler
from snakemake.scheduling.job_scheduler import JobScheduler

theirs = JobScheduler.remaining_jobs.fget
look_up()
choose = Scheduler.select_jobs


def noted(self, jobs, remaining, *others):
    assert isinstance(remaining, Remaining)
    chosen = choose(self, jobs, remaining, *others)
    print("listed", remaining._jobs is not None, file=sys.stderr)
    # The chosen are not running yet.
    left = theirs(workflow.scheduler)
    assert list(remaining) == left and len(remaining) == len(left) and remaining[0] == left[0]
    assert set(chosen) <= set(remaining)
    print("left", len(left), file=sys.stderr)
    return chosen


Scheduler.select_jobs = noted


rule b:
    input:
        expand("{{{{n}}}}", n=range(3)),
    output:
        touch("b"),


rule a:
    output:
        touch("{{{{n,[0-9]}}}}"),
"""

# Wildcards before, within, behind and not at all, a constraint, and files that several rules make.
PRODUCERS = f"""
import sys

sys.path.insert(0, {str(ROOT / "workflow")!r})
from epsigma.lookups import ByEnding
from snakemake.output_index import OutputIndex

{{inside}}

rule a:
    output:
        touch("made"),
    localrule: True


rule b:
    output:
        "made/{{{{x}}}}/one.csv",
        "made/{{{{x}}}}/two.csv",


rule c:
    output:
        "made/{{{{x}}}}/two.csv",
    log:
        "logs/{{{{x}}}}.log",
    wildcard_constraints:
        x="[a-z]+",


rule d:
    output:
        "{{{{x}}}}",
    wildcard_constraints:
        x="[^/]+",


rule e:
    output:
        "made/{{{{x}}}}-{{{{y}}}}/{{{{x}}}}",


onstart:
    ours, theirs = ByEnding(workflow.rules), OutputIndex(workflow.rules)
    assert isinstance(workflow.dag.output_index, ByEnding) == asked
    for path in (
        *("made", "other", "a.csv", "one.csv", "made/q/one.csv", "made/q/two.csv"),
        *("made/1/two.csv", "made/q/r/two.csv", "logs/q.log", "logs/1.log", "logs/q"),
        *("made/q-r/q", "made/q-r/r", "made/q-r/two.csv", "", "/", "csv", "else/q/two.csv"),
    ):
        assert ours.match_producers(path) == theirs.match_producers(path), path
        print(path, len(ours.match_producers(path)), file=sys.stderr)
"""

# One input is a pipe, one is made by another job, and one is there.
PIPES = f"""
import sys

sys.path.insert(0, {str(ROOT / "workflow")!r})
from epsigma.lookups import look_up
from snakemake.jobs import Job

theirs = Job.is_pipe_or_service_input
look_up()
ours = Job.is_pipe_or_service_input


rule b:
    input:
        "piped",
        "made",
        "Snakefile",
    output:
        touch("b"),
    shell:
        "cat {{input}} > /dev/null"


rule a:
    output:
        pipe("piped"),
    shell:
        "echo > {{output}}"


rule c:
    output:
        touch("made"),


onstart:
    asked = [(job, path) for job in workflow.dag.jobs for path in job.input]
    assert asked and ours is not theirs
    for job, path in asked:
        assert ours(job, path) == theirs(job, path)
        print(path, ours(job, path), file=sys.stderr)
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


# A program that leaves a circle of objects behind.
CIRCLE = f"""
import sys

sys.path.insert(0, {str(ROOT / "workflow")!r})
from epsigma.engine import prepare_process


class Circle:
    def __init__(self):
        self.itself = self

    def __del__(self):
        print("looked through")


if sys.argv[1] == "yes":
    prepare_process()
Circle()
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


def test_which_inputs_are_pipes_is_what_snakemake_says(snakemake):
    said = snakemake(PIPES, "--cores", "2").stderr
    assert all(line in said for line in ("piped True", "made False", "Snakefile False"))


def test_what_is_left_is_what_snakemake_says_and_is_not_listed_for_the_greedy_scheduler(snakemake):
    said = snakemake(REMAINING.format(), "--scheduler", "greedy").stderr
    assert [f"left {count}" in said for count in range(6)] == [False, *[True] * 4, False]
    assert "listed False" in said
    assert "listed True" not in said


@pytest.mark.parametrize("asked", [False, True])
def test_who_makes_a_file_is_what_snakemake_says(snakemake, asked):
    look_up = "from epsigma.lookups import look_up\nlook_up()\n" if asked else ""
    said = snakemake(PRODUCERS.format(inside=f"asked = {asked}\n{look_up}")).stderr
    for line in (
        "made 2",
        "made/q/two.csv 2",
        "made/1/two.csv 1",
        "made/q-r/two.csv 1",
        "logs/q 0",
    ):
        assert f"\n{line}\n" in said


def test_a_pattern_that_cannot_be_read_is_told_as_snakemake_tells_it(tmp_path):
    look_up = "from epsigma.lookups import look_up\nlook_up()\n"
    said = []
    for inside in ("", look_up):
        (tmp_path / "Snakefile").write_text(
            f"import sys\nsys.path.insert(0, {str(ROOT / 'workflow')!r})\n{inside}"
            'rule a:\n    output: "{x}.csv",\n    wildcard_constraints: x="(",\n'
        )
        command = [sys.executable, "-m", "snakemake", "--cores", "1", "a.csv"]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
        assert done.returncode == 1
        said.append(
            [line for line in done.stderr.splitlines() if "rror" in line or "wildcard" in line]
        )
    assert said[0]
    assert said[0] == said[1]


def called(tree):
    """List the methods of `workflow` that are used, with the keyword arguments that they get."""
    keywords = {
        id(call.func): {keyword.arg for keyword in call.keywords}
        for call in ast.walk(tree)
        if isinstance(call, ast.Call)
    }
    return {
        node.attr: keywords.get(id(node), set())
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and ast.unparse(node.value) == "workflow"
    }


def test_twins_are_made_by_what_use_rule_and_ruleorder_are_compiled_to(snakemake):
    compiled = ast.parse(snakemake(TWIN, "--print-compilation").stdout).body
    # What Snakemake writes for rule `a` comes first.
    twin, order = compiled[1:]
    theirs = called(ast.Module([twin, order], []))
    ours = called(ast.parse(inspect.getsource(add_twin)))
    names = {"userule", "output", "log", "register_wildcard_constraints", "run", "ruleorder"}
    assert theirs.keys() == ours.keys() == names
    assert ours["userule"] == {"rules", "name_modifier"}
    # The others say that no module is used, that no rule is left out, and where the line is.
    assert theirs["userule"] == ours["userule"] | {"from_module", "exclude_rules", "lineno"}
    given = {
        keyword.arg: ast.literal_eval(keyword.value) for keyword in twin.decorator_list[0].keywords
    }
    assert (given["rules"], given["name_modifier"]) == (["a"], "b")
    assert (given["from_module"], given["exclude_rules"]) == (None, [])
    # The innermost comes first, as decorators are applied.
    assert [d.func.attr for d in twin.decorator_list[:-1]] == [
        "userule",
        *("output", "log", "register_wildcard_constraints"),
    ]
    # Names of rules are strings, the one that wins first.
    assert [ast.literal_eval(name) for name in order.value.args] == ["b", "a"]


@pytest.mark.parametrize("prepares", ["no", "yes"])
def test_what_a_run_leaves_in_memory_is_not_looked_through_when_its_process_ends(prepares):
    command = [sys.executable, "-c", CIRCLE, prepares]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == ("" if prepares == "yes" else "looked through\n")


@pytest.fixture
def servers(monkeypatch):
    """The fork servers that are started: what each imports, and whether it is closed."""
    started = []

    class Server:
        def __init__(self, modules):
            self.modules, self.is_closed = modules, False
            started.append(self)

        def close(self):
            self.is_closed = True

    monkeypatch.setattr(engine, "ForkServer", Server)
    return started


def run_of(
    *rules,
    cores=2,
    nodes=None,
    dryrun=False,
    is_main_process=True,
    local_exec=True,
    is_module=False,
    lints=False,
):
    """What `Apart` reads of a workflow whose jobs are of these rules."""
    jobs = [SimpleNamespace(rule=SimpleNamespace(name=rule)) for rule in rules]
    return SimpleNamespace(
        is_main_process=is_main_process,
        modifier=SimpleNamespace(is_module=is_module),
        check_envvars=not lints,
        local_exec=local_exec,
        resource_settings=SimpleNamespace(cores=cores, nodes=nodes),
        output_settings=SimpleNamespace(dryrun=dryrun),
        scheduler=SimpleNamespace(),
        dag=SimpleNamespace(needrun_jobs=lambda: jobs),
    )


@pytest.mark.parametrize(
    "other",
    [
        *({"cores": None}, {"nodes": 9}, {"dryrun": True}, {"is_main_process": False}),
        *({"is_module": True}, {"lints": True}, "results"),
    ],
    ids=str,
)
def test_only_a_first_run_on_this_machine_imports_before_its_jobs_are_known(
    servers, tmp_path, other
):
    of = {} if other == "results" else other
    folder = tmp_path if other == "results" else tmp_path / "none yet"
    Apart().expect_all(run_of(**of), str(folder))
    assert not servers
    Apart().expect_all(run_of(), str(tmp_path / "none yet"))
    (server,) = servers
    assert {"epsigma.stages.train", "epsigma.stages.draw"} <= set(server.modules)


@pytest.mark.parametrize("is_first", [False, True])
def test_one_server_serves_a_run_and_none_a_run_without_need_of_it(
    servers, tmp_path, monkeypatch, is_first
):
    monkeypatch.setattr(engine, "stop_when_full", lambda workflow: None)
    folder = str(tmp_path / "none yet" if is_first else tmp_path)
    for rules, is_needed in ((["train", "draw_model"], True), (["dataset"], False)):
        servers.clear()
        apart = Apart()
        apart.expect_all(run_of(*rules), folder)
        apart.start(run_of(*rules))
        assert [server.is_closed for server in servers] == [not is_needed] * (is_needed or is_first)
    apart = Apart()
    servers.clear()
    apart.expect_all(run_of("train"), folder)
    apart.start(run_of("train", local_exec=False))
    assert all(server.is_closed for server in servers)
