"""Texts: how they are cut into parts and tokens, and what is refused, with its path."""

import random
import string
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from condensa_core.errors import WorkloadError
from condensa_core.randomness import Seed
from condensa_core.recipe import DataSpec
from condensa_core.workload import known_shape, load_splits
from condensa_core.workload.datasets.text_partition import parted
from condensa_core.workload.datasets.tokens import Vocabulary, separated_words, words

HERE = Path()


def splits_of(builtin, directory=HERE, seed=0, **settings):
    return load_splits(DataSpec(builtin=builtin, **settings), seed=Seed(seed), directory=directory)


def shown(part) -> bytes:
    """A byte-level part as the text it was."""
    return bytes(part.stream.tolist())


@pytest.fixture
def wikitext(tmp_path):
    """Files in the published form: a heading, blank lines, words and signs apart, rare words replaced."""
    (tmp_path / "wiki.train.tokens").write_text(" \n = Tea = \n \n Tea is hot , <unk> is not . \n Tea @-@ time \n")
    (tmp_path / "wiki.valid.tokens").write_text(" Tea is rare . \n")
    (tmp_path / "wiki.test.tokens").write_text(" hot Tea \n = \n")
    return tmp_path


def test_wikitext_is_read_word_by_word_with_an_end_to_every_line(wikitext):
    # when
    splits = splits_of("wikitext2", wikitext, path=".", length=2)

    # then
    known = ["<eos>", "Tea", "=", "is", ",", ".", "@-@", "hot", "not", "time"]  # in train; most frequent first
    assert splits.classes == splits.vocabulary == len(known) + 1
    counts = splits.train.stream.bincount().tolist()
    assert counts == [1, 5, 3, 2, 2, 1, 1, 1, 1, 1, 1]  # <unk>, an <eos> to each of five lines, Tea and so on
    unknown, end, tea = range(3)
    assert splits.val.stream[[0, 2, 4]].tolist() == [tea, unknown, end]  # 'rare' is not in train
    assert len(splits.test.stream) == 5 and splits.test.stream[[1, 2, 4]].tolist() == [tea, end, end]


def test_wikitext_is_found_beside_its_files_and_missed_by_name(wikitext):
    beside = splits_of("wikitext2", wikitext, path="wiki.train.tokens", length=2)
    assert beside.fingerprint == splits_of("wikitext2", wikitext, path=".", length=2).fingerprint

    (wikitext / "wiki.valid.tokens").unlink()

    with pytest.raises(WorkloadError, match=r"has no wiki\.valid\.tokens; path names the folder"):
        splits_of("wikitext2", wikitext, path=".")


@given(st.text(alphabet="ab c\n.,_1é", max_size=60))
def test_words_hold_all_that_is_not_space(text):
    found = words(text)

    assert "".join(found) == text.replace(" ", "")
    assert all(word == "\n" or not word.isspace() for word in found)


def test_words_of_published_text_keep_their_signs():
    assert separated_words(" a @-@ b . \n\n c\n") == ["a", "@-@", "b", ".", "<eos>", "<eos>", "c", "<eos>"]


@given(st.lists(st.sampled_from("abcdef"), max_size=40), st.integers(2, 9))
def test_a_vocabulary_keeps_the_most_frequent(text, size):
    # when
    vocabulary = Vocabulary.of(text, size)
    ids = vocabulary.ids(text).tolist()

    # then
    assert len(vocabulary) == len(set(vocabulary.tokens)) <= size
    assert all(vocabulary.tokens[number] == token for token, number in zip(text, ids, strict=True) if number)
    lost = {token for token, number in zip(text, ids, strict=True) if number == 0}
    kept = [text.count(token) for token in vocabulary.tokens[1:]]
    assert kept == sorted(kept, reverse=True)
    assert not lost or (len(vocabulary) == size and max(map(text.count, lost)) <= min(kept))


CONTENTS = st.text(min_size=1, max_size=30).map(str.encode)  # UTF-8: a cut is at most three bytes off


@given(st.dictionaries(st.text("abc", min_size=1), CONTENTS, min_size=1), st.data())
def test_parts_hold_every_file_once(files, data):
    # given
    fraction = data.draw(st.sampled_from([None, 0.2, 0.5]))

    # when
    try:
        parts = parted(files, "here", fraction)
    except WorkloadError as refused:
        assert "too little text" in refused.message and sum(map(len, files.values())) < 40
        return

    # then
    whole = [parts.train.content, parts.val.content, parts.test.content]
    assert all(whole)
    assert sorted(b"".join(whole)) == sorted(b"".join(files.values()))


def test_whole_files_are_held_out_and_never_more_than_their_share():
    # given
    draw = random.Random(0)
    files = {f"{i}.txt": bytes([65 + i % 26]) * draw.randrange(50, 150) + b"%d\n" % i for i in range(100)}

    # when
    parts = parted(files, "here", 0.25)

    # then
    total = sum(map(len, files.values()))
    for part, share in ((parts.test, 0.1), (parts.val, 0.225)):
        assert 0.9 * share * total < len(part.content) <= share * total
        assert sum(len(files[name]) for name in files if files[name] in part.content) >= len(part.content)
    assert parted(dict(reversed(files.items())), "there", 0.25).val.content == parts.val.content


