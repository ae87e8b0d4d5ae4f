import json
import logging

import pytest
import torch
from epsigma.device import resolve


def test_a_job_s_log_says_what_was_made_how_and_how_long_it_took(make_job, capfd):
    job = make_job({"eps": 0.1}, dataset="digits", budget="eps~0.1")
    with job.logged() as log:
        log.info("%d images", 7)
    with open(job.log, encoding="utf-8") as file:
        text = file.read()
    for part in ("'dataset': 'digits'", "'eps': 0.1", "7 images", "done in"):
        assert part in text
    assert capfd.readouterr() == ("", "")


def test_a_failed_job_s_log_says_which_cell_and_why_and_the_error_goes_on(make_job):
    job = make_job({}, dataset="digits", budget="eps~0.1")
    with pytest.raises(ZeroDivisionError), job.logged():
        1 / 0  # noqa: B018
    with open(job.log, encoding="utf-8") as file:
        text = file.read()
    for part in ("'budget': 'eps~0.1'", "failed", "Traceback", "ZeroDivisionError"):
        assert part in text
    assert "done in" not in text


def test_a_job_leaves_nothing_with_the_logging_module(make_job):
    job = make_job({})
    with job.logged() as log:
        assert log.name not in logging.Logger.manager.loggerDict
    assert log.name not in logging.Logger.manager.loggerDict


def test_a_job_s_metadata_is_its_cell_its_settings_and_its_code(make_job):
    metadata = make_job({"eps": 0.1}, dataset="digits").metadata
    assert json.loads(metadata["cell"]) == {"dataset": "digits"}
    assert json.loads(metadata["settings"]) == {"eps": 0.1}
    assert metadata["code"] == "0" * 16
    assert "torch" in json.loads(metadata["versions"])


@pytest.mark.parametrize(
    ("asked", "available", "device"),
    [
        ("auto", False, "cpu"),
        ("auto", True, "cuda"),
        ("cpu", False, "cpu"),
        ("cpu", True, "cpu"),
        ("cuda", True, "cuda"),
    ],
)
def test_auto_is_a_gpu_where_there_is_one(monkeypatch, asked, available, device):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: available)
    assert resolve(asked) == torch.device(device)


def test_cuda_without_a_gpu_is_refused_with_a_remedy(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(RuntimeError, match="no GPU here; set device to auto or cpu"):
        resolve("cuda")
