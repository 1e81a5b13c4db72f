"""The published reference outputs, and an invented recording."""

from __future__ import annotations

import pytest

from mmassist.core.annotation import Annotation, Step, Substep


@pytest.fixture
def tea() -> Annotation:
    """Five steps; the third goes wrong, the second holds speech."""
    speech = (
        Substep(13.0, "is that  enough?", role="user"),
        Substep(14.0, "yes that is plenty", role="assistant"),
    )
    wrong = (Substep(24.0, "grab salt", 26.0, note="wrong jar"),)
    return Annotation(
        dataset="kitchen",
        key="tea-1",
        domain="cooking",
        knowledge_type="cooking recipe",
        goal="make tea",
        steps=(
            Step(2.04, 9.0, "fill kettle"),
            Step(10.0, 18.0, "boil water", substeps=speech),
            Step(20.0, 28.0, "add sugar", substeps=wrong),
            Step(30.0, 36.0, "stir", note="mistake: wrong order"),
            Step(40.0, 50.0, "serve"),
        ),
        duration_s=60.0,
        ann_ratio=0.7,
        summary="Somebody makes\ntea.",
    )
