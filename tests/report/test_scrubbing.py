"""What must not be shared is gone from the texts of a run, and what a maintainer needs is not."""

import json

import pytest

from condensa_core.report.scrubbing import Scrubber

SCRUBBER = Scrubber.of(
    {
        "HF_TOKEN": "hf_abcdef123456",
        "AWS_SECRET_ACCESS_KEY": "s3cr3t/value+1",
        "DB_PASSWORD": "short",
        "LANG": "en_GB.UTF-8",
    },
    {"/home/ada": "~", "ada": "USER", "lovelace-box": "HOST"},
)


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("wrote /home/ada/runs/x", "wrote ~/runs/x"),
        (
            "by ada on lovelace-box, not adam nor canada nor ada-like",
            "by USER on HOST, not adam nor canada nor ada-like",
        ),
        ("token hf_abcdef123456 in the middle", "token [HF_TOKEN] in the middle"),
        ("s3cr3t/value+1", "[AWS_SECRET_ACCESS_KEY]"),
        ("en_GB", "en_GB"),
        ("https://ada:pw@host/x", "https://[left out]@host/x"),
        ("api_key: abc123", 'api_key: "[left out]"'),
        ('"password": "p w", "seed": 3', '"password": "[left out]", "seed": 3'),
        ('"counted": "tokens", "tokens": 5', '"counted": "tokens", "tokens": 5'),
        ("bad sample tensor([[0.1, 0.2],\n [0.3, 0.4]])", "bad sample tensor([left out])"),
        ("top1 0.93 of 360 samples", "top1 0.93 of 360 samples"),
    ],
)
def test_what_goes_and_what_stays(text, cleaned):
    assert SCRUBBER.clean(text) == cleaned


def test_json_stays_json():
    document = {"api_key": "abc", "path": "/home/ada/x", "nested": {"auth_token": 'a "b"', "n": [1, 2]}, "seed": 3}

    cleaned = json.loads(Scrubber.of({}, {"/home/ada": "~"}).clean(json.dumps(document, indent=2)))

    assert cleaned["seed"] == 3 and cleaned["nested"]["n"] == [1, 2]
    assert "abc" not in str(cleaned) and '"b"' not in str(cleaned) and "/home/ada" not in str(cleaned)


def test_tracebacks_keep_places_and_lose_the_users_lines():
    text = (
        "2026-01-01T00:00:00Z Traceback (most recent call last):\n"
        '      File "/x/site-packages/torch/nn.py", line 3, in f\n'
        "        return theirs\n"
        '      File "/home/ada/own.py", line 7, in forward\n'
        "        return secret_sauce(x)\n"
        "               ^^^^^^^^^^^^^^^\n"
        "    ValueError: no such luck\n"
    )

    cleaned = SCRUBBER.clean(text)

    assert "return theirs" in cleaned and 'File "~/own.py", line 7, in forward' in cleaned
    assert "secret_sauce" not in cleaned and "^^^" not in cleaned
    assert cleaned.endswith("    ValueError: no such luck\n")
