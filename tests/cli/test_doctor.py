"""`doctor` tells the truth about this machine and what to do about it."""

import configparser
import json
import platform
import re
from importlib import metadata
from pathlib import Path

import pytest
from condensa_cli import doctor as doctor_module

ROOT = Path(__file__).parents[2]


@pytest.fixture
def installed(monkeypatch):
    """Pretend that these versions are installed, on top of the real ones."""

    def pretend(**versions):
        real = doctor_module.version_of
        pretended = {name.replace("_", "-"): version for name, version in versions.items()}
        monkeypatch.setattr(doctor_module, "version_of", lambda name: pretended.get(name, real(name)))

    return pretend


def findings_of(condensa):
    answer = condensa("doctor", "--json")
    document = json.loads(answer.out)
    assert document["exit_code"] == answer.code
    return answer.code, document


def test_the_document_names_real_versions(condensa):
    _, document = findings_of(condensa)

    texts = {finding["topic"]: finding["text"] for finding in document["findings"]}
    assert document["schema"] == "condensa.doctor/1"
    assert texts["python"].startswith(platform.python_version())
    assert texts["torch"] == metadata.version("torch")
    assert {"cpu", "disk", "gpu", "digits", "fashion-mnist", "images"} <= set(texts)


def test_two_builds_of_onnxruntime_are_an_error_with_a_remedy(condensa, installed):
    installed(onnxruntime="1.31.1", onnxruntime_gpu="1.31.1")

    code, document = findings_of(condensa)

    (finding,) = [finding for finding in document["findings"] if finding["topic"] == "onnxruntime"]
    assert (code, document["status"], finding["level"]) == (3, "error", "error")
    assert "both installed" in finding["text"]
    assert finding["remedy"].startswith("pip uninstall -y onnxruntime onnxruntime-gpu")


def test_a_missing_default_runtime_exits_3(condensa, installed, monkeypatch):
    installed(onnxruntime=None, onnxruntime_gpu=None)
    real = doctor_module.find_spec
    monkeypatch.setattr(doctor_module, "find_spec", lambda name: None if name == "onnxruntime" else real(name))

    code, document = findings_of(condensa)

    assert code == 3
    assert document["reasons"] == ["not installed: nothing can be timed"]


def test_a_missing_extra_is_no_error_and_says_how_to_install_it(condensa, installed):
    installed(pillow=None)

    answer = condensa("doctor")

    assert "pip install '.[images]'" in answer.out


def test_every_extra_is_one_of_the_distribution_that_this_version_imports():
    parser = configparser.ConfigParser()
    parser.read(ROOT / "setup.cfg", encoding="utf-8")
    declared = {
        extra: requirements.split()[0].split(">")[0]
        for extra, requirements in parser["options.extras_require"].items()
        if extra != "dev"
    }
    source = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "condensa_core").rglob("*.py"))
    module = {"onnxruntime-gpu": "onnxruntime", "pillow": "PIL", "tensorrt-rtx-cu12": "tensorrt_rtx"}
    used = {
        extra: distribution
        for extra, distribution in declared.items()
        if re.search(rf"\b(import |import_module\(.){module.get(distribution, distribution)}\b", source)
    }

    assert {extra: distribution for extra, (distribution, _) in doctor_module.EXTRAS.items()} == used


def test_a_full_disk_is_a_warning(condensa, monkeypatch):
    usage = type("Usage", (), {"free": 1000})()
    monkeypatch.setattr(doctor_module.shutil, "disk_usage", lambda _folder: usage)

    _, document = findings_of(condensa)

    (finding,) = [finding for finding in document["findings"] if finding["topic"] == "disk"]
    assert finding["level"] == "warning"


def test_the_data_folder_is_the_one_the_data_set_reads():
    from condensa_core.workload.datasets.fashion_mnist import DEBIAN_FOLDER

    assert doctor_module.FASHION_MNIST_FOLDER == DEBIAN_FOLDER


def test_inductor_needs_a_compiler(condensa, monkeypatch):
    monkeypatch.setenv("CXX", "no-such-compiler")

    _, document = findings_of(condensa)

    (finding,) = [finding for finding in document["findings"] if finding["topic"] == "torch-inductor"]
    assert (finding["level"], finding["remedy"]) == ("info", "apt-get install g++, or set CXX")