def test_a_single_file_is_cut_near_its_end_between_characters(tmp_path):
    # given
    text = "äöü€" * 113  # 1,017 bytes; most of them begin no character
    (tmp_path / "a.txt").write_text(text, encoding="utf-8")

    # when
    splits = splits_of("text", tmp_path, path="a.txt", length=8)

    # then
    parts = [shown(part).decode() for part in (splits.train, splits.val, splits.test)]  # each is sound UTF-8
    assert "".join(parts) == text
    assert [round(len(part) / len(text), 2) for part in parts] == pytest.approx([0.81, 0.09, 0.1], abs=0.011)


@pytest.mark.parametrize(("kind", "val"), [("file", "valid"), ("folder", "val")])
def test_parts_named_by_the_user_are_taken(tmp_path, kind, val):
    # given
    for name, text in (("train", "learn this"), (val, "steer by it"), ("test", "read once")):
        if kind == "file":
            (tmp_path / f"{name}.txt").write_text(text)
        else:
            (tmp_path / name / "deep").mkdir(parents=True)
            (tmp_path / name / "deep" / "b.txt").write_text(text[3:])
            (tmp_path / name / "a.txt").write_text(text[:3])

    # when
    splits = splits_of("text", tmp_path, path=".", length=3)

    # then
    found = [shown(part) for part in (splits.train, splits.val, splits.test)]
    assert found == [b"learn this", b"steer by it", b"read once"]
    with pytest.raises(WorkloadError, match="brings its own val part"):
        splits_of("text", tmp_path, path=".", val_fraction=0.5)


def test_characters_and_words_are_counted_in_train_alone(tmp_path):
    # given
    for name, text in (("train", "abca\nab"), ("val", "abxy"), ("test", "a b")):
        (tmp_path / f"{name}.txt").write_text(text)

    # when
    characters = splits_of("text", tmp_path, path=".", level="char", length=2)
    two = splits_of("text", tmp_path, path=".", level="char", length=2, vocabulary=2)

    # then
    assert characters.classes == 5  # unknown, a, b, end of line, c
    assert characters.train.stream.tolist() == [1, 2, 4, 1, 3, 1, 2]
    assert characters.val.stream.tolist() == [1, 2, 0, 0]
    assert two.classes == 2 and two.train.stream.tolist() == [1, 0, 0, 1, 0, 1, 0]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"path": "nowhere.txt"}, r"nowhere\.txt does not exist"),
        ({"path": "empty.txt"}, r"empty\.txt is empty"),
        ({"path": "bare"}, r"bare holds no \.txt files"),
        ({"path": "bad.txt", "level": "char"}, r"bad\.txt is not UTF-8: byte 0xff at 3; convert it"),
        ({"path": "half"}, "has a part 'train' and none for validation"),
        ({"path": "short.txt"}, "holds too little text to be split: 2 bytes"),
        ({"path": "bad.txt", "length": 500}, "holds no window of 500"),
    ],
)
def test_what_cannot_be_read_is_told_with_its_path(tmp_path, settings, message):
    for name, content in (("empty", b""), ("bad", b"abc\xff" + b"d" * 200), ("short", b"ab"), ("half/train", b"abc")):
        (tmp_path / f"{name}.txt").parent.mkdir(exist_ok=True)
        (tmp_path / f"{name}.txt").write_bytes(content)
    (tmp_path / "bare").mkdir()

    with pytest.raises(WorkloadError, match=message):
        splits_of("text", tmp_path, **settings)


def test_python_text_is_pythons_own_the_same_for_every_seed():
    # when
    first, again = (splits_of("python-text", max_bytes=300_000, seed=seed) for seed in (0, 1))

    # then
    assert first.fingerprint == again.fingerprint
    assert first.classes == first.vocabulary == 256 and first.input_shape == (64,)
    total = sum(len(part.stream) for part in (first.train, first.val, first.test))
    assert 250_000 < total <= 300_000
    text = shown(first.train).decode()
    assert text.count("\ndef ") + text.count("    def ") > 100
    assert set(string.ascii_lowercase) <= set(text)
    assert splits_of("python-text", max_bytes=200_000).fingerprint != first.fingerprint


def test_python_text_by_words_has_the_signs_of_the_language():
    splits = splits_of("python-text", max_bytes=300_000, level="word", vocabulary=500)

    assert splits.classes == 500
    seen = splits.train.stream.bincount(minlength=500)
    assert seen[0] > 0 and bool((seen > 0).all())  # <unk> and all others occur
    assert seen[1:].tolist() == sorted(seen[1:].tolist(), reverse=True)


def test_a_limit_counts_windows_and_bytes_need_no_files():
    splits = splits_of("python-text", max_bytes=300_000, length=32, limit=5, batch=2)

    assert (splits.train.count, splits.val.count, splits.test.count) == (5, 5, 5)
    assert splits.train.steps == 2
    shape = known_shape(DataSpec(builtin="text", path="nowhere", length=12))
    assert shape is not None and (shape.classes, shape.input_shape, shape.vocabulary) == (256, (12,), 256)
    assert known_shape(DataSpec(builtin="text", path="nowhere", level="char")) is None


def test_batches_that_are_only_read_stay_within_memory(tmp_path):
    (tmp_path / "a.txt").write_text(" ".join(f"w{i}" for i in range(40_000)))

    splits = splits_of("text", tmp_path, path="a.txt", level="word", vocabulary=30_000)

    inputs, _ = next(iter(splits.val))
    assert inputs.numel() * splits.classes <= 2**23
    assert torch.equal(torch.cat([x for x, _ in splits.val]).flatten(), splits.val.stream[: splits.val.count * 64])
