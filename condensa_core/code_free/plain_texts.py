"""What may stand in a torch.export program that is loaded: names, arithmetic over sizes, and operators of torch.

torch 2.13 makes Python code of what a program calls its inputs and of its guards, imports what its input structures
name, evaluates its expressions, and looks operators up by any name under `torch`. So every text is held against what
torch writes there itself.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, Final

_HIGHER_ORDER: Final = (
    "associative_scan|auto_functionalized|auto_functionalized_v2|cond|flex_attention|invoke_subgraph|map_impl|scan"
    "|strict_mode|tag_activation_checkpoint|while_loop|wrap_activation_checkpoint|wrap_with_autocast"
    "|wrap_with_set_grad_enabled"
)
# Others compile, import or talk to a network. Of aten, `from_file` maps any file for writing, `save` writes one, and
# `set_`, `set_data` and constructors of sparse tensors that check nothing reach memory beyond a tensor's own.
_OPERATOR: Final = re.compile(
    r"torch\.ops\.(?:"
    r"aten\.(?!from_file\b|save\b|set_\b|set_data\b|_sparse_\w*unsafe\b)"
    r"(?:(?!__)\w+|__i?(?:and|or|xor|lshift|rshift)__)(?:\.(?!__)\w+)?"
    r"|(?:prims|torchvision|quantized_decomposed)\.(?!__)\w+(?:\.(?!__)\w+)?"
    rf"|higher_order\.(?:{_HIGHER_ORDER}))"
    r"|torch\._?sym_\w+|math\.[a-z]\w*|_operator\.(?!attrgetter|methodcaller|call\b|itemgetter|_)\w+"
)
_SYMBOLS: Final = re.compile(r"Symbol\('\w+'(?:, \w+=(?:True|False))*\)|Float\('[\d.e+-]+', precision=\d+\)")
_OF_INPUTS: Final = re.compile(
    r"L(?:\[(?:'[\w.+\-:@/<>= (),%|&*~^$#;!?]*'|\d+)\])+(?:\.(?:size|stride)\(\)\[\d+\])?|math\.inf\b"
)
_WORD: Final = re.compile(r"[A-Za-z_]\w*")
# Names in what is left: sizes by torch's naming, and functions; Python's own are in small letters, and `S` evaluates.
_SIZE: Final = re.compile(r"[a-z]{1,4}\d+|True|False|oo|zoo|and|or|not")
_FUNCTION: Final = frozenset({
    "Max", "Min", "Mod", "PythonMod", "FloorDiv", "CleanDiv", "CeilDiv", "ModularIndexing", "Where", "Integer", "Float",
    "Eq", "Ne", "Lt", "Le", "Gt", "Ge", "And", "Or", "Not", "Abs", "Pow", "PowByNatural", "FloatPow", "FloatTrueDiv",
    "IntTrueDiv", "ToFloat", "TruncToInt", "FloorToInt", "CeilToInt", "RoundToInt", "RoundDecimal", "Identity",
    "LShift", "RShift", "Piecewise", "Rational", "floor", "ceiling", "sqrt", "Add", "Mul", "Equality", "Unequality",
    "LessThan", "GreaterThan", "StrictLessThan", "StrictGreaterThan", "TruncToFloat",
})  # fmt: skip
_IDENTIFIER: Final = re.compile(r"\w*")
_PLAIN: Final = re.compile(r"[\w.+\-:@/<>= (),%|&*~^$#;!?]*")
_NAMES: Final = frozenset({"name", "as_name", "forward_arg_names", "input_names", "output_names", "user_input_name"})
_STRUCTURES: Final = frozenset({"in_spec", "out_spec"})
_IMPORTING: Final = frozenset({"__enum__", "default_factory_module", "default_factory_name"})
_NOTES: Final = "metadata"  # where a node was traced from: shown, never run
_FREE: Final = frozenset({_NOTES, "as_string", "as_strings"})  # the others are texts given to operators


def first_foreign_text(content: bytes) -> str | None:
    """The first text of a program in JSON that torch would not have written there, or None.

    ValueError (also as JSONDecodeError, UnicodeDecodeError) or RecursionError if it is no JSON.
    """
    return next((text for key, text in _texts(json.loads(content)) if not is_plain(key, text)), None)


def is_plain(key: str, text: str) -> bool:
    """Whether a text may stand under a key; keys are held against the key ""."""
    if key in ("target", "as_operator"):
        return bool(_OPERATOR.fullmatch(text) or _IDENTIFIER.fullmatch(text))
    if key == "expr_str":
        return is_arithmetic(text)
    if key == "guards_code":
        return is_arithmetic(_OF_INPUTS.sub("0", text).replace("math.isnan(", "Not("))
    if key in _STRUCTURES:
        return _is_structure(text)
    if key in _FREE:
        return True
    return bool((_IDENTIFIER if key in _NAMES else _PLAIN).fullmatch(text))


def is_arithmetic(text: str) -> bool:
    """Whether an expression is made of sizes, numbers and known functions."""
    rest = _SYMBOLS.sub("0", text)
    if not re.fullmatch(r"[\w\s+\-*/%(),<>=!&|~.]*", rest) or re.search(r"\.\s*[A-Za-z_]|[A-Za-z_)]\s*\.", rest):
        return False
    return all(_SIZE.fullmatch(word) or word in _FUNCTION for word in _WORD.findall(rest))


def _is_structure(text: str) -> bool:
    """Whether the JSON of a structure of inputs, whose contexts are JSON again, has plain texts and imports nothing."""
    waiting = [text]
    while waiting:
        try:
            tree = json.loads(waiting.pop())
        except ValueError:
            return False
        for key, found in _texts(tree):
            if found in _IMPORTING:
                return False
            if key == "context":
                waiting.append(found)
            elif not _PLAIN.fullmatch(found):
                return False
    return True


def _texts(tree: Any) -> Iterator[tuple[str, str]]:
    """Every text in JSON values with its key, and every key with ""; those in lists have the list's.

    What lies in notes counts as being under their key, at any depth.
    """
    waiting: list[tuple[str, Any]] = [("", tree)]
    while waiting:
        key, value = waiting.pop()
        if isinstance(value, str):
            yield key, value
        elif isinstance(value, dict):
            for name, item in value.items():
                yield key if key == _NOTES else "", name
                waiting.append((key if key == _NOTES else name, item))
        elif isinstance(value, list):
            waiting += ((key, item) for item in value)
