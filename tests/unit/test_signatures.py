"""What Snakemake asks of functions that rules name: their parameters, many times."""

import inspect

import pytest
from epsigma.plan.plan import Plan
from epsigma.plan.resources import Resources
from epsigma.study import validate
from snakemake.common import get_function_params, get_input_function_aux_params

STUDY = {
    "datasets": [{"kind": "digits"}],
    "models": [{"kind": "mlp"}],
    "attacks": [{"kind": "fgsm", "eps": [0.1]}],
    "filters": [{"kind": "gaussian", "sigma": [1]}],
}


@pytest.mark.parametrize("asked", ["inputs", "recipes", "resources"])
def test_functions_of_rules_say_the_parameters_that_they_have(asked):
    holder = getattr(Plan(validate(STUDY)), asked)
    functions = inspect.getmembers(type(holder), inspect.isfunction)
    public = [name for name, _ in functions if not name.startswith("_")]
    assert public
    for name in public:
        function, method = getattr(holder, name), getattr(type(holder), name).__get__(holder)
        assert function.__signature__ == inspect.signature(method)
        # Which is what is asked, and not looked into again.
        assert inspect.signature(function) is function.__signature__
        assert get_function_params(function) == inspect.signature(method).parameters
        assert (function.__name__, function.__doc__) == (method.__name__, method.__doc__)


def test_what_they_ask_for_they_get():
    plan = Plan(validate({**STUDY, "device": "cuda", "memory_mb": 700}))
    offered = {"attempt": 2, "input": [], "threads": 1}
    taken = get_input_function_aux_params(plan.resources.mem_mb, offered)
    assert taken == {"attempt": 2}
    given = plan.resources.mem_mb({"rule": "attack"}, **taken)
    assert given == Resources(plan.study).mem_mb({"rule": "attack"}, attempt=2)
