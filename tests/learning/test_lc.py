import copy
from dataclasses import replace

import pytest
import torch
from torch.nn.functional import cross_entropy
from toy_task import judge_on, toy_batches, trained_toy

from condensa_core.errors import Diverged, Interrupted
from condensa_core.learning import Checkpoint, Settings, compress, compress_directly, finetune
from condensa_core.progress import Advanced, MidStep, Note, Waiting
from condensa_core.randomness import Seed
from condensa_core.schemes import Part, Prune

WEIGHTS = ("conv1.weight", "conv2.weight", "fc.weight")
SHORT = Settings(steps=8, iterations=16, finetune_iterations=32, patience=99)


@pytest.fixture(scope="module")
def toy():
    train, val = toy_batches()
    return trained_toy(train), train, judge_on(val)


def learn(toy, settings=SHORT, **kwargs):
    model, train, judge = toy
    parts = [Part(WEIGHTS, Prune(0.95))]
    return compress(model, parts, train, cross_entropy, judge, settings, seed=Seed(3), **kwargs)


def nonzeros(model) -> int:
    return sum(int((dict(model.named_parameters())[n] != 0).sum()) for n in WEIGHTS)


def test_the_result_is_compressed_and_much_better_than_direct_compression(toy):
    model, train, judge = toy
    before = {n: t.clone() for n, t in model.state_dict().items()}
    total = sum(dict(model.named_parameters())[n].numel() for n in WEIGHTS)

    result = learn(toy)

    assert nonzeros(result.model) == round(total * 0.05)
    assert result.best_step > 0
    assert result.direct.value == compress_directly(model, [Part(WEIGHTS, Prune(0.95))], train, judge).score.value
    assert result.score.value > result.direct.value + 0.1
    assert result.score == judge(result.model)  # what is returned is what was judged
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, before[name])  # the user's model is untouched
    for name, value in result.codes[0].decode().items():
        assert torch.equal(dict(result.model.named_parameters())[name], value)


def test_the_gap_closes_and_a_settled_loop_stops_early(toy):
    patient = replace(SHORT, steps=30, patience=2, tolerance=0.2)

    result = learn(toy, patient)

    assert result.converged and len(result.history) < 31
    assert result.history[-1]["distance"] < 0.2 < result.history[1]["distance"]
    assert result.history[-1]["settled"] and result.history[-2]["settled"]


def test_the_same_seed_gives_the_same_weights(toy):
    first, second = (learn(toy, replace(SHORT, steps=2)).model.state_dict() for _ in range(2))

    assert all(torch.equal(first[n], second[n]) for n in first)


def test_a_run_starts_where_it_is_told_to(toy):
    settings = replace(SHORT, steps=2)
    cold = learn(toy, settings)

    same = learn(toy, settings, start_from=toy[0].state_dict())
    further = learn(toy, settings, start_from=cold.live)

    assert same.history == cold.history
    assert further.history[0]["distance"] == pytest.approx(cold.history[-1]["distance"], rel=0.5)
    assert further.history[0]["distance"] < 0.7 * cold.history[0]["distance"]  # it starts near its compressed form


@pytest.mark.parametrize("stop_at", range(4))
def test_an_interrupted_run_resumes_to_the_same_result(toy, tmp_path, stop_at):
    settings = replace(SHORT, steps=4)
    whole = learn(toy, settings)

    def interrupt(event):
        if isinstance(event, Advanced) and event.done == stop_at:
            raise Interrupted("stop")

    with pytest.raises(Interrupted):
        learn(toy, settings, checkpoint=Checkpoint(tmp_path / "lc.safetensors"), listener=interrupt)
    resumed = learn(toy, settings, checkpoint=Checkpoint(tmp_path / "lc.safetensors"))

    assert resumed.history == whole.history
    assert resumed.best_step == whole.best_step
    state = resumed.model.state_dict()
    assert all(torch.equal(t, state[n]) for n, t in whole.model.state_dict().items())


