"""The three kinds of simulated user, and how many dialogs are made for each."""

from __future__ import annotations

import re

# In the order in which evaluation sets list them. The shares are those of the ProAssist paper.
USER_TYPES = ("no_talk", "talk_some", "talk_more")

_ENTRY = re.compile(r"([a-z_]+)@(\d+)")


def parse_user_types(text: str) -> tuple[str, ...]:
    """``no_talk@2,talk_some@1`` -> ``(no_talk, no_talk, talk_some)``: one entry a dialog, order kept.

    Raises ValueError for anything else, an unknown or repeated type, and a count of zero.
    """
    expanded: list[str] = []
    for entry in text.split(","):
        match = _ENTRY.fullmatch(entry.strip())
        if match is None or match[1] not in USER_TYPES or int(match[2]) == 0:
            raise ValueError(
                f"user_types is {text!r}; {entry.strip()!r} must be <type>@<count above 0> with a type of "
                f"{', '.join(USER_TYPES)}"
            )
        if match[1] in expanded:
            raise ValueError(f"user_types is {text!r}; {match[1]} occurs twice")
        expanded += [match[1]] * int(match[2])
    return tuple(expanded)
