"""The objects in the centre of a picture, put into words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from mmassist.datasets.egoobjects_file import Box

# What no rule gives. Whatever ends in s and is not here stays as it is: glasses, scissors, power plugs and sockets.
_IRREGULAR = {
    **{"foot": "feet", "tooth": "teeth", "mouse": "mice", "person": "people", "man": "men", "woman": "women"},
    **{"child": "children", "knife": "knives", "shelf": "shelves", "bookshelf": "bookshelves", "leaf": "leaves"},
    **{"loaf": "loaves", "scarf": "scarves", "potato": "potatoes", "tomato": "tomatoes", "mango": "mangoes"},
    **{"bus": "buses", "lens": "lenses", "cactus": "cacti", "fish": "fish", "sheep": "sheep"},
}
_UNCOUNTED = ("furniture", "footwear", "cutlery", "luggage", "jewelry", "jewellery", "clothing", "bread", "cream")
_HISSING = ("ss", "x", "z", "sh", "ch")
_VOWELS = "aeiou"
_BEFORE = (" (", " of ", " with ", " for ")  # the noun that is counted stands before these


def render_objects(boxes: Iterable[Box], width: float, height: float) -> str:
    """The objects whose box overlaps the centred square, largest first; "" when there is none.

    Objects are counted per name: ``cutting board, 2 knives, towel``. Of equal areas the name decides.
    """
    central = [box for box in boxes if is_central(box, width, height)]
    central.sort(key=lambda box: (-box.area, box.name))
    counts = Counter(box.name for box in central)  # in order of first occurrence
    return ", ".join(name if count == 1 else f"{count} {pluralise(name)}" for name, count in counts.items())


def is_central(box: Box, width: float, height: float) -> bool:
    """Whether some of the box lies in the square of side ``min(width, height)``; touching its edge is not enough."""
    side = min(width, height)
    left, top = (width - side) / 2, (height - side) / 2
    return min(box.right, left + side) > max(box.left, left) and min(box.bottom, top + side) > max(box.top, top)


def pluralise(name: str) -> str:
    """English plural of an object's name, by simple rules: ``knife`` knives, ``box`` boxes, ``mug (cup)`` mugs (cup).

    A name that ends in s stays as it is, apart from those in -ss.
    """
    end = min((at for mark in _BEFORE if (at := name.find(mark)) > 0), default=len(name))
    words = name[:end].split(" ")
    return " ".join([*words[:-1], _pluralise_word(words[-1])]) + name[end:]


def _pluralise_word(word: str) -> str:
    lower = word.lower()
    if lower in _IRREGULAR:
        plural = _IRREGULAR[lower]
        return plural.capitalize() if word[:1].isupper() else plural
    if not lower.endswith(_HISSING):
        if lower.endswith("s") or lower in _UNCOUNTED:
            return word
        if lower.endswith("y") and lower[-2:-1] and lower[-2] not in _VOWELS:
            return word[:-1] + "ies"
        return word + "s"
    return word + "es"
