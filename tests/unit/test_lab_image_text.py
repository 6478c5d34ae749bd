"""The theatre's image-text model: what it is trained to tell apart, and what comes out of it."""

import random
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from videoespresso.models.weights import pulled_spec
from videoespresso.settings import Settings

pytestmark = pytest.mark.extras


def test_frames_of_other_stories_that_show_the_same_are_not_told_from_a_question() -> None:
    scorer = pytest.importorskip("lab.image_text_data")
    nothing = np.zeros((3, 16, 8), np.float16)
    first = ["room: vase stands; man stands", "room: vase breaks; man stands", "room: man is sad"]
    second = ["park, sun: dog sits", "room: vase breaks; girl stands", "park, sun: dog runs"]
    some = [
        scorer.Seen(nothing, first, [("Why does the vase break?", [1])]),
        scorer.Seen(nothing, second, []),
    ]
    batch = scorer.batch_of(some, random.Random(0))
    at = dict(zip(batch.texts, range(len(batch.texts)), strict=True))
    question, clause = at["Why does the vase break?"], at["the vase breaks"]
    assert batch.true[question].tolist() == [False, True, False, False, False, False]
    assert batch.other[question].tolist() == [True, False, True, True, False, True]
    assert batch.true[clause].tolist() == [False, True, False, False, True, False]


@pytest.mark.filterwarnings("ignore")  # torch warns of the exporter that the lab uses
def test_the_export_is_read_where_pulled_models_are(tmp_path: Path) -> None:
    scorer = pytest.importorskip("lab.image_text_scorer")
    torch = pytest.importorskip("torch")
    from videoespresso.models.image_text import image_text  # noqa: PLC0415 - after the skips

    run = scorer.Run(scorer.Recipe())
    scorer.export(run.model.eval(), tmp_path)
    spec = pulled_spec(Settings(models_dir=tmp_path / "models"), "clip")
    assert spec is not None
    model, texts = image_text(spec), ["the dog runs", "Why is the man in blue sad?", "street, rain"]
    ids = scorer.tokenizer().encode_batch(texts)
    with torch.no_grad():
        own = run.model.texts(
            torch.tensor([one.ids for one in ids]),
            torch.tensor([one.attention_mask for one in ids]),
        )
    own = torch.nn.functional.normalize(own, dim=-1).numpy()
    assert np.allclose(model.texts(texts), own, atol=2e-3)
    assert model.images([Image.new("RGB", (320, 180), "red")] * 3).shape == (3, own.shape[1])
