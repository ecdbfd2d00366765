"""Programs of torch.export that would run code, import modules or write files, given to what loads them."""

import io
import json
import os
import shutil
import warnings
import zipfile
from pathlib import Path

import pytest
import torch

from condensa_core.code_free import load_program
from condensa_core.code_free.plain_texts import is_arithmetic, is_plain
from condensa_core.errors import UsageError
from condensa_core.export import save_pt2


class Writes:
    """Unpickled with code allowed, it writes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return (Path.write_text, (self.path, "ran"))


def rewritten(source, target, change):
    """A copy of an archive with the members that `change(name, content)` gives."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w") as new:
        for member in old.infolist():
            for name, content in change(member.filename, old.read(member)):
                new.writestr(name, content)
    return target


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    path = tmp_path_factory.mktemp("pt2") / "m.pt2"
    save_pt2(torch.nn.Linear(3, 2), (torch.zeros(2, 3),), path)
    assert load_program(path) is not None
    return path


def test_a_program_with_a_pickle_in_it_is_refused_and_not_run(tmp_path, program):
    buffer = io.BytesIO()
    torch.save(Writes(tmp_path / "ran"), buffer)

    def planted(name, content):
        return [(name, buffer.getvalue() if "sample_inputs" in name else content)]

    with pytest.raises(UsageError, match="no program that torch loads"):
        load_program(rewritten(program, tmp_path / "evil.pt2", planted))
    assert "TORCH_FORCE_WEIGHTS_ONLY_LOAD" not in os.environ
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    "target", ["torch.os.system", "torch.ops.load_library", "torch.hub.load", "_operator.methodcaller"]
)
def test_a_program_that_calls_what_is_no_operator_is_refused(tmp_path, program, target):
    def planted(name, content):
        if name.endswith(".json") and "models/" in name:
            content = content.replace(b"torch.ops.aten.linear.default", target.encode())
            assert target.encode() in content
        return [(name, content)]

    with pytest.raises(UsageError, match="no operator, size or name"):
        load_program(rewritten(program, tmp_path / "evil.pt2", planted))


class Taking(torch.nn.Module):
    """Takes and gives what needs names: a mapping, sizes that agree, parts chosen by the input."""

    def forward(self, x, inside):
        chosen = torch.cond(x.sum() > 0, lambda t: t + 1, lambda t: t - 1, (x,))
        return {"a b": chosen, "c": torch.nn.functional.gelu(inside["i"][0] @ x.mT, approximate="tanh")}


@pytest.fixture(scope="module")
def structured(tmp_path_factory):
    path = tmp_path_factory.mktemp("pt2") / "m.pt2"
    batch = torch.export.Dim("batch", min=2, max=64)
    inputs = (torch.ones(3, 4), {"i": [torch.ones(3, 4)]})
    program = torch.export.export(Taking(), inputs, dynamic_shapes={"x": {0: batch}, "inside": {"i": [{0: batch}]}})
    torch.export.save(program, path)
    return path


def test_a_program_of_nested_inputs_and_branches_is_loaded(structured):
    x, inside = torch.randn(5, 4), {"i": [torch.randn(5, 4)]}

    answer = load_program(structured).module()(x, inside)

    torch.testing.assert_close(answer, Taking()(x, inside))


def in_program(source, target, change):
    """A copy with the JSON of its program as `change(tree)` gives it, which is not as it was."""

    def planted(name, content):
        if "models/" not in name:
            return [(name, content)]
        changed = change(json.loads(content))
        assert changed != json.loads(content)
        return [(name, json.dumps(changed))]

    return rewritten(source, target, planted)


def everywhere(tree, key, change):
    """The tree with `change(value)` for every value under the key."""
    if isinstance(tree, dict):
        return {
            name: change(value) if name == key and value is not None else everywhere(value, key, change)
            for name, value in tree.items()
        }
    return [everywhere(value, key, change) for value in tree] if isinstance(tree, list) else tree


def guard(tree):
    return tree | {"guards_code": ["print()"]}


def guard_behind_an_input(tree):
    return tree | {"guards_code": ["L['x'].size()[0] == [print() for _ in [1]][0]"]}


def name_of_an_input(tree):
    return everywhere(tree, "name", lambda name: "x=print()" if name == "x" else name)


