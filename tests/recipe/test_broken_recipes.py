"""Every mistake a recipe's author can make, with the place, sentence and advice it deserves."""

import pytest

from condensa_core.recipe import check_recipe

SOUND = """\
condensa: 1
name: digits
seed: 1

vars:
  low: 0.1
knobs:
  early: {range: [0.0, 0.7]}

model: {builtin: small-cnn}
data: {builtin: digits}

targets:
  box: {batch: 64}

keep: [conv1]

layers:
  - match: [layer1.**]
    type: Conv2d
    scheme: {filter: {sparsity: $early, criterion: l2, align: 8}}

constraint: {metric: top1, max_drop: 2%}
objective: {maximize: throughput, on: box}

search: {method: level-set, trials: 8, timeout: 12h}

gates:
  - {metric: throughput, at_least: 1.5x}
  - {metric: loss, at_most: $low}
"""

INT8 = "{quantize: {dtype: int8, granularity: channel, activations: int8}}"

# name -> edits of SOUND (old, new), then what must be said: 'line:column CODE message' and lines of help ('= ...').
BROKEN = {
    "version": (
        [("condensa: 1", "condensa: 2")],
        "1:11 E011 recipe format 2 is not known; this condensa reads format 1 = write condensa: 1",
    ),
    "version as text": (
        [("condensa: 1", 'condensa: "1"')],
        "1:11 E011 recipe format 1 is not known; this condensa reads format 1 = write condensa: 1",
    ),
    "no version": (
        [("condensa: 1\n", "")],
        "1:1 E010 missing 'condensa: 1' (the recipe format version) = write 'condensa: 1' on the first line",
    ),
    "misspelt section": (
        [("objective:", "objektive:")],
        "24:1 E101 unknown key 'objektive' in the recipe = did you mean 'objective'?",
    ),
    "missing section": (
        [("objective: {maximize: throughput, on: box}\n", "")],
        "1:1 E102 missing required section 'objective'",
    ),
    "misspelt knob": (
        [("$early", "$erly")],
        "21:33 E301 '$erly' is not a knob or a var = did you mean 'early'?",
    ),
    "unknown scheme": (
        [("filter:", "fliter:")],
        "21:14 E220 unknown scheme 'fliter' = did you mean 'filter'?",
    ),
    "percent as sparsity": (
        [("$early", "70")],
        "8:3 W301 knob 'early' is never used, so the search would vary nothing with it",
        "21:33 E222 sparsity 70 is outside [0, 1) = write 0.7 for 70%",
    ),
    "percent sign on a sparsity": (
        [("$early", "$(early)"), ("align: 8", "align: 8, sparsty: 70%")],
        "21:68 E221 unknown key 'sparsty' in scheme 'filter' = did you mean 'sparsity'?",
    ),
    "sparsity in percent": (
        [("sparsity: $early", "sparsity: 70%"), ("knobs:\n  early: {range: [0.0, 0.7]}\n", "")],
        "19:33 E103 'sparsity' must be a number or a knob, not the text '70%' = write 0.7 for 70%",
    ),
    "density": (
        [("sparsity: $early", "density: 0.3")],
        "8:3 W301 knob 'early' is never used, so the search would vary nothing with it",
        "21:23 E221 unknown key 'density' in scheme 'filter'"
        " = write the fraction removed instead: sparsity = 1 - density",
    ),
    "no unit": (
        [("max_drop: 2%", "max_drop: 2")],
        "23:38 E402 max_drop '2' has no unit = '2pp' is 2 percentage points below the reference,"
        " '2%' is 2 percent of the reference",
    ),
    "unknown unit": (
        [("max_drop: 2%", "max_drop: 2PP")],
        "23:38 E405 unit 'PP' is not known = did you mean '2pp'?",
    ),
    "undeclared target": (
        [("on: box", "on: bax")],
        "24:39 E240 target 'bax' is not declared = did you mean 'box'?",
    ),
    "wrong direction": (
        [("maximize:", "minimize:")],
        "24:13 E412 'minimize throughput' makes the model worse = write maximize: throughput",
    ),
    "star": (
        [("[layer1.**]", "*.conv1")],
        "19:12 E001 not valid YAML: expected alphabetic or numeric character, but found '.'"
        " = a value that starts with '*' must be quoted: \"*.conv1\"",
    ),
    "alias": (
        [("[layer1.**]", "*conv")],
        "19:12 E005 YAML alias '*conv' is not allowed = a value that starts with '*' must be quoted: \"*conv\"",
    ),
    "anchor": (
        [("[0.0, 0.7]", "&r [0.0, 0.7]")],
        "8:18 E005 YAML anchor '&r' is not allowed"
        " = write the value out, or give it a name under 'vars' and use it as $NAME",
    ),
    "duplicate key": (
        [("keep: [conv1]", "seed: 2")],
        "16:1 E003 key 'seed' is given twice; YAML would silently keep one of them = it stands first on line 3",
    ),
    "criterion": (
        [("criterion: l2", "criterion: l22")],
        "21:52 E223 unknown criterion 'l22' = did you mean 'l2'?",
    ),
    "criterion to come": (
        [("criterion: l2", "criterion: synflow")],
        "21:52 E110 criterion 'synflow' is not available in this version = available: l2, l1, max, mean",
    ),
    "regular expression": (
        [("[layer1.**]", '["re:layer1.(conv"]')],
        "19:24 E202 bad regular expression: missing ), unterminated subpattern",
    ),
    "regular expression without quotes": (
        [("[layer1.**]", "re:layer1.(conv")],
        "19:22 E202 bad regular expression: missing ), unterminated subpattern",
    ),
    "metric": (
        [("metric: top1", "metric: top-1")],
        "23:22 E401 metric 'top-1' is not known = did you mean 'top1'?",
    ),
    "direction of a bound": (
        [("metric: top1", "metric: loss")],
        "23:28 E403 'loss' is better when lower, so limit its rise = write max_rise",
    ),
    "floor of a cost": (
        [("metric: throughput, at_least: 1.5x", "metric: latency.p99, at_least: 5ms")],
        "29:27 E403 'latency.p99' is better when lower, so limit it from above = write at_most",
    ),
    "pattern": (
        [("filter: {sparsity: $early, criterion: l2, align: 8}", "prune: {sparsity: $early, pattern: unstructurd}")],
        "21:49 E225 pattern 'unstructurd' is neither N:M nor declared under 'patterns' = did you mean 'unstructured'?",
    ),
    "pattern as a number": (
        [("filter: {sparsity: $early, criterion: l2, align: 8}", "prune: {sparsity: $early, pattern: 124}")],
        "21:49 E224 pattern 124 is a number = write N:M, such as 2:4",
    ),
    "pattern with a sparsity": (
        [("filter: {sparsity: $early, criterion: l2, align: 8}", "prune: {sparsity: $early, pattern: 2:4}")],
        "21:22 E109 pattern 2:4 says how many weights stay, so it takes no 'sparsity'",
    ),
    "pattern the wrong way round": (
        [("filter: {sparsity: $early, criterion: l2, align: 8}", "prune: {pattern: 4:2}")],
        "8:3 W301 knob 'early' is never used, so the search would vary nothing with it",
        "21:31 E224 pattern 4:2 keeps 4 of each 2 weights = write 2:4, the smaller number first",
    ),
    "penalty without a price": (
        [("filter: {sparsity: $early, criterion: l2, align: 8}", "prune: {form: penalty, sparsity: $early}")],
        "21:37 E109 the l0 penalty takes alpha, not 'sparsity'",
    ),
    "a price without mu": (
        [
            ("filter: {sparsity: $early, criterion: l2, align: 8}", "lowrank: {select: storage, alpha: 1e-6}"),
            ("knobs:\n  early: {range: [0.0, 0.7]}\n", ""),
            ("constraint:", "compress: {method: direct}\nconstraint:"),
        ],
        "19:48 E109 'alpha' is weighed against mu, which method direct does not have"
        " = use a constraint, or compress: {method: lc}",
        "25:1 W302 no knob is used: one run, no search = write search: {method: none}",
    ),
    "two ways to choose a rank": (
        [("filter: {sparsity: $early, criterion: l2, align: 8}", "lowrank: {rank: 4, energy: $early}")],
        "21:23 E109 lowrank takes exactly one of 'rank', 'energy' and 'select'; found 'rank' and 'energy'",
    ),
    "a rank of zero": (
        [("filter: {sparsity: $early, criterion: l2, align: 8}", "lowrank: {rank: $early}")],
        "21:30 E312 knob 'early' can be 0, but here rank 0 is below 1",
    ),
    "a book of no entries": (
        [("{filter: {sparsity: $early, criterion: l2, align: 8}}", "[prune: {sparsity: $early}, codebook: {size: 0}]")],
        "21:58 E222 size 0 is below 1",
    ),
    "channels in a sum": (
        [("{filter: {sparsity: $early, criterion: l2, align: 8}}", "{sum: [filter: {}, codebook: {size: $early}]}")],
        "21:20 E231 'filter' cannot be a summand = what it removes, another would put back",
    ),
    "group without its size": (
        [("filter: {sparsity: $early, criterion: l2, align: 8}", "quantize: {dtype: int4, granularity: group}")],
        "8:3 W301 knob 'early' is never used, so the search would vary nothing with it",
        "21:24 E109 'group' is the number of weights that share a scale under 'granularity: group'",
    ),
    "several targets": (
        [("  box: {batch: 64}", "  box: {batch: 64}\n  pi: {}"), (", on: box", "")],
        "25:23 E413 'throughput' is measured on hardware: say where with 'on: <target>' = targets: box, pi",
        "30:5 E413 'throughput' is measured on hardware: say where with 'on: <target>' = targets: box, pi",
    ),
    "tag": (
        [("{filter: {sparsity: $early, criterion: l2, align: 8}}", "!Filter {sparsity: $early}")],
        "8:3 W301 knob 'early' is never used, so the search would vary nothing with it",
        "21:13 E002 YAML tag '!Filter' is not allowed"
        " = recipes are plain data; name Python code with 'python: file.py:object'",
    ),
    "python tag": (
        [("seed: 1", "seed: !!python/object/apply:os.getcwd []")],
        "3:7 E002 YAML tag '!!python/object/apply:os.getcwd' is not allowed"
        " = recipes are plain data; name Python code with 'python: file.py:object'",
    ),
    "order": (
        [
            (
                "{filter: {sparsity: $early, criterion: l2, align: 8}}",
                "\n      - quantize: {dtype: fp16}\n      - prune: {sparsity: $early}",
            )
        ],
        "22:9 E230 quantize must come last in a composed scheme: prune after it would undo the grid"
        " = to add them up write sum: [quantize, prune]",
    ),
    "channels after weights": (
        [("{filter: {sparsity: $early, criterion: l2, align: 8}}", "[prune: {sparsity: $early}, filter: {}]")],
        "21:41 E230 'filter' must come before 'prune': it removes what 'prune' would have chosen from",
    ),
    "test is val": (
        [("{builtin: digits}", "{train: {python: d:a}, val: {python: d:b}, test: {python: d:b}}")],
        "11:50 W303 data.test and data.val read the same source; the test result will not be independent",
    ),
    "pair": (
        [("{filter: {sparsity: $early, criterion: l2, align: 8}}", "[filter: {sparsity: $early}, neuron: {}]")],
        "21:42 E231 'filter' and 'neuron' cannot be combined on the same weights"
        " = 'structure' is filters and neurons together",
    ),
    "scheme of two keys": (
        [("{filter: {sparsity: $early, criterion: l2, align: 8}}", "{filter: {sparsity: $early}, quantize: {}}")],
        "21:13 E206 a scheme is one key with its settings, such as 'filter: {sparsity: 0.5}', not 2 keys"
        " = to apply several to the same weights, write a list",
    ),
    "scheme as a word": (
        [("{filter: {sparsity: $early, criterion: l2, align: 8}}", "filter"), ("  early: {range: [0.0, 0.7]}\n", "")],
        "7:1 E103 'knobs' must be a mapping of keys, not nothing",
        "20:13 E206 a scheme is one key with its settings, such as 'filter: {sparsity: 0.5}', not the text 'filter'",
    ),
    "many": (
        [("criterion: l2", "criterion: l22"), ("2%", "2"), ("on: box", "on: bx"), ("trials: 8", "trials: 24 runs")],
        "21:52 E223 unknown criterion 'l22' = did you mean 'l2'?",
        "23:38 E402 max_drop '2' has no unit = '2pp' is 2 percentage points below the reference,"
        " '2%' is 2 percent of the reference",
        "24:39 E240 target 'bx' is not declared = did you mean 'box'?",
        "26:37 E103 'trials' must be a whole number, not the text '24 runs'",
    ),
    "merge conflict": (
        [("seed: 1\n", "<<<<<<< HEAD\nseed: 1\n=======\nseed: 2\n>>>>>>> other\n")],
        "3:1 E004 this file has unresolved merge conflicts"
        " = keep one side, and delete the lines that start with <<<<<<<, ======= and >>>>>>>",
    ),
    "no match": (
        [("  - match: [layer1.**]\n    type: Conv2d\n", "  - type: Conv2d\n")],
        "19:5 E201 layers[0] has no 'match'",
    ),
    "no scheme": (
        [("    scheme: {filter: {sparsity: $early, criterion: l2, align: 8}}\n", "")],
        "8:3 W301 knob 'early' is never used, so the search would vary nothing with it",
        "19:5 E205 layers[0] has no 'scheme'",
    ),
    "expression": (
        [("$early", "$(early *)")],
        "21:33 E302 '$(early *)' is not a valid expression = not arithmetic",
    ),
    "call in an expression": (
        [("$early", "$(exit(early))")],
        "21:33 E302 '$(exit(early))' is not a valid expression"
        " = only numbers, names, + - * / and ( ) may stand in $( )",
    ),
    "knob without a range": (
        [("{range: [0.0, 0.7]}", "{step: 0.1}")],
        "8:10 E310 knob 'early' needs 'range: [low, high]' or 'choices: [..]'",
    ),
    "empty range": (
        [("[0.0, 0.7]", "[0.7, 0.0]")],
        "8:18 E311 knob 'early' has an empty range [0.7, 0]",
    ),
    "range of one": (
        [("[0.0, 0.7]", "[0.0]")],
        "8:18 E103 'range' must have 2 values, not 1",
    ),
    "range of three": (
        [("[0.0, 0.7]", "[0.0, 0.1, 0.7]")],
        "8:18 E103 'range' must have 2 values, not 3",
    ),
    "knob beyond the setting": (
        [("[0.0, 0.7]", "[0.0, 1.0]")],
        "21:33 E312 knob 'early' can be 1, but here sparsity 1 is outside [0, 1)",
    ),
    "expression beyond the setting": (
        [("$early", "$(early - $low)".replace("$low", "low"))],
        "21:33 E312 knob 'early' can be 0, but here sparsity -0.1 is outside [0, 1)",
    ),
    "no objective": (
        [("{maximize: throughput, on: box}", "{on: box}")],
        "24:12 E410 an objective needs exactly one of 'maximize' and 'minimize'",
    ),
    "unknown objective": (
        [("maximize: throughput", "maximize: thoughput")],
        "24:23 E411 objective 'thoughput' is not known = did you mean 'throughput'?",
    ),
    "objective to come": (
        [("maximize: throughput", "minimize: size.engine")],
        "24:23 E110 objective 'size.engine' is not available in this version"
        " = available: throughput, latency.p50, latency.p90, latency.p99, latency.mean, macs, params, size.onnx,"
        " size.packed",
    ),
    "scheme to come": (
        [("{filter: {sparsity: $early, criterion: l2, align: 8}}", "{hash: {size: $early}}")],
        "21:14 E110 scheme 'hash' is not available in this version"
        " = available: filter, neuron, structure, lowrank, prune, block, quantize, codebook, binary, ternary, sum",
    ),
    "section to come": (
        [("keep: [conv1]", "extends: other.yaml")],
        "16:1 E110 key 'extends' is not available in this version = available: condensa, name, description, seed, vars,"
        " knobs, patterns, model, task, data, reference, metrics, targets, keep, layers, compress, constraint,"
        " objective, search, gates, output",
    ),
    "unknown backend": (
        [("{batch: 64}", "{backend: tensort}")],
        "14:18 E107 unknown backend 'tensort' = did you mean 'tensorrt'?",
    ),
    "a runtime on a device that it does not have": (
        [("{batch: 64}", "{backend: openvino, device: cuda}")],
        "14:36 E109 backend 'openvino' does not compute on the cuda"
        " = write device: cpu, or one of: onnxruntime, onnxruntime-tensorrt, tensorrt, tensorrt-rtx, torch,"
        " torch-inductor",
    ),
    "TensorRT on the processor": (
        [("{batch: 64}", "{backend: tensorrt, device: cpu}")],
        "14:36 E109 backend 'tensorrt' does not compute on the cpu"
        " = write device: cuda, or one of: onnxruntime, openvino, torch, torch-inductor",
    ),
    "integers of a program": (
        [
            ("{batch: 64}", "{backend: torch}"),
            ("scheme: {filter: {sparsity: $early, criterion: l2, align: 8}}", f"scheme: {INT8}"),
            ("knobs:\n  early: {range: [0.0, 0.7]}\n", ""),
        ],
        "12:18 E109 'torch' times the model in floating point, and 'activations' make integers of it"
        " = time it on onnxruntime, or leave 'activations' out",
        "24:1 W302 no knob is used: one run, no search = write search: {method: none}",
    ),
    "integers of another runtime": (
        [
            ("  box: {batch: 64}", "  box: {batch: 64}\n  gpu: {backend: tensorrt}"),
            ("scheme: {filter: {sparsity: $early, criterion: l2, align: 8}}", f"scheme: {INT8}"),
            ("knobs:\n  early: {range: [0.0, 0.7]}\n", ""),
            ("{metric: throughput, at_least: 1.5x}", "{metric: throughput, on: gpu, at_least: 1.5x}"),
        ],
        "13:18 E109 'tensorrt' takes other integers than 'onnxruntime', which the file is written for"
        " = write objective: {..., on: gpu}",
        "25:1 W302 no knob is used: one run, no search = write search: {method: none}",
    ),
    "no architecture": (
        [("{batch: 64}", "{backend: tensorrt-rtx, arch: [sm89, ada]}")],
        "14:45 E103 a compute capability is written as sm89, not the text 'ada'",
    ),
    "an architecture of a runtime without engines": (
        [("{batch: 64}", "{arch: sm89}")],
        "14:9 E101 'arch' is what an engine of TensorRT is built for, and backend 'onnxruntime' has none"
        " = engines are of: tensorrt, tensorrt-rtx",
    ),
    "an architecture and no engine": (
        [("{batch: 64}", "{backend: tensorrt, arch: sm89}")],
        "14:28 W307 no engine is built, so 'arch' changes nothing = write output: {export: [onnx, engine]}",
    ),
    "an engine of nothing": (
        [("condensa: 1", "condensa: 1\noutput: {export: [onnx, engine]}")],
        "2:18 E102 an engine is built for a target of TensorRT, and there is none"
        " = declare one: targets: {rtx: {backend: tensorrt-rtx, arch: sm89}}",
    ),
    "two engines": (
        [
            ("condensa: 1", "condensa: 1\noutput: {export: [onnx, engine]}"),
            ("  box: {batch: 64}", "  box: {backend: tensorrt}\n  pi: {backend: tensorrt-rtx}"),
            ("at_least: 1.5x}", "on: pi, at_least: 1.5x}"),
        ],
        "2:18 E413 one engine ships: say of which target with its 'arch'"
        " = targets of TensorRT: box, pi; one may have arch: [sm86, sm89]",
    ),
    "a bound on an engine that is not built": (
        [("{metric: throughput, at_least: 1.5x}", "{metric: size.engine, at_most: 1MiB}")],
        "29:14 E102 'size.engine' is of the engine, and none is built = write output: {export: [onnx, engine]}",
    ),
    "a bound on an engine on a target": (
        [
            ("condensa: 1", "condensa: 1\noutput: {export: [onnx, engine]}"),
            ("{batch: 64}", "{backend: tensorrt-rtx}"),
            ("{metric: throughput, at_least: 1.5x}", "{metric: memory.weights, on: box, at_most: 1MiB}"),
        ],
        "30:30 E101 'memory.weights' is of the one engine that ships, so it is on no target",
    ),
    "the objective's target may be missing": (
        [("{batch: 64}", "{backend: tensorrt, if_missing: skip}")],
        "14:40 E109 without 'box' nothing would measure the objective 'throughput'"
        " = write if_missing: error, or count: minimize: macs",
    ),
    "two knobs and a method for one": (
        [
            ("  early: {range: [0.0, 0.7]}", "  early: {range: [0.0, 0.7]}\n  late: {range: [0.0, 0.9]}"),
            (
                "criterion: l2, align: 8}}",
                "criterion: l2, align: 8}}\n  - match: layer2\n    scheme: {filter: {sparsity: $late}}",
            ),
            ("level-set, trials", "bisection, trials"),
        ],
        "29:18 E307 search method 'bisection' walks one knob, and this recipe has 2: early, late"
        " = methods for several: level-set, ils-ucb, straddle, ei, pi, ucb, grid, random, sobol, pareto, scbo, log-nei",
    ),
    "one knob and a method for several": (
        [("level-set, trials", "pareto, trials")],
        "26:18 E307 search method 'pareto' needs two knobs or more, and this recipe has 'early' alone"
        " = the front of one knob is its whole curve; write method: level-set",
    ),
    "two knobs that are fine alone": (
        [
            ("  early: {range: [0.0, 0.7]}", "  early: {range: [0.0, 0.7]}\n  late: {range: [0.0, 0.7]}"),
            ("{sparsity: $early,", "{sparsity: $(early + late),"),
        ],
        "22:33 E312 knob 'early' can be 0.7 and knob 'late' can be 0.7, but here sparsity 1.4 is outside [0, 1)",
    ),
    "a knob that cannot be a size of a block": (
        [("filter: {sparsity: $early, criterion: l2, align: 8}", "block: {sparsity: 0.5, shape: [$early, 1]}")],
        "21:45 E312 knob 'early' can be 0, but here shape 0 is below 1",
    ),
    "a precision that is none": (
        [
            ("{range: [0.0, 0.7]}", "{choices: [float32, int9]}"),
            ("filter: {sparsity: $early, criterion: l2, align: 8}", "quantize: {dtype: $early}"),
        ],
        "21:32 E312 knob 'early' can be int9, but here unknown dtype 'int9' = did you mean 'int8'?",
    ),
    "a precision that does nothing": (
        [
            (
                "{filter: {sparsity: $early, criterion: l2, align: 8}}",
                "[filter: {sparsity: $early}, quantize: {dtype: fp32}]",
            )
        ],
        "21:60 E109 float32 leaves the weights as they are, so this scheme would do nothing"
        " = leave it out, or let a knob choose the dtype",
    ),
    "integers that no choice of the dtype is": (
        [
            ("{range: [0.0, 0.7]}", "{choices: [float32, float16]}"),
            ("filter: {sparsity: $early, criterion: l2, align: 8}", "quantize: {dtype: $early, activations: int8}"),
        ],
        "21:32 E312 no choice of knob 'early' is an integer, so 'activations' would round nothing"
        " = add int8 to its choices, or leave 'activations' out",
    ),
    "integers that kernels do not take": (
        [
            ("{range: [0.0, 0.7]}", "{choices: [float32, uint8]}"),
            ("filter: {sparsity: $early, criterion: l2, align: 8}", "quantize: {dtype: $early, activations: int8}"),
        ],
        "21:32 E312 knob 'early' can be uint8, and integer kernels take weights of intN = write int8",
    ),
    "a summand that is left alone": (
        [
            ("{range: [0.0, 0.7]}", "{choices: [float32, int8]}"),
            (
                "filter: {sparsity: $early, criterion: l2, align: 8}",
                "sum: [quantize: {dtype: $early}, prune: {sparsity: 0.9}]",
            ),
        ],
        "21:38 E312 knob 'early' can be float32, but here a summand cannot be left alone",
    ),
    "knob outside schemes": (
        [("trials: 8", "trials: $early")],
        "26:37 E303 knob 'early' cannot be used here = knobs set what a scheme does; for a constant use 'vars'",
    ),
    "fraction as a count of weights": (
        [
            ("knobs:\n  early: {range: [0.0, 0.7]}\n", "search: {method: none}\n"),
            ("search: {method: level-set, trials: 8, timeout: 12h}\n", ""),
            ("filter: {sparsity: $early, criterion: l2, align: 8}", "prune: {kappa: 0.25}"),
        ],
        "20:29 E222 kappa 0.25 is no whole number, and with norm l0 it counts the weights that stay"
        " = to keep 0.25 of them write sparsity: 0.75",
    ),
    "built-in model": (
        [("small-cnn", "smal-cnn")],
        "10:18 E107 unknown builtin model 'smal-cnn' = did you mean 'small-cnn'?",
    ),
    "setting of other data": (
        [("{builtin: digits}", "{builtin: digits, path: there}")],
        "11:25 E101 builtin data 'digits' takes no 'path' = it takes: batch, limit, val_fraction, val_count, augment",
    ),
    "time without a unit": (
        [("12h", "12")],
        "26:49 E402 '12' has no unit = '12s' is seconds, '12min' minutes, '12h' hours",
    ),
    "rate in percent": (
        [("at_least: 1.5x", "at_least: 150%")],
        "29:36 E402 at_least '150%' has a unit that does not fit 'throughput'"
        " = write the value itself, such as 1000/s, or a multiple of the reference: 0.98x",
    ),
    "rate without a unit": (
        [("at_least: 1.5x", "at_least: 2")],
        "29:36 E402 at_least '2' has no unit = '2x' is 2 times the reference, '2/s' is 2 samples per second",
    ),
    "several gates": (
        [
            (
                "  - {metric: throughput, at_least: 1.5x}\n",
                "  - {metric: size.pakced, at_most: 12KiB}\n"
                "  - {metric: size.packed, at_most: 12}\n"
                "  - {metric: size.packed, at_most: 12 parsecs}\n",
            )
        ],
        "29:14 E401 metric 'size.pakced' is not known = did you mean 'size.packed'?",
        "30:36 E402 at_most '12' has no unit = write 6MiB, or a multiple of the reference: 0.5x",
        "31:36 E405 unit 'parsecs' is not known"
        " = known units: %, pp, x, B, kB, MB, GB, KiB, MiB, GiB, us, ms, s, min, h, d, /s",
    ),
    "accuracy in percent": (
        [("max_drop: 2%", "at_least: 74")],
        "23:38 E404 at_least 74 is outside 0 to 1 = write 0.74 for 74%",
    ),
    "two bounds": (
        [("max_drop: 2%", "max_drop: 2%, at_least: 0.5")],
        "23:13 E407 a bound is exactly one of max_drop, max_rise, at_least, at_most; found 'max_drop' and 'at_least'",
    ),
    "constraint on a cost": (
        [("metric: top1, max_drop: 2%", "metric: latency, at_most: 5ms")],
        "23:22 E401 'latency' is no metric of quality, so it cannot be the constraint"
        " = bound it under 'gates', and constrain one of: top1, top5, loss",
    ),
    "number too small": (
        [("trials: 8", "trials: 0")],
        "26:37 E106 'trials' must be at least 1, not 0",
    ),
    "not a number": (
        [("batch: 64", "batch: .nan")],
        "14:16 E103 'batch' must be a whole number, not the number nan",
    ),
    "empty section": (
        [("{builtin: digits}", "")],
        "11:1 E103 'data' must be a mapping of keys, not nothing",
    ),
    "python reference": (
        [("builtin: small-cnn", "python: models.py")],
        "10:17 E505 'models.py' names no Python object"
        " = write 'models.py:NAME', where NAME is a function or class in it",
    ),
    "python file that is missing": (
        [("builtin: small-cnn", 'python: "nonet.py:Net", args: {python: "mine.py:x"}')],
        "10:17 E505 'nonet.py' does not exist = a path starts from the folder of the recipe",
    ),
    "name": (
        [("name: digits", "name: ../digits")],
        "2:7 E108 name '../digits' cannot name a folder = use letters, digits, '.', '_' and '-'",
    ),
    "second document": (
        [("seed: 1", "seed: 1\n---")],
        "4:1 E006 a recipe is one document; a second one starts here",
    ),
    "key that is a number": (
        [("low: 0.1", "5: 0.1"), ("$low", "3")],
        '6:3 E007 a key must be text, not the number 5 = write "5" in quotes',
    ),
    "tab": (
        [("  low: 0.1", "\tlow: 0.1")],
        "6:1 E001 not valid YAML: found character '\\t' that cannot start any token"
        " = indent with spaces, not with tabs",
    ),
    "multiple of nothing": (
        [("at_least: 1.5x", "at_least: 0x")],
        "29:36 E404 at_least '0x' is no multiple above zero = write a multiple of the reference, such as 0.5x",
    ),
    "drop beyond all numbers": (
        [("max_drop: 2%", "max_drop: 1e50x")],
        "23:38 E106 an amount must be below 10^15, not 1e50x",
    ),
    "size beyond all numbers": (
        [("metric: throughput, at_least: 1.5x", "metric: size.onnx, at_most: 1e50B")],
        "29:34 E106 an amount must be below 10^15 B, not 1e50B",
    ),
    "time beyond all numbers": (
        [("12h", "1e60d")],
        "26:49 E106 an amount must be below 10^15 s, not 1e60d",
    ),
    "number beyond all numbers": (
        [("1.5x", "1e300")],
        "29:36 E106 an amount must be below 10^15, not the number 1e+300",
    ),
    "a stand-in for a target": (
        [("{batch: 64}", "{if_missing: proxy}")],
        "14:21 E110 choice 'proxy' is not available in this version = available: error, skip",
    ),
    "no onnx": (
        [("search:", "output: {export: [torch]}\nsearch:")],
        "26:18 E106 'export' must contain onnx: every candidate is judged as that file",
    ),
    "tensors of a filter": (
        [("    type: Conv2d", "    params: [weight]")],
        "20:5 E101 'filter' removes whole units with all their tensors, so this rule takes no 'params'",
    ),
    "tensors counted for a filter": (
        [("    type: Conv2d", "    expect: 4 tensors")],
        "20:13 E106 'filter' chooses layers, not tensors = count layers: write 4 layers",
    ),
    "an early abort that never comes": (
        [("trials: 8", "trials: 2, early_abort: true")],
        "26:40 E101 an early abort learns from two finished trials, so 2 trials never have one"
        " = write trials: 3 or more",
    ),
    "an early abort of nothing": (
        [("trials: 8", "trials: 8, early_abort: true"), ("gates:", "compress: {method: direct}\ngates:")],
        "26:53 E109 'early_abort' ends fine-tuning, and this recipe has none = leave it out",
    ),
    "data to calibrate": (
        [("{builtin: digits}", "{builtin: digits, calib: {python: d:c}}")],
        "11:25 E101 builtin data 'digits' takes no 'calib' = it takes: batch, limit, val_fraction, val_count, augment",
    ),
    "data nobody calibrates with": (
        [("{builtin: digits}", "{train: {python: d:a}, val: {python: d:b}, calib: {python: d:c}}")],
        "11:50 W305 nothing is calibrated: no rule has activations, and errors of weights are not measured by data",
    ),
    "quality on a target": (
        [("metric: throughput, at_least: 1.5x", "metric: top1, on: box, max_drop: 2%")],
        "29:20 E101 'top1' does not depend on hardware, so it is on no target",
    ),
    "gate on data that is not there": (
        [
            ("{builtin: digits}", "{train: {python: d:a}, val: {python: d:b}}"),
            ("metric: throughput, at_least: 1.5x", "metric: top1, split: test, max_drop: 2%"),
        ],
        "29:27 E102 this gate reads the split 'test', but 'data' names none",
    ),
    "search that knows no gamma": (
        [("level-set, trials", "grid, gamma: 0.5, trials")],
        "26:24 E101 search method 'grid' takes no 'gamma' = methods that do: ils-ucb, dr-ucb",
    ),
    "search that bisects without a kernel": (
        [("level-set, trials", "bisection, kernel: rbf, trials")],
        "26:29 E101 search method 'bisection' takes no 'kernel'"
        " = methods that do: ils-ucb, dr-ucb, straddle, ei, pi, ucb",
    ),
    "search that stops nowhere": (
        [("level-set, trials", "none, least_gain: 0.01, trials")],
        "26:24 E101 search method 'none' takes no 'least_gain' = methods that do: level-set",
    ),
    "acquisition beside the method": (
        [("level-set, trials", "level-set, acquisition: ils-ucb, trials")],
        "26:29 E101 unknown key 'acquisition' in 'search' = the method names it: write method: ils-ucb",
    ),
    "priors beside a kernel that has its own": (
        [("level-set, trials", "ei, kernel: {python: 'k.py:periodic'}, prior: flat, trials")],
        "26:57 E101 a kernel in Python has its own priors, so it takes no 'prior'",
    ),
    "kernel nobody knows": (
        [("level-set, trials", "ei, kernel: matern-7/2, trials")],
        "26:30 E107 unknown kernel 'matern-7/2' = did you mean 'matern-5/2'?",
    ),
    "kernel that names no object": (
        [("level-set, trials", "ei, kernel: {python: kernels.py}, trials")],
        "26:39 E505 'kernels.py' names no Python object"
        " = write 'kernels.py:NAME', where NAME is a function or class in it",
    ),
    "kernel with a key of no meaning": (
        [("level-set, trials", "ei, kernel: {python: 'k.py:make', period: 2}, trials")],
        "26:52 E101 unknown key 'period' in 'search.kernel' = known: python, args",
    ),
    "criterion that names no object": (
        [
            (
                "filter: {sparsity: $early, criterion: l2, align: 8}",
                "block: {sparsity: $early, shape: [2, 2], criterion: {python: k.py}}",
            )
        ],
        "21:75 E505 'k.py' names no Python object = write 'k.py:NAME', where NAME is a function or class in it",
    ),
    "weight beyond one": (
        [("level-set, trials", "ils-ucb, gamma: 1.5, trials")],
        "26:34 E106 'gamma' must be at most 1, not 1.5",
    ),
    "answers no better than a coin": (
        [("level-set, trials", "probabilistic-bisection, confidence: 0.5, trials")],
        "26:55 E106 'confidence' must be above 0.5, not 0.5",
    ),
    "probability in percent": (
        [("level-set, trials", "level-set, return: {probability: 70}, trials")],
        "26:51 E106 'probability' must be at most 1, not 70",
    ),
    "more at once than there are": (
        [("level-set, trials", "level-set, parallel: 64, trials")],
        "26:39 W306 64 trials at once, but there are at most 8",
    ),
    "nothing at once": (
        [("level-set, trials", "level-set, parallel: 0, trials")],
        "26:39 E106 'parallel' must be at least 1, not 0",
    ),
    "weights that are not there": (
        [("builtin: small-cnn", "builtin: small-cnn, weights: nosuch.pt")],
        "10:38 E505 'nosuch.pt' does not exist = a path starts from the folder of the recipe",
    ),
    "earlier run that is not there": (
        [("trials: 8", "warm_start: [runs/nonsense], trials: 8")],
        "26:42 E505 there is no run directory 'runs/nonsense'"
        " = name the folder of an earlier run; a path starts from the folder of the recipe",
    ),
    "short runs of several knobs": (
        [
            ("0.7]}", "0.7]}\n  more: {range: [0.0, 0.5]}"),
            ("align: 8}}", "align: 8}}\n  - match: [fc]\n    scheme: {filter: {sparsity: $more}}"),
            ("trials: 8", "short: 2, trials: 8"),
        ],
        "29:29 E307 short runs need a recipe with one knob, and this one has 2: early, more = leave it out",
    ),
    "noise without a unit": (
        [("level-set, trials", "level-set, noise: 0.2, trials")],
        "26:36 E402 noise '0.2' has a unit that the constraint's metric does not"
        " = write 0.2pp, or 0.2% of the reference's",
    ),
    "noise of time": (
        [("level-set, trials", "level-set, noise: 2ms, trials")],
        "26:36 E402 noise '2ms' has a unit that the constraint's metric does not"
        " = write 0.2pp, or 0.2% of the reference's",
    ),
    "noise below nothing": (
        [("level-set, trials", "level-set, noise: -1pp, trials")],
        "26:36 E106 noise '-1pp' is no standard deviation of a metric",
    ),
    "training what is given": (
        [("small-cnn}", "small-cnn, weights: w.pt}\nreference: {train: {epochs: 3}}")],
        "10:38 E505 'w.pt' does not exist = a path starts from the folder of the recipe",
        "11:13 W304 the reference is read from model.weights, so 'reference.train' changes nothing",
    ),
    "L-C loop of a method without one": (
        [("gates:", "compress: {method: direct, steps: 5, mu: {start: 0.1}, l_step: {epochs: 2, lr: 0.1}}\ngates:")],
        "28:28 W304 method direct projects once, so 'steps' changes nothing",
        "28:38 W304 method direct projects once, so 'mu' changes nothing",
        "28:65 W304 method direct has no L steps, so 'epochs' changes nothing",
        "28:76 W304 this recipe trains nothing, so 'lr' changes nothing",
    ),
    "two step sizes of one training": (
        [("gates:", "compress: {method: direct, l_step: {momentum: 0.5, lr: 0.1}, finetune: {lr: 0.2}}\ngates:")],
        "28:52 W304 'finetune.lr' is the step size of all training here, so 'lr' changes nothing",
    ),
    "schedules of a single step": (
        [("gates:", "compress: {steps: 1, mu: {start: 0.1, growth: 2}, l_step: {lr_end: 0.1}}\ngates:")],
        "28:39 W304 there is one L step, at 'start', so 'growth' changes nothing",
        "28:60 W304 there is one L step, at 'lr', so 'lr_end' changes nothing",
    ),
    "step size of no fine-tuning": (
        [("gates:", "compress: {finetune: {epochs: 0, lr: 0.1}}\ngates:")],
        "28:34 W304 there is no fine-tuning, so 'lr' changes nothing",
    ),
    "scales of half precision": (
        [("align: 8}}", "align: 8}}\n  - {match: fc, scheme: {quantize: {dtype: fp16, range: mse}}}")],
        "22:50 E109 float16 has no scale, and 'range' is about scales = leave it out, or write dtype: int8",
    ),
    "book of nothing but zero": (
        [("align: 8}}", "align: 8}}\n  - {match: fc, scheme: {codebook: {size: 1, zero: true}}}")],
        "22:43 E109 a book of one number that is zero leaves no weights = write size: 2 or more",
    ),
    "groups that shrink one by one": (
        [
            ("model:", "patterns: {rows: {python: own:rows}}\nmodel:"),
            ("align: 8}}", "align: 8}}\n  - {match: fc, scheme: {prune: {kappa: 3, norm: l1, pattern: rows}}}"),
        ],
        "23:50 E109 norm l1 shrinks single weights, and pattern 'rows' takes them in groups = write norm: l0",
    ),
    "names that nothing uses": (
        [
            ("low: 0.1", "low: 0.1\n  high: 0.9"),
            ("model:", "patterns: {rows: {python: own:rows}}\nmodel:"),
        ],
        "7:3 W301 var 'high' is never used",
        "11:12 W301 pattern 'rows' is never used",
    ),
    "what only several trials have": (
        [
            ("$early", "0.5"),
            ("knobs:\n  early: {range: [0.0, 0.7]}\n", ""),
            ("level-set, trials", "none, noise: 1pp, return: {clear_sd: 2}, trials"),
        ],
        "24:24 W304 method none makes one trial, so 'noise' changes nothing",
        "24:36 W304 method none makes one trial, so 'return' changes nothing",
        "24:59 W304 method none makes one trial, so 'trials' changes nothing",
        "24:70 W304 method none makes one trial, so 'timeout' changes nothing",
    ),
    "an early abort of the only trial": (
        [
            ("$early", "0.5"),
            ("knobs:\n  early: {range: [0.0, 0.7]}\n", ""),
            ("level-set, trials: 8, timeout: 12h", "none, early_abort: true"),
        ],
        "24:24 E101 an early abort learns from two finished trials, and method none makes one = leave it out",
    ),
    "threads of an engine": (
        [("{batch: 64}", "{backend: tensorrt, threads: 4}")],
        "14:28 W304 an engine computes on the GPU alone, so 'threads' changes nothing",
    ),
    "where a count is counted": (
        [
            ("maximize: throughput", "minimize: macs"),
            ("  - {metric: throughput, at_least: 1.5x}", "  - {metric: params, at_most: 0.5x, on: box}"),
        ],
        "24:29 W304 'macs' is counted, on no target, so 'on' changes nothing",
        "29:37 W304 'params' is counted, on no target, so 'on' changes nothing",
    ),
    "target of an objective that is counted": (
        [("maximize: throughput, on: box", "minimize: macs"), ("throughput, at_least: 1.5x", "macs, at_most: 0.5x")],
        "14:3 W309 target 'box' is never used: nothing is measured on it, or built for it"
        " = name it in 'on' of the objective or of a gate, or leave it out",
    ),
    "metric that no scheme heeds": (
        [("gates:", "compress: {metric: gram}\ngates:")],
        "28:12 W304 no scheme here heeds what layers read, so 'metric' changes nothing",
    ),
    "what tensors that are taken apart share": (
        [
            (
                "align: 8}}",
                "align: 8}}\n  - {match: fc, scope: model, scheme: [prune: {pattern: 2:4}, quantize: {dtype: int8}]}",
            )
        ],
        "22:17 W304 each tensor is compressed by itself here, so 'scope' changes nothing",
    ),
    "a scope of the model for one rule": (
        [("    type: Conv2d", "    scope: model")],
        "20:5 W304 no other rule has this scheme and scope: model, so 'scope' changes nothing",
    ),
    "families that are not compared": (
        [("    type: Conv2d", "    scope: layer"), ("align: 8}", "norm: none}")],
        "21:56 W304 scope: layer compares no layers, so 'norm' changes nothing",
    ),
    "scales of no integer": (
        [
            ("0.7]}", "0.7]}\n  bits: {choices: [fp32, fp16]}"),
            ("align: 8}}", "align: 8}}\n  - {match: fc, scheme: {quantize: {dtype: $bits, range: mse}}}"),
        ],
        "23:51 W304 no choice of knob 'bits' is an integer, so 'range' changes nothing",
    ),
    "mu that is capped before it starts": (
        [("gates:", "compress: {mu: {start: 0.1, growth: 2, cap: 0.01}}\ngates:")],
        "28:45 E109 mu starts at 0.1, above its cap of 0.01 = write a cap above 'start'",
    ),
    "mu that never comes to its cap": (
        [("gates:", "compress: {mu: {start: 0.1, cap: 1}}\ngates:")],
        "28:29 W304 mu stays at 'start', so 'cap' changes nothing",
    ),
    "choices out of order": (
        [("range: [0.0, 0.7]", "choices: [0.5, 0.1]")],
        "8:20 E311 choices that are numbers must stand in ascending order = write choices: [0.1, 0.5]",
    ),
    "choice of nothing": (
        [("range: [0.0, 0.7]", "choices: [null]")],
        "8:21 E103 expected a text, a finite number, true or false, not nothing",
    ),
    "list as a var": (
        [("low: 0.1", "low: [1]")],
        "6:8 E103 expected a text, a finite number, true or false, not a list",
        "30:29 E103 expected an amount such as 2%, 2pp, 1.5x, 5ms or 6MiB, not a list",
    ),
    "infinite var": (
        [("low: 0.1", "low: .inf")],
        "6:8 E103 expected a text, a finite number, true or false, not the number inf",
        "30:29 E106 an amount must be below 10^15, not the number inf",
    ),
    "list as a count": (
        [("    type: Conv2d", "    expect: [1]")],
        "20:13 E103 'expect' must be a count, not a list = write 4, 4 tensors, 2..5 or >=1",
    ),
    "too many trials": (
        [("trials: 8", "trials: 10001")],
        "26:37 E106 'trials' must be at most 10000, not 10001",
    ),
    "too large a batch": (
        [("batch: 64", "batch: 1000001")],
        "14:16 E106 'batch' must be at most 1000000, not 1000001",
    ),
    "penalty that explodes": (
        [("search:", "compress: {steps: 10001, mu: {start: 1, growth: 11}}\nsearch:")],
        "26:19 E106 'steps' must be at most 10000, not 10001",
        "26:49 E106 'growth' must be at most 10, not 11",
    ),
    "no knob": (
        [("$early", "0.5"), ("knobs:\n  early: {range: [0.0, 0.7]}\n", ""), ("2%", "200%")],
        "21:38 E106 max_drop '200%' is outside 0 to 100 percent = write the change that is still fine, such as 2%",
        "24:1 W302 no knob is used: one run, no search = write search: {method: none}",
    ),
}


