"""The journal: what was appended is there, whatever happens to the process or the file's tail."""

from __future__ import annotations

import errno
import json
import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from condensa_core.errors import ResumeError, RunFailed
from condensa_core.search import Journal, read_journal

values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), st.text()),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(), inner, max_size=3)),
    max_leaves=6,
)
payloads = st.lists(st.dictionaries(st.text(), values, max_size=4), max_size=4)


def written(path, payloads, fingerprint="f"):
    with Journal(path, fingerprint) as journal:
        for payload in payloads:
            journal.append("note", payload)
    return path


@given(payloads, payloads)
@settings(max_examples=30, deadline=None)
def test_entries_come_back_equal_over_any_number_of_openings(tmp_path_factory, first, second):
    path = tmp_path_factory.mktemp("j") / "trials.jsonl"
    written(path, first)
    written(path, second)

    assert [dict(e.payload) for e in read_journal(path)[1]] == first + second
    with Journal(path, "f") as journal:
        assert [dict(e.payload) for e in journal.entries] == first + second


@given(st.data())
@settings(max_examples=40, deadline=None)
def test_a_file_cut_anywhere_keeps_every_whole_line_and_can_go_on(tmp_path_factory, data):
    path = written(tmp_path_factory.mktemp("j") / "trials.jsonl", [{"i": i, "text": "µ" * 60 * i} for i in range(4)])
    content = path.read_bytes()
    cut = data.draw(st.integers(0, len(content)))
    path.write_bytes(content[:cut])
    whole = content[:cut].count(b"\n")

    with Journal(path, "f") as journal:
        kept = [e.payload["i"] for e in journal.entries]
        journal.append("note", {"i": "new"})

    assert kept == list(range(max(whole - 1, 0)))
    assert [e.payload["i"] for e in read_journal(path)[1]] == [*kept, "new"]
    assert path.read_bytes().endswith(b"}\n")  # nothing of the torn line is left behind


@given(st.data())
@settings(max_examples=40, deadline=None)
def test_a_changed_byte_is_never_read_as_data(tmp_path_factory, data):
    path = written(tmp_path_factory.mktemp("j") / "trials.jsonl", [{"metric": 0.9123} for _ in range(3)])
    content = bytearray(path.read_bytes())
    position = data.draw(st.integers(0, len(content) - 1))
    content[position] ^= data.draw(st.sampled_from([1, 2, 4, 8, 16]))
    path.write_bytes(bytes(content))

    try:
        entries = read_journal(path)[1]
    except ResumeError:
        return

    assert all(dict(e.payload) == {"metric": 0.9123} for e in entries)
    assert len(entries) >= 1  # what may be taken for torn is the last line, or the last two with their newline lost


def test_another_fingerprint_is_refused_and_the_file_left_alone(tmp_path):
    path = written(tmp_path / "trials.jsonl", [{"i": 1}])
    before = path.read_bytes()

    with pytest.raises(ResumeError, match="another recipe"):
        Journal(path, "g")

    assert path.read_bytes() == before
    assert read_journal(path)[0] == "f"


def test_a_newer_format_is_refused(tmp_path):
    path = tmp_path / "trials.jsonl"
    record = '{"format":2,"fingerprint":"f"}'
    import zlib

    path.write_text(f'{{"crc32":"{zlib.crc32(record.encode()):08x}","record":{record}}}\n')

    with pytest.raises(ResumeError, match="format 2; this version reads up to 1"):
        Journal(path, "f")


def test_numbers_that_json_has_not_are_refused_before_the_disk(tmp_path):
    with Journal(tmp_path / "trials.jsonl", "f") as journal:
        with pytest.raises(ValueError, match="JSON"):
            journal.append("note", {"metric": float("nan")})

        assert journal.entries == ()
    assert read_journal(tmp_path / "trials.jsonl")[1] == ()


def test_a_full_disk_leaves_no_half_line(tmp_path, monkeypatch):
    path = tmp_path / "trials.jsonl"
    write = os.write
    with Journal(path, "f") as journal:
        journal.append("note", {"i": 0})
        before = path.read_bytes()
        with monkeypatch.context() as patch:
            calls = iter([7])

            def filling_up(handle, content):
                for room in calls:
                    return write(handle, content[:room])
                raise OSError(errno.ENOSPC, "No space left on device")

            patch.setattr(os, "write", filling_up)
            with pytest.raises(RunFailed, match="No space left"):
                journal.append("note", {"i": 1})
        assert path.read_bytes() == before
        journal.append("note", {"i": 2})

    assert [e.payload["i"] for e in read_journal(path)[1]] == [0, 2]


def test_lines_are_json_and_last_finds_the_latest_of_a_kind(tmp_path):
    path = tmp_path / "trials.jsonl"
    with Journal(path, "f") as journal:
        assert journal.last("profile") is None
        journal.append("profile", {"v": 1})
        journal.append("profile", {"v": 2})
        journal.append("other", {})

        assert journal.last("profile") == {"v": 2}
    assert json.loads(path.read_text().splitlines()[0])["record"] == {"format": 1, "fingerprint": "f"}


def test_no_journal_is_said_so(tmp_path):
    with pytest.raises(ResumeError, match="cannot read"):
        read_journal(tmp_path / "none.jsonl")
    (tmp_path / "empty.jsonl").write_bytes(b"")
    with pytest.raises(ResumeError, match="holds no journal"):
        read_journal(tmp_path / "empty.jsonl")


def test_a_whole_last_line_that_was_changed_is_refused_not_dropped(tmp_path):
    path = tmp_path / "j.jsonl"
    written(path, [{"x": 1}, {"x": 2}])
    changed = path.read_bytes().replace(b'"x":2', b'"x":3')
    path.write_bytes(changed)

    with pytest.raises(ResumeError, match=r"j\.jsonl:3: this line is damaged"):
        Journal(path, "f")
    assert path.read_bytes() == changed


@pytest.mark.parametrize("end", [b"", b"\0", b"\0\0\n"])
def test_a_torn_line_is_dropped_and_counted(tmp_path, end):
    path = tmp_path / "j.jsonl"
    written(path, [{"x": 1}])
    whole = path.read_bytes()
    torn = whole.splitlines()[-1][:-5] + end  # zeros are of blocks that never reached the disk
    path.write_bytes(whole + torn)

    with Journal(path, "f") as journal:
        assert (len(journal.entries), journal.torn_bytes) == (1, len(torn))
    assert path.read_bytes() == whole
