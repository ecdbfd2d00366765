"""What is compressed and how it is judged: models, data, metrics, and the trained reference."""

from condensa_core.workload.batches import Batches, Standardise, TensorBatches
from condensa_core.workload.datasets import DATASETS
from condensa_core.workload.digest import content_digest
from condensa_core.workload.evaluation import Evaluation, agreement, device_of, difference_stderr, evaluate
from condensa_core.workload.global_state import drawing_from
from condensa_core.workload.metrics import LOSS, METRICS, PERPLEXITY, TOP1, TOP5, Metric, Score
from condensa_core.workload.models import build_model, check_fit, example_inputs
from condensa_core.workload.overlap import Overlap, overlaps
from condensa_core.workload.python_reference import call_object, load_object
from condensa_core.workload.python_sources import package_of, sources_of
from condensa_core.workload.reference_model import Reference, cached_at, reference
from condensa_core.workload.splits import SampleShape, Splits, known_shape, load_splits
from condensa_core.workload.tasks import TASKS, Task, check_task, metrics_named, task_loss, task_named
from condensa_core.workload.training import EpochRecord, TrainingPlan, train_reference, training_plan
from condensa_core.workload.watch import seen_running, watching
from condensa_core.workload.weights import load_weights, read_state
from condensa_core.workload.windows import WindowBatches
from condensa_core.workload.zoo import LANGUAGE_MODELS, ZOO, zoo_model

__all__ = [
    "DATASETS",
    "LANGUAGE_MODELS",
    "LOSS",
    "METRICS",
    "PERPLEXITY",
    "TASKS",
    "TOP1",
    "TOP5",
    "ZOO",
    "Batches",
    "EpochRecord",
    "Evaluation",
    "Metric",
    "Overlap",
    "Reference",
    "SampleShape",
    "Score",
    "Splits",
    "Standardise",
    "Task",
    "TensorBatches",
    "TrainingPlan",
    "WindowBatches",
    "agreement",
    "build_model",
    "cached_at",
    "call_object",
    "check_fit",
    "check_task",
    "content_digest",
    "device_of",
    "difference_stderr",
    "drawing_from",
    "evaluate",
    "example_inputs",
    "known_shape",
    "load_object",
    "load_splits",
    "load_weights",
    "metrics_named",
    "overlaps",
    "package_of",
    "read_state",
    "reference",
    "seen_running",
    "sources_of",
    "task_loss",
    "task_named",
    "train_reference",
    "training_plan",
    "watching",
    "zoo_model",
]
