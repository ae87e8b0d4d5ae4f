import pytest
from epsigma.configuration import REGISTRIES
from epsigma.kinds import Kind, load


@pytest.mark.parametrize(
    "kind",
    [
        pytest.param(kind, id=f"{section}-{name}")
        for section, registry in REGISTRIES.items()
        for name, kind in registry.items()
    ],
)
def test_the_implementation_of_every_kind_can_be_imported(kind):
    implementation = load(kind.implementation)
    assert callable(implementation)
    assert (implementation.__module__, implementation.__name__) == tuple(
        kind.implementation.split(":")
    )
    assert kind.module == implementation.__module__


@pytest.mark.parametrize(
    ("implementation", "said"),
    [
        ("epsigma.attacks.nothing:attack", "epsigma.attacks.nothing"),
        ("epsigma.kinds:nothing", "epsigma.kinds has no 'nothing'"),
        ("nothing_at_all:nothing", "nothing_at_all"),
    ],
)
def test_what_is_not_there_is_an_import_error_that_names_it(implementation, said):
    with pytest.raises(ImportError, match=said):
        load(implementation)


def test_a_kind_without_hyper_parameters_sweeps_nothing():
    kind = Kind("package.module:name")
    assert (kind.module, kind.swept, dict(kind.parameters)) == ("package.module", None, {})