def edited(edits):
    text = SOUND
    for old, new in edits:
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    return text


def said(problem):
    help_lines = "".join(f" = {line}" for line in problem.help)
    return f"{problem.place.line}:{problem.place.column} {problem.code} {problem.message}{help_lines}"


def test_the_sound_recipe_has_no_problem(tmp_path):
    file = tmp_path / "sound.yaml"
    file.write_text(SOUND)

    assert check_recipe(file) == ()


def test_a_sparsity_left_out_is_the_same_scheme_as_the_knob_it_stands_for(tmp_path):
    rules = "".join(
        f"  - {{match: {name}, scope: model, scheme: {{prune: {settings}}}}}\n"
        for name, settings in (("conv1", "{sparsity: $sparsity}"), ("fc", "{}"))
    )
    file = tmp_path / "sound.yaml"
    text = SOUND.replace("early: ", "sparsity: ")
    file.write_text(text[: text.index("  - match: [layer1")] + rules + text[text.index("\nconstraint:") :])

    assert check_recipe(file) == ()


@pytest.mark.parametrize("name", BROKEN)
def test_a_mistake_is_named_at_its_place_with_advice(name, tmp_path):
    edits, *expected = BROKEN[name]
    file = tmp_path / "broken.yaml"
    file.write_text(edited(edits))

    problems = check_recipe(file)

    assert [said(problem) for problem in problems] == expected
    lines = file.read_text().split("\n")
    assert all(problem.place.source == lines[problem.place.line - 1] for problem in problems)
    assert all(problem.place.file == str(file) for problem in problems)
