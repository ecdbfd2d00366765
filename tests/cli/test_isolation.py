"""The user's Python cannot spoil what a command answers."""

import json
import os
import subprocess
import sys

from own_recipe import OWN, own_recipe

from condensa_core.recipe import resolved_yaml

NOISY = """
import os, subprocess, sys
print("by print")
os.write(1, b"by the descriptor\\n")
sys.__stdout__.write("by the first stdout\\n")
subprocess.run(["echo", "by a child"])
"""


def planned(folder, own):
    (folder / "recipe.yaml").write_text(resolved_yaml(own_recipe(folder)))
    (folder / "own.py").write_text(own)
    command = [sys.executable, "-W", "ignore", "-m", "condensa_cli", "plan", "recipe.yaml", "--json"]
    return subprocess.run(
        command, cwd=folder, env=os.environ | {"OMP_NUM_THREADS": "1"}, capture_output=True, text=True
    )


def test_nothing_that_is_printed_gets_into_the_document(tmp_path):
    done = planned(tmp_path, OWN + NOISY)

    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["schema"] == "condensa.plan/1"
    for by in ("print", "the descriptor", "the first stdout", "a child"):
        assert f"by {by}" in done.stderr


def test_code_that_ends_the_process_is_a_refusal_with_a_document(tmp_path):
    done = planned(tmp_path, OWN.replace("def net():", "def net():\n    import os\n    os._exit(0)\n"))

    assert done.returncode == 2
    document = json.loads(done.stdout)
    assert document["exit_code"] == 2 and "own.py:net called os._exit(0) at own.py:12" in document["reasons"][0]
