"""YAML text as plain data, with the place of every key and value: no tags, no aliases, no duplicate keys, bounded size.

PyYAML's composer recurses and expands aliases, so its event stream is inspected first: a hostile file is refused before
it can exhaust stack or memory.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import yaml

from condensa_core.errors import Place, Problem
from condensa_core.recipe.refusals import shown
from condensa_core.recipe.scalars import plain_scalar

KeyPath = tuple[str | int, ...]

LARGEST_BYTES: Final = 2**18  # a recipe of two thousand lines; PyYAML scans 2 MB a second
DEEPEST: Final = 50
MOST_VALUES: Final = 3000  # each may be a mistake that is looked up among known words, in 0.1 ms
_LINE_BREAK: Final = re.compile("\r\n|[\n\r\x85\u2028\u2029]")  # those of YAML 1.1, which PyYAML counts
_NOT_PRINTABLE: Final = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_REORDERING: Final = re.compile("[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")  # what is read is not what is shown
_CONFLICT: Final = re.compile(r"^(?:<{7}|>{7})(?: |$)", re.MULTILINE)


@dataclass(frozen=True)
class KeyPlace(Place):
    """A place inside a Python mapping, named by its key path: there is no file, line or column."""

    def __str__(self) -> str:
        return self.file


@dataclass(frozen=True)
class Document:
    """Plain data (dict, tuple, scalars) and where each part stands; `broken` are paths whose value was dropped."""

    file: str
    data: Any
    values: Mapping[KeyPath, Place]
    keys: Mapping[KeyPath, Place]
    problems: tuple[Problem, ...] = ()
    broken: frozenset[KeyPath] = frozenset()

    def locate(self, path: KeyPath) -> KeyPath:
        """The path as the document has it, or that of the nearest part that encloses it.

        Positions in a list are skipped where the file holds one value instead of a list of one (`match: conv1`).
        """
        there: KeyPath = ()
        for step in path:
            deeper = (*there, step)
            if deeper in self.values:
                there = deeper
            elif not isinstance(step, int):
                break
        return there

    def place(self, path: KeyPath, *, on_key: bool = False) -> Place:
        """Where the value at `path` (or its key) stands, or what encloses it."""
        there = self.locate(path)
        if on_key and there in self.keys:
            return self.keys[there]
        return self.values[there]


def mapping_document(mapping: Mapping[str, Any], label: str = "recipe") -> Document:
    """The document a Python mapping stands for; lists become tuples, places are key paths."""
    places: dict[KeyPath, Place] = {}
    problems: list[Problem] = []
    broken: set[KeyPath] = set()

    def walk(value: Any, path: KeyPath) -> Any:
        places[path] = KeyPlace(key_text(path) or label, 0, 0)
        if isinstance(value, str) and (found := _refused_character(value)):
            problems.append(Problem("E009", _character_text(found), places[path], (), path))
        if isinstance(value, Mapping):
            for key in value:
                if isinstance(key, str) and (found := _refused_character(key)):
                    problems.append(Problem("E009", _character_text(found), places[path], (), path))
                if not isinstance(key, str):
                    place = KeyPlace(key_text((*path, str(key))), 0, 0)
                    problems.append(Problem("E007", f"a key must be text, not {shown(key)}", place, (), path))
                    broken.add(path)
            return {key: walk(child, (*path, key)) for key, child in value.items() if isinstance(key, str)}
        if isinstance(value, (list, tuple)):
            return tuple(walk(child, (*path, position)) for position, child in enumerate(value))
        return value

    data = walk(mapping, ())
    return Document(label, data, places, places, tuple(problems), frozenset(broken))


def key_text(path: KeyPath) -> str:
    """A key path as messages write it: `layers[0].scheme`."""
    text = ""
    for step in path:
        text += f"[{step}]" if isinstance(step, int) else f".{step}" if text else str(step)
    return text


def _refused_character(text: str) -> re.Match[str] | None:
    """The first character that no recipe may hold: of control, of no meaning, or one that reorders what is shown."""
    return _NOT_PRINTABLE.search(text) or _REORDERING.search(text)


def _character_text(found: re.Match[str]) -> str:
    return f"character U+{ord(found.group()):04X} is not allowed in a recipe"


def decode(content: bytes, file: str) -> str | Problem:
    """The text of a recipe file, or why it is none."""
    if len(content) > LARGEST_BYTES:
        place = Place(file, 1, 1)
        return Problem("E009", f"the file is larger than {LARGEST_BYTES} bytes, the most a recipe may have", place)
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = content[: error.start].decode("utf-8-sig", errors="replace")
        lines = _LINE_BREAK.split(before)
        place = Place(file, len(lines), len(lines[-1]) + 1)
        message = f"not a UTF-8 text: byte 0x{content[error.start]:02x} has no meaning here"
        return Problem("E009", message, place, ("save the file with the encoding UTF-8",))


def parse(text: str, file: str) -> Document:
    """The document in `text`, as far as it can be read; what could not is in its problems."""
    return _Reader(text.removeprefix("\ufeff"), file).read()


class _Composer(yaml.composer.Composer, yaml.resolver.BaseResolver):
    """PyYAML's composer over events that were read before: scanning takes most of the time, and twice of it no use."""

    def __init__(self, events: Sequence[yaml.Event]) -> None:
        yaml.composer.Composer.__init__(self)
        yaml.resolver.BaseResolver.__init__(self)
        self._events = deque(events)

    def check_event(self, *kinds: type[yaml.Event]) -> bool:
        return bool(self._events) and (not kinds or isinstance(self._events[0], kinds))

    def peek_event(self) -> yaml.Event:
        return self._events[0]

    def get_event(self) -> yaml.Event:
        return self._events.popleft()