def test_stopped_in_the_middle_of_an_l_step_a_run_resumes_to_the_same_result(toy, tmp_path):
    settings = replace(SHORT, steps=2)
    whole, steps = learn(toy, settings), []

    def interrupt(event):
        if isinstance(event, MidStep):
            steps.append(event)
            if len(steps) == settings.iterations_of(1) + 2:
                raise Interrupted("stop")

    with pytest.raises(Interrupted):
        learn(toy, settings, checkpoint=Checkpoint(tmp_path / "lc.safetensors"), listener=interrupt)
    resumed = learn(toy, settings, checkpoint=Checkpoint(tmp_path / "lc.safetensors"))

    assert resumed.history == whole.history
    state = resumed.model.state_dict()
    assert all(torch.equal(t, state[n]) for n, t in whole.model.state_dict().items())


def test_fine_tuning_can_be_stopped_at_every_step(toy):
    model, train, judge = toy
    heard = []

    finetune(model, [], train, cross_entropy, judge, SHORT, seed=Seed(1), listener=heard.append)

    assert sum(isinstance(event, Waiting) for event in heard) == SHORT.finetune_iterations > 1


def test_divergence_is_an_error_that_names_the_step(toy):
    with pytest.raises(Diverged, match="L step 1"):
        learn(toy, replace(SHORT, lr=1e6, mu=(1.0, 1.0, None)))


def test_fine_tuning_keeps_zeros_at_zero_and_never_returns_something_worse(toy):
    _, train, judge = toy
    result = learn(toy, replace(SHORT, steps=4))
    masks = {n: dict(result.model.named_parameters())[n] != 0 for n in WEIGHTS}
    freedoms = [code.freedom() for code in result.codes]

    tuned, score = finetune(result.model, freedoms, train, cross_entropy, judge, SHORT, seed=Seed(1))

    assert all(bool((dict(tuned.named_parameters())[n][~m] == 0).all()) for n, m in masks.items())
    assert score.value >= result.score.value
    assert score == judge(tuned)


def test_a_checkpoint_that_was_damaged_costs_time_and_not_the_trial(toy, tmp_path):
    settings = replace(SHORT, steps=2)
    path = tmp_path / "lc.safetensors"
    whole = learn(toy, settings, checkpoint=Checkpoint(path))
    sound = path.read_bytes()
    told = []

    assert Checkpoint(path).load(told.append).step == 2 and not told
    assert Checkpoint(tmp_path / "none").load(told.append) is None and not told
    flips = range(0, len(sound), len(sound) // 40)
    for damaged in [sound[:7], sound[:-1], b"torn", b"\xff" * 64, *(flipped(sound, at) for at in flips)]:
        path.write_bytes(damaged)
        assert Checkpoint(path).load(told.append) is None
        assert str(path) in told.pop() and not told
    path.write_bytes(sound)
    assert Checkpoint(path, "another").load(told.append) is None
    assert told.pop() == f"{path} is of another training" and not told
    newer = sound.replace(b"condensa.lc/6", b"condensa.lc/7")
    path.write_bytes(newer)
    notes = []
    again = learn(toy, settings, checkpoint=Checkpoint(path), listener=notes.append)

    assert newer != sound and again.history == whole.history
    assert [n.level for n in notes if isinstance(n, Note) and "starts over" in n.message] == ["warning"]


def flipped(content: bytes, at: int) -> bytes:
    """With one bit the other way round."""
    return content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]


def test_an_adaptive_optimizer_meets_the_penalty_too(toy):
    result = learn(toy, replace(SHORT, optimizer="adam", lr=2e-3))

    assert result.score.value > result.direct.value + 0.1
    assert result.history[-1]["distance"] < 0.5 * result.history[1]["distance"]


def test_a_frozen_weight_is_compressed_like_any_other(toy):
    model, train, judge = toy
    model = copy.deepcopy(model)
    model.conv2.weight.requires_grad_(False)

    result = learn((model, train, judge), replace(SHORT, steps=2))

    assert result.best_step > 0 and not model.conv2.weight.requires_grad
