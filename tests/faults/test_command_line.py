"""Bad input on the command line: one message that names the key, before any job, no traceback."""

from pathlib import Path

import pytest
import yaml
from running import Workdir, new_workdir
from striking import STUDY

SMALL = {**STUDY, "models": [{"kind": "mlp"}], "attacks": [{"kind": "fgsm", "eps": [0.1]}]}


@pytest.fixture(scope="module")
def workdir(tmp_path_factory: pytest.TempPathFactory) -> Workdir:
    return new_workdir(tmp_path_factory.mktemp("bad") / "epsigma", SMALL)


@pytest.mark.parametrize(
    ("text", "arguments", "said"),
    [
        (
            "attacks: [{kind: fgsm, eps: 0.1}]",
            "",
            "attacks[0] (fgsm).eps: 0.1 is not of type array",
        ),
        ("attacks: [{kind: fgsm, eps: [.nan]}]", "", "attacks[0].eps[0]: nan is not a finite"),
        ("models: [{kind: mlp, name: ../../up}]", "", "models[0].name: '../../up' is no name"),
        ("filters: &a [*a]", "", ""),
        ("seeds: [0]\nseeds: [1]", "", "seeds: "),
        ("seeds: [0", "", ""),
        ("- a\n- b", "", ""),
        ("datasets: [{kind: file, path: none.npz}]", "", "none.npz is not there"),
        ("", "seeds=1", "seeds: 1 is not of type array; write a list: [1]"),
        ("", "seeds=[0,0]", "seeds: [0, 0] holds a value twice"),
        ("", "strict=maybe", "strict: 'maybe' is not of type boolean; write true or false"),
        ("", "data_dir=2024", "data_dir: 2024 is not of type string"),
    ],
)
def test_bad_input_ends_before_any_job(
    workdir: Workdir, text: str, arguments: str, said: str
) -> None:
    config = workdir.project / "config" / "config.yaml"
    if text.startswith(("attacks", "models", "filters", "datasets", "seeds: [0]")):
        others = {key: value for key, value in SMALL.items() if key != text.partition(":")[0]}
        text = f"{yaml.safe_dump(others)}{text}\n"
    config.write_text(text or yaml.safe_dump(SMALL), encoding="utf-8")
    run = workdir.snakemake("-n", *(["--config", arguments] if arguments else []))
    output = " ".join((run.stdout + run.stderr).split())
    assert run.returncode != 0
    assert said in output
    assert "Traceback (most recent call last)" not in output
    assert not Path(workdir.directory, "results").exists()
