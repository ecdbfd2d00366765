"""`doctor` tells the truth about this machine and what to do about it."""

import configparser
import json
import platform
import re
from importlib import metadata
from pathlib import Path

import pytest
from condensa_cli import doctor as doctor_module

from condensa_core.platforms import FEATURES, Gpu, Processor

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


def test_every_runtime_has_a_line_and_says_what_it_needs(condensa, monkeypatch):
    needs = [{"what": "a GPU", "remedy": ""}, {"what": "tensorrt", "remedy": "pip install tensorrt"}]
    told = [
        {"runtime": "torch", "device": "cpu", "ready": True, "needs": []},
        {"runtime": "tensorrt", "device": "cuda", "ready": False, "needs": needs},
    ]
    monkeypatch.setattr(doctor_module, "_runtimes", lambda: told)

    lines = [line.strip() for line in condensa("doctor").out.splitlines()]

    assert re.sub(r" +", " ", "\n".join(lines[-2:])) == (
        "torch on cpu ready\ntensorrt on cuda a GPU; tensorrt (pip install tensorrt)"
    )
    assert findings_of(condensa)[1]["runtimes"] == told


def test_the_real_runtimes_are_asked(condensa):
    _, document = findings_of(condensa)

    ready = {(r["runtime"], r["device"]): r["ready"] for r in document["runtimes"]}
    assert ready["onnxruntime", "cpu"] and ready["torch", "cpu"] and ("tensorrt-rtx", "cuda") in ready


@pytest.fixture
def hardware(monkeypatch):
    """Pretend a processor with these flags and GPUs of these compute capabilities."""

    def pretend(flags, *capabilities, driver=None):
        monkeypatch.setattr(doctor_module, "processor", lambda: Processor("Some CPU", flags))
        monkeypatch.setattr(doctor_module, "nvidia_gpus", lambda: tuple(Gpu(f"Card {c}", c) for c in capabilities))
        monkeypatch.setattr(doctor_module, "driver_version", lambda: driver)

    return pretend


def test_features_of_the_processor_have_the_names_of_recipes(condensa, hardware):
    hardware(frozenset({"avx2", "avx_vnni"}))

    _, document = findings_of(condensa)

    texts = {finding["topic"]: (finding["level"], finding["text"]) for finding in document["findings"]}
    of_processors = [name for name, feature in FEATURES.items() if feature.flags]
    assert document["cpu"]["flags"] == ["avx2", "avx_vnni"] and list(document["cpu"]["features"]) == of_processors
    assert {name for name, there in document["cpu"]["features"].items() if there} == {"avx2", "int8-dot"}
    assert texts["cpu int8-dot"] == ("ok", "8-bit products summed in one instruction, for layers in int8 (avx_vnni)")
    assert texts["cpu fp16"] == ("info", "not there: arithmetic in float16")
    assert texts["cpu"][1].endswith("x Some CPU")


def test_a_system_that_tells_no_flags_is_not_said_to_lack_features(condensa, hardware):
    hardware(None)

    _, document = findings_of(condensa)

    (cpu,) = [finding for finding in document["findings"] if finding["topic"] == "cpu"]
    assert "does not tell its features" in cpu["text"]
    assert document["cpu"]["flags"] is None and document["cpu"]["features"] is None


def test_gpus_are_told_with_capability_driver_and_features(condensa, hardware):
    hardware(frozenset(), 80, 90, driver="550.54.15")

    _, document = findings_of(condensa)

    gpus = [finding["text"] for finding in document["findings"] if finding["topic"] == "gpu"]
    assert gpus == [
        "Card 80, sm80, driver 550.54.15: int8-dot, fp16, bf16, sparse-2:4, cuda",
        "Card 90, sm90, driver 550.54.15: int8-dot, fp16, bf16, fp8, sparse-2:4, cuda",
    ]
    assert document["driver"] == "550.54.15"
    assert [gpu["compute_capability"] for gpu in document["gpus"]] == ["sm80", "sm90"]
    assert [gpu["features"]["fp8"] for gpu in document["gpus"]] == [False, True]


def test_a_driver_without_a_gpu_is_a_warning(condensa, hardware):
    hardware(frozenset(), driver="550.54.15")

    _, document = findings_of(condensa)

    (gpu,) = [finding for finding in document["findings"] if finding["topic"] == "gpu"]
    assert (gpu["level"], gpu["remedy"]) == ("warning", "look at: nvidia-smi")
