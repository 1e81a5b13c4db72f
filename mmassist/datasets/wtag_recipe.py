"""WTaG's three recipes: which one a recording follows, and its text.

The publisher ships the texts as ``assets/recipe_*.txt`` (MIT). The fallback below only keeps the order of the main
actions, for installations without those files.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Recipe:
    """``keywords`` are words that the recipe's own steps use and the two others do not."""

    file: str
    goal: str
    title: str
    keywords: tuple[str, ...]
    steps: tuple[str, ...]


RECIPES = (
    Recipe(
        "recipe_coffee.txt",
        "Make pour-over coffee",
        "Pour-over Coffee",
        ("coffee", "kettle", "filter", "dripper", "grind", "beans", "bloom", "pour-over"),
        (
            "Fill the kettle with the measured cold water and heat it.",
            "Set the dripper on the mug.",
            "Fold the paper filter into a cone and place it in the dripper.",
            "Weigh the beans, grind them coarsely and put them into the filter.",
            "Check the temperature of the boiled water.",
            "Wet the grounds with a little water and wait for the bloom.",
            "Pour in the remaining water slowly, moving in circles.",
            "Wait until all has drained, then take the dripper off.",
        ),
    ),
    Recipe(
        "recipe_pinwheel.txt",
        "Make pinwheels",
        "Pinwheels",
        ("tortilla", "pinwheel", "floss", "jelly", "jam", "nut butter", "peanut butter"),
        (
            "Lay the tortilla on the cutting board.",
            "Spread nut butter on it, leaving the rim free.",
            "Wipe the knife.",
            "Spread jelly over the nut butter.",
            "Wipe the knife again.",
            "Roll the tortilla up tightly.",
            "Hold the roll together with five toothpicks.",
            "Trim both ends with the knife.",
            "Slide floss under the roll, midway between two toothpicks.",
            "Cross the ends of the floss above the roll and pull to cut it.",
            "Cut the rest in the same way into five pieces.",
            "Arrange the pieces on a plate.",
        ),
    ),
    Recipe(
        "recipe_cake.txt",
        "Make a mug cake",
        "Mug Cake",
        ("cake", "batter", "flour", "frosting", "whisk", "microwave", "vanilla", "baking powder", "liner"),
        (
            "Put the paper liner into the mug.",
            "Mix flour, sugar, baking powder and salt in the bowl.",
            "Whisk the dry ingredients.",
            "Add oil, water and vanilla.",
            "Whisk until the batter is smooth.",
            "Pour the batter into the mug.",
            "Cook it in the microwave for a minute.",
            "Test with a toothpick, and cook a little longer if it comes out wet.",
            "Turn the cake out onto a plate, let it cool and remove the liner.",
            "Meanwhile fill a zip-top bag with frosting.",
            "Cut a small hole into one corner of the bag.",
            "Squeeze dots of frosting around the cake.",
        ),
    ),
)


def choose_recipe(step_texts: Iterable[str], said_texts: Iterable[str]) -> tuple[Recipe, bool]:
    """The recipe with most of its keywords in the step names, then in what was said; and whether there was any.

    A "coffee mug" is a tool of the mug cake, not coffee. Without any keyword the last recipe counts, as in the
    reference.
    """
    names = _searchable(step_texts)
    for text in (names, names + " " + _searchable(said_texts)):
        counts = [sum(word in text for word in recipe.keywords) for recipe in RECIPES]
        if max(counts) > 0 and counts.count(max(counts)) == 1:
            return RECIPES[counts.index(max(counts))], True
    return RECIPES[-1], False


def choose_recipe_compat(texts: Iterable[str]) -> Recipe:
    """The reference: "coffee" anywhere, else "tortilla" anywhere, else the mug cake."""
    text = " ".join(texts).lower()
    coffee, pinwheel, cake = RECIPES
    return coffee if "coffee" in text else pinwheel if "tortilla" in text else cake


def load_knowledge(recipe: Recipe, texts: Iterable[str]) -> tuple[str, bool]:
    """Title and numbered steps, from the first of the publisher's texts that has steps, else from this module.

    The second value says whether it is the publisher's.
    """
    for text in texts:
        title, steps = _read_recipe(text)
        if steps:
            return _number(title or recipe.title, steps), True
    return _number(recipe.title, recipe.steps), False


def _read_recipe(text: str) -> tuple[str, list[str]]:
    """Title (first line) and steps: numbered lines with what wraps onto the next, ``⁄`` (U+2044) as a plain slash."""
    lines = [line.strip() for line in text.replace("\u2044", "/").splitlines() if line.strip()]
    steps: list[str] = []
    for line in lines[1:]:
        number = re.match(r"(\d+)\.\s+(.*)", line)
        if number and int(number[1]) == len(steps) + 1:
            steps.append(number[2])
        elif steps:
            steps[-1] += line if steps[-1].endswith("-") else f" {line}"
    return (lines[0] if lines else ""), steps


def _number(title: str, steps: Iterable[str]) -> str:
    return "\n".join([title, *(f"{position}. {step}" for position, step in enumerate(steps, 1))])


def _searchable(texts: Iterable[str]) -> str:
    return " ".join(texts).lower().replace("coffee mug", "mug")