class _Reader:
    """One pass over a text: `_inspect` looks at the events, `_value` walks the nodes."""

    def __init__(self, text: str, file: str) -> None:
        self.text = text
        self.file = file
        self.lines = _LINE_BREAK.split(text)
        self.values: dict[KeyPath, Place] = {(): self._at(0, 0)}
        self.keys: dict[KeyPath, Place] = {}
        self.problems: list[Problem] = []
        self.tagged: set[int] = set()  # character index of nodes that carry a tag
        self.broken: set[KeyPath] = set()
        self.events: list[yaml.Event] = []

    def read(self) -> Document:
        data: Any = None
        if self._is_text() and self._inspect():
            root = _Composer(self.events).get_single_node()
            if root is not None:
                data = self._value(root, ())
        return Document(self.file, data, self.values, self.keys, tuple(self.problems), frozenset(self.broken))

    def _is_text(self) -> bool:
        if len(self.text.encode("utf-8", errors="replace")) > LARGEST_BYTES:
            self._report("E009", f"the text is larger than {LARGEST_BYTES} bytes", self.values[()])
        elif found := _CONFLICT.search(self.text):
            advice = "keep one side, and delete the lines that start with <<<<<<<, ======= and >>>>>>>"
            self._report("E004", "this file has unresolved merge conflicts", self._index(found.start(), 7), advice)
        elif found := _refused_character(self.text):
            self._report("E009", _character_text(found), self._index(found.start(), 1))
        return not self.problems

    def _inspect(self) -> bool:
        """Whether the text is one YAML document that is safe to compose."""
        depth = documents = values = 0
        safe = True
        try:
            for event in yaml.parse(self.text, Loader=yaml.BaseLoader):
                self.events.append(event)
                if isinstance(event, yaml.DocumentStartEvent):
                    documents += 1
                    if documents == 2:
                        message = "a recipe is one document; a second one starts here"
                        self._report("E006", message, self._start(event, 3))
                        return False
                elif isinstance(event, yaml.CollectionEndEvent):
                    depth -= 1
                elif isinstance(event, yaml.NodeEvent):
                    depth += isinstance(event, yaml.CollectionStartEvent)
                    if depth > DEEPEST:
                        self._report("E009", f"nested deeper than {DEEPEST} levels", self._start(event))
                        return False
                    values += 1
                    if values > MOST_VALUES:
                        self._report("E009", f"more than {MOST_VALUES} keys and values", self._start(event))
                        return False
                    safe = self._without_alias(event) and self._without_escapes(event) and safe
                    tag = getattr(event, "tag", None)
                    if tag is not None:
                        self.tagged.add(self._mark(event).index)
                        advice = "recipes are plain data; name Python code with 'python: file.py:object'"
                        written = tag.replace("tag:yaml.org,2002:", "!!")
                        self._report("E002", f"YAML tag '{written}' is not allowed", self._start(event), advice)
        except yaml.MarkedYAMLError as error:
            self._syntax(error)
            return False
        return safe

    def _without_alias(self, event: yaml.NodeEvent) -> bool:
        if event.anchor is None:
            return True
        if isinstance(event, yaml.AliasEvent):
            advice = (f"a value that starts with '*' must be quoted: \"*{event.anchor}\"",)
            self._report("E005", f"YAML alias '*{event.anchor}' is not allowed", self._start(event), *advice)
        else:
            advice = ("write the value out, or give it a name under 'vars' and use it as $NAME",)
            self._report("E005", f"YAML anchor '&{event.anchor}' is not allowed", self._start(event), *advice)
        return False

    def _without_escapes(self, event: yaml.NodeEvent) -> bool:
        """Whether no `"\\x1b"` stands for a character that could not be written as it is."""
        found = _refused_character(event.value) if isinstance(event, yaml.ScalarEvent) else None
        if found:
            self._report("E009", _character_text(found), self._start(event))
        return found is None

    def _syntax(self, error: yaml.MarkedYAMLError) -> None:
        problem = str(error.problem or error.context)
        mark = error.problem_mark or error.context_mark
        place = self._at(mark.line, mark.column) if mark else self.values[()]
        advice = []
        if str(error.context).startswith("while scanning an alias") and error.context_mark:
            place = self._at(error.context_mark.line, error.context_mark.column)
            word = re.match(r"[^\s,\]}]*", self.lines[error.context_mark.line][error.context_mark.column :])
            advice = [f"a value that starts with '*' must be quoted: \"{word.group() if word else '*'}\""]
        elif "'\\t'" in problem:
            advice = ["indent with spaces, not with tabs"]
        elif "'%'" in problem or "'@'" in problem or "'`'" in problem:
            advice = ["put the value in quotes"]
        self._report("E001", f"not valid YAML: {problem}", place, *advice)

    def _value(self, node: yaml.Node, path: KeyPath) -> Any:
        """The plain data of a node; what carries a tag is dropped, and so is all below it."""
        self.values[path] = self._span(node)
        if self._mark(node).index in self.tagged:
            self.broken.add(path)
            return None
        if isinstance(node, yaml.SequenceNode):
            return tuple(self._value(child, (*path, position)) for position, child in enumerate(node.value))
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, path)
        assert isinstance(node, yaml.ScalarNode)
        if node.value == "" and node.style is None and path in self.keys:
            self.values[path] = self.keys[path]  # `layers:` with nothing after it: the key is all there is to show
        return plain_scalar(node.value) if node.style is None else node.value

    def _mapping(self, node: yaml.MappingNode, path: KeyPath) -> dict[str, Any]:
        data: dict[str, Any] = {}
        for key_node, value_node in node.value:
            place = self._span(key_node)
            key = key_node.value
            if not isinstance(key_node, yaml.ScalarNode):
                self._report("E007", "a key must be plain text", place, path=path)
                self.broken.add(path)
                continue
            if key_node.style is None and not isinstance(plain_scalar(key), str):
                advice = f'write "{key}" in quotes' if key else "write the key before the colon"
                self._report("E007", f"a key must be text, not {shown(plain_scalar(key))}", place, advice, path=path)
                self.broken.add(path)
                continue
            child = (*path, key)
            if key in data:
                message = f"key '{key}' is given twice; YAML would silently keep one of them"
                self._report("E003", message, place, f"it stands first on line {self.keys[child].line}", path=child)
                continue
            self.keys[child] = place
            data[key] = self._value(value_node, child)
        return data

    def _report(self, code: str, message: str, place: Place, *advice: str, path: KeyPath = ()) -> None:
        self.problems.append(Problem(code, message, place, advice, path))

    def _at(self, line: int, column: int, width: int = 1) -> Place:
        source = self.lines[line] if line < len(self.lines) else ""
        return Place(self.file, line + 1, column + 1, source, width)

    def _index(self, index: int, width: int) -> Place:
        before = _LINE_BREAK.split(self.text[:index])
        return self._at(len(before) - 1, len(before[-1]), width)

    def _start(self, event: yaml.Event, width: int = 1) -> Place:
        mark = self._mark(event)
        return self._at(mark.line, mark.column, width)

    @staticmethod
    def _mark(part: yaml.Node | yaml.Event) -> Any:
        """Where a node or event starts: read from a text, each has a mark."""
        assert part.start_mark is not None
        return part.start_mark

    def _span(self, node: yaml.Node) -> Place:
        """From the first character of a scalar to its last on that line; one character for mappings and lists."""
        start, end = self._mark(node), node.end_mark
        width = 1
        if isinstance(node, yaml.ScalarNode) and end is not None:
            stop = end.column if end.line == start.line else len(self.lines[start.line])
            width = max(1, stop - start.column)
        return self._at(start.line, start.column, width)
