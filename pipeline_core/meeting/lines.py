"""Break a subtitle's text into lines: as few and as even as they can be, at punctuation where that costs nothing."""

import unicodedata
from functools import cache


@cache
def _columns(character: str) -> int:
    if unicodedata.combining(character) or unicodedata.category(character) in ("Cf", "Mn", "Me"):
        return 0
    return 2 if unicodedata.east_asian_width(character) in ("W", "F") else 1


def width(text: str) -> int:
    """Columns that a text takes: two for each character of East Asian scripts, none for combining marks."""
    return sum(map(_columns, text))


def chop(text: str, columns: int) -> list[str]:
    """A text without spaces in pieces of at most ``columns`` columns; mostly one."""
    pieces, piece, taken = [], "", 0
    for character in text:
        taken += _columns(character)
        if taken > columns:
            pieces.append(piece)
            piece, taken = "", _columns(character)
        piece += character
    return [*pieces, piece]


def break_lines(words: list[str], columns: int, lines: int) -> list[str] | None:
    """Words as at most ``lines`` lines of at most ``columns`` columns; None if they don't fit.

    Args:
        words: With the spaces that stand before them, if any.
        columns: Greatest width of a line.
        lines: Greatest number of lines; 1 or 2.
    """
    whole = "".join(words).strip()
    if width(whole) <= columns:
        return [whole]
    if lines == 1:
        return None
    best: tuple[float, list[str]] | None = None
    for cut in range(1, len(words)):
        upper, lower = "".join(words[:cut]).strip(), "".join(words[cut:]).strip()
        above, below = width(upper), width(lower)
        if above > columns or below > columns or not upper or not lower:
            continue
        # A longer lower line hides less of the picture, and a clause should not be torn.
        cost = abs(below - above) + (4 if above > below else 0) - (8 if upper[-1] in ",.;:!?、。，！？" else 0)
        if best is None or cost < best[0]:
            best = (cost, [upper, lower])
    return None if best is None else best[1]
