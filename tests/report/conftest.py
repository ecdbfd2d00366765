"""An outcome like that of a real run."""

import pytest

from condensa_core.report import (
    Artifact,
    BestResult,
    ConstraintResult,
    DirectResult,
    Figure,
    GateResult,
    LayerChange,
    ObjectiveResult,
    Outcome,
    RatioInterval,
    ReferenceResult,
    TrainingCost,
    TrialResult,
)


@pytest.fixture
def outcome() -> Outcome:
    """A run on digits that met its constraint and one of two gates."""
    return Outcome(
        status="gate-failed",
        name="digits-filters",
        reasons=("gate throughput at_least 3x: 2.31x",),
        run_dir="runs/digits-filters/20260102T030405Z-abc123",
        seed=7,
        reference=ReferenceResult(
            metrics={
                "val": {"top1": Figure(0.9875, 0.0066, 280), "loss": Figure(0.0412, 0.01, 280)},
                "test": {"top1": Figure(0.975, 0.0082, 360)},
            },
            objective=1105.2,
            bytes=6 * 1024 * 1024,
            macs=123_456_789,
            parameters=61_200_000,
        ),
        best=BestResult(
            trial=4,
            knobs={"sparsity": 0.7125},
            metrics={
                "val": {"top1": Figure(0.9714, 0.0099, 280), "loss": Figure(0.06, 0.02, 280)},
                "test": {"top1": Figure(0.9694, 0.0091, 360)},
            },
            agreement={"val": Figure(0.9857, 0.007, 280)},
            objective=2553.0,
            ratio=RatioInterval(2.31, 2.25, 2.38),
            bytes=1_048_576,
            macs=20_000_000,
            parameters=5_100_000,
            layers=(LayerChange("conv1", 32, 8, 320, 80),),
        ),
        direct=DirectResult({"val": {"top1": Figure(0.4, 0.03, 280)}}),
        constraint=ConstraintResult("top1 max_drop 2pp", "top1", 0.9675, 0.9714, True),
        objective=ObjectiveResult("maximize throughput", "throughput", "maximize", "cpu", "1/s"),
        gates=(
            GateResult("size at_most 2MiB", 1_048_576, 2_097_152, True, "bytes"),
            GateResult("throughput at_least 3x", 2.31, 3.0, False, "x"),
        ),
        trials=(
            TrialResult(
                0, {"sparsity": 0.5}, "ok", 0.98, 0.008, 1800.0, 1.63, True, 0.97, "", TrainingCost(2, 1, 3.0, 0.5)
            ),
        ),
        trainings_used=5,
        training_cost=TrainingCost(9_600, 100, 61.0, 2.4),
        artifacts=(Artifact("best/model.onnx", 1_048_576, "ab" * 32),),
    )
