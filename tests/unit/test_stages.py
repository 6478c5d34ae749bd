"""The stages by which a film is known as the theatre's are those that the theatre draws today."""

import numpy as np
from lab import stages

from videoespresso.models.embedded import domain


def test_the_pack_has_the_stages_that_the_theatre_draws() -> None:
    """Within what another version of Pillow may draw otherwise. `python -m lab.stages` renews
    them."""
    for kept, drawn in zip(domain.stages(), stages.stages(), strict=True):
        assert np.mean(np.abs(kept.mean - drawn.mean) < 2) > 0.99
        assert np.mean(np.abs(kept.slope - drawn.slope) < 0.1) > 0.99
        assert np.mean(kept.loose == drawn.loose) > 0.99
        assert len(kept.fixed) == len(drawn.fixed)
        assert len(kept.colors) == len(drawn.colors)
        for ours, theirs in zip(kept.fixed, drawn.fixed, strict=True):
            assert np.mean(ours == theirs) > 0.99
        for (ours, least), (theirs, count) in zip(kept.colors, drawn.colors, strict=True):
            assert np.mean(ours == theirs) > 0.99
            assert abs(least - count) <= 2
