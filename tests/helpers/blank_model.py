"""A transformers model with nothing in it, for tests of what surrounds a model."""

from pathlib import Path


def blank_hf_model(folder: Path) -> Path:
    """An untrained model of the pack's architecture and format: words out, no sense in them."""
    import torch  # noqa: PLC0415 - an extra

    from videoespresso.training.pack import shape  # noqa: PLC0415 - imports torch

    tokenizer = shape.learn(["a red car stops at the light", "the dog waits in the park"])
    shape.save(tokenizer, folder)
    tokens = {
        name: tokenizer.token_to_id(token)
        for name, token in (
            ("pad", shape.PAD),
            ("end", shape.END),
            ("image", shape.IMAGE),
        )
    }
    torch.manual_seed(0)
    small = shape.Shape(vision_width=32, vision_layers=1, width=48, layers=1, inner=64)
    model = shape.build_model(small, tokens)
    # untrained, it would say special tokens and halves of letters: leave it words
    model.generation_config.suppress_tokens = [
        token
        for token in range(shape.VOCABULARY)
        if not tokenizer.decode([token]).strip().isalpha()
    ]
    model.save_pretrained(folder)
    return folder
