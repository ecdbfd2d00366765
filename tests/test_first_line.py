"""What is quoted of another library's error: one line of words."""

import pytest

from condensa_core.errors import first_line


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("no kernel for Swirl\nstack ...", "no kernel for Swirl"),
        ("\n\n   indented\n", "indented"),
        ("\x1b[96m[torch.onnx]\x1b[0m Convert \x1b[1;31mfailed\x1b[K", "[torch.onnx] Convert failed"),
        ("\x1b[2J\x1b[H\nafter a cleared screen", "after a cleared screen"),  # a line of codes alone has no words
        ("a [31m that no escape precedes", "a [31m that no escape precedes"),
        ("", "ValueError"),
        (" \n \x1b[0m", "ValueError"),
    ],
)
def test_the_first_line_with_words_is_quoted_without_terminal_codes(text, line):
    assert first_line(ValueError(text)) == line