def key_that_ends_a_message(tree):
    return everywhere(tree, "in_spec", lambda spec: spec.replace('\\"i\\"', json.dumps(json.dumps("it's"))[1:-1]))


def enumeration(tree):
    hook = json.dumps({"__enum__": True, "fqn": "evil:A", "name": "A"}).replace("enum", "en\\u0075m")

    def planted(spec):
        structure = json.loads(spec)
        structure[1]["context"] = hook
        return json.dumps(structure)

    return everywhere(tree, "out_spec", planted)


def factory(tree):
    def planted(spec):
        structure = json.loads(spec)
        structure[1]["type"] = "collections.defaultdict"
        structure[1]["context"] = {
            "default_factory_module": "evil",
            "default_factory_name": "A",
            "dict_context": ["a b", "c"],
        }
        return json.dumps(structure).replace("default_factory", "default\\u005ffactory")

    return everywhere(tree, "out_spec", planted)


def file_mapped_for_writing(tree):
    return everywhere(tree, "target", lambda target: target.replace("aten.matmul.default", "aten.from_file.default"))


@pytest.mark.parametrize(
    "change",
    [
        guard,
        guard_behind_an_input,
        name_of_an_input,
        key_that_ends_a_message,
        enumeration,
        factory,
        file_mapped_for_writing,
    ],
)
def test_a_program_that_names_what_torch_would_run_is_refused(tmp_path, structured, change):
    with pytest.raises(UsageError, match="no operator, size or name"):
        load_program(in_program(structured, tmp_path / "evil.pt2", change))


@pytest.mark.parametrize(
    "change",
    [str, lambda model: model.replace("model.json", "MODEL.json"), lambda model: "serialized_exported_program.json"],
    ids=["the same name", "capital letters", "an older format"],
)
def test_a_program_that_readers_may_see_otherwise_is_refused(tmp_path, program, change):
    added = shutil.copy(program, tmp_path / "m.pt2")
    with zipfile.ZipFile(added, "a") as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # zipfile names the double
        (model,) = (found for found in archive.namelist() if "/models/" in found)
        archive.writestr(change(model), "{}")

    with pytest.raises(UsageError, match=r"two members of one name|wrote before"):
        load_program(Path(added))


def test_a_program_with_compiled_code_is_refused(tmp_path, program):
    added = rewritten(
        program, tmp_path / "e.pt2", lambda name, content: [(name, content), (f"{name}.aotinductor.so", b"x")]
    )

    with pytest.raises(UsageError, match="compiled code, which is never run"):
        load_program(added)


def test_an_archive_that_swells_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "bomb.pt2", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("m/models/model.json", b"0" * 200_000_000)

    with pytest.raises(UsageError, match="declares more than it can hold"):
        load_program(tmp_path / "bomb.pt2")


@pytest.mark.parametrize(
    ("text", "sound"),
    [
        ("s77", True),
        ("Symbol('s0', integer=True, positive=True)", True),
        ("2*s0 + Mod(s1, 8)", True),
        ("FloorDiv(s0 - 1, 2) + 1", True),
        ("Add(Integer(-1), Mul(Integer(16), Symbol('s23', positive=True, integer=True)))", True),
        ("Mul(Float('0.5', precision=53), s0)", True),
        ("Float('x', precision=53)", False),
        ("__import__('os').system('true')", False),
        ("S('1')", False),
        ("open('x')", False),
        ("s0.__class__", False),
        ("(1).real", False),
        ("Symbol('s0').func", False),
        ("[x for x in s0]", False),
        ("exec(s0)", False),
    ],
)
def test_an_expression_is_arithmetic_over_sizes(text, sound):
    assert is_arithmetic(text) is sound


def test_plain_targets_are_operators():
    assert is_plain("target", "torch.ops.aten.add.Tensor") and is_plain("target", "_operator.getitem")
    assert is_plain("target", "torch.ops.aten.__and__.Tensor") and is_plain("target", "torch.ops.higher_order.cond")
    for foreign in ("aten.__class__", "image.write_file.default", "higher_order.call_torchbind", "aten.set_.default"):
        assert not is_plain("target", f"torch.ops.{foreign}")
    assert not is_plain("target", "math.__loader__.x")
