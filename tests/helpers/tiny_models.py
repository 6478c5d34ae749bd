"""Tiny, untrained models of the families people use, each with its own configuration, processor and
chat template: what they say is noise, what surrounds them is what surrounds the real ones.

Sizes are the smallest at which every part (tiles, merges, projectors) still does its work.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

WORDS = ["a red car stops at the light", "the dog waits in the park", "You are the captioner."]

CHATML = (
    "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' }}"
    "{% if m['content'] is string %}{{ m['content'] }}{% else %}{% for c in m['content'] %}"
    "{% if c['type'] == 'image' %}{{ IMAGE }}"
    "{% elif c['type'] == 'text' %}{{ c['text'] }}{% endif %}{% endfor %}{% endif %}"
    "{{ '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
"""The form of Qwen2's template, which Qwen2.5-VL, InternVL3 and the LLaVAs on Qwen2 share."""

SMOL = (
    "<|im_start|>{% for m in messages %}{{ m['role'] | capitalize }}"
    "{% if m['content'][0]['type'] == 'image' %}{{ ':' }}{% else %}{{ ': ' }}{% endif %}"
    "{% for c in m['content'] %}{% if c['type'] == 'text' %}{{ c['text'] }}"
    "{% elif c['type'] == 'image' %}{{ '<image>' }}{% endif %}{% endfor %}"
    "<end_of_utterance>\n{% endfor %}{% if add_generation_prompt %}{{ 'Assistant:' }}{% endif %}"
)
"""SmolVLM's and Idefics3's template."""

LOUDER = 6.0

TEXT = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 4096,
}
VISION = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
}


def tokenizer(special: list[str], pad: str, end: str, **more: Any) -> Any:
    """A byte-level tokenizer of a few hundred entries, as these families have one of 150,000."""
    import tokenizers  # noqa: PLC0415 - the tests of the core do without
    from transformers import PreTrainedTokenizerFast  # noqa: PLC0415 - an extra

    learned = tokenizers.Tokenizer(tokenizers.models.BPE())
    learned.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    learned.decoder = tokenizers.decoders.ByteLevel()
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=320,
        special_tokens=[],
        initial_alphabet=tokenizers.pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    learned.train_from_iterator(WORDS, trainer)
    learned.add_special_tokens(special)
    return PreTrainedTokenizerFast(
        tokenizer_object=learned, pad_token=pad, eos_token=end, padding_side="left", **more
    )


def keep(model: Any, processor: Any, folder: Path) -> Path:
    """Saved as on a hub; a model without sense may still only say letters."""
    import torch  # noqa: PLC0415 - an extra

    tok = processor.tokenizer
    with torch.no_grad():  # as it is made it says the same of every picture
        for weights in model.parameters():
            if weights.dim() > 1:
                weights.mul_(LOUDER)
    model.generation_config.suppress_tokens = [
        token
        for token in range(model.config.get_text_config().vocab_size)
        if not (token < len(tok) and tok.decode([token]).strip().isascii()
                and tok.decode([token]).strip().isalpha())
    ]  # fmt: skip
    model.generation_config.eos_token_id = tok.eos_token_id
    model.generation_config.pad_token_id = tok.pad_token_id
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


def _smol_tokenizer() -> Any:
    tiles = [f"<row_{r}_col_{c}>" for r in range(1, 7) for c in range(1, 7)]
    special = ["<|im_start|>", "<end_of_utterance>", "<image>", "<fake_token_around_image>"]
    special += ["<global-img>", *tiles]
    return tokenizer(special, "<|im_start|>", "<end_of_utterance>")


def _smol_config(tok: Any) -> dict[str, Any]:
    return {
        "vision_config": {**VISION, "image_size": 64, "patch_size": 16},
        "text_config": {**TEXT, "model_type": "llama", "vocab_size": len(tok)},
        "scale_factor": 2,
        "image_token_id": tok.convert_tokens_to_ids("<image>"),
    }


SMOL_SIZES = {"size": {"longest_edge": 128}, "max_image_size": {"longest_edge": 64}}


def smolvlm(folder: Path) -> Path:
    """SmolVLM, which is an Idefics3: SigLIP, pixel shuffle, a Llama; large pictures are tiled."""
    import torch  # noqa: PLC0415 - an extra
    import transformers as hf  # noqa: PLC0415 - an extra

    torch.manual_seed(0)
    tok = _smol_tokenizer()
    images = hf.Idefics3ImageProcessor(**SMOL_SIZES)
    processor = hf.Idefics3Processor(images, tok, image_seq_len=4, chat_template=SMOL)
    config = hf.Idefics3Config(**_smol_config(tok))
    return keep(hf.Idefics3ForConditionalGeneration(config), processor, folder)


def smolvlm2(folder: Path) -> Path:
    """SmolVLM2: the same with a processor of its own, which wants the package num2words."""
    import torch  # noqa: PLC0415 - an extra
    import transformers as hf  # noqa: PLC0415 - an extra

    torch.manual_seed(0)
    tok = _smol_tokenizer()
    images = hf.SmolVLMImageProcessor(**SMOL_SIZES)
    videos = hf.SmolVLMVideoProcessor(**SMOL_SIZES)
    processor = hf.SmolVLMProcessor(images, tok, videos, image_seq_len=4, chat_template=SMOL)
    config = hf.SmolVLMConfig(**_smol_config(tok))
    return keep(hf.SmolVLMForConditionalGeneration(config), processor, folder)


def qwen(folder: Path) -> Path:
    """Qwen2.5-VL: windowed attention, any size of picture, rotary positions in three axes."""
    import torch  # noqa: PLC0415 - an extra
    import transformers as hf  # noqa: PLC0415 - an extra

    torch.manual_seed(0)
    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|vision_start|>", "<|vision_end|>",
               "<|image_pad|>", "<|video_pad|>"]  # fmt: skip
    tok = tokenizer(special, "<|endoftext|>", "<|im_end|>")
    ids = {name: tok.convert_tokens_to_ids(f"<|{name}|>") for name in
           ("vision_start", "vision_end", "image_pad", "video_pad")}  # fmt: skip
    config = hf.Qwen2_5_VLConfig(
        text_config={
            **TEXT,
            "vocab_size": len(tok),
            "bos_token_id": tok.pad_token_id,
            "eos_token_id": tok.eos_token_id,
            "rope_scaling": {"type": "mrope", "mrope_section": [1, 1, 2]},
        },
        vision_config={
            "depth": 2,
            "hidden_size": 32,
            "intermediate_size": 48,
            "num_heads": 2,
            "out_hidden_size": 32,
            "window_size": 56,
            "fullatt_block_indexes": [1],
        },
        image_token_id=ids["image_pad"],
        video_token_id=ids["video_pad"],
        vision_start_token_id=ids["vision_start"],
        vision_end_token_id=ids["vision_end"],
    )
    images = hf.Qwen2VLImageProcessor(min_pixels=28 * 28, max_pixels=64 * 28 * 28)
    template = CHATML.replace("IMAGE", "'<|vision_start|><|image_pad|><|vision_end|>'")
    processor = hf.Qwen2_5_VLProcessor(
        images, tok, hf.Qwen2VLVideoProcessor(), chat_template=template
    )
    return keep(hf.Qwen2_5_VLForConditionalGeneration(config), processor, folder)


def internvl(folder: Path) -> Path:
    """InternVL3: tiles of one size with an overview, pixel shuffle, a Qwen2."""
    import torch  # noqa: PLC0415 - an extra
    import transformers as hf  # noqa: PLC0415 - an extra

    torch.manual_seed(0)
    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<img>", "</img>", "<IMG_CONTEXT>",
               "<video>"]  # fmt: skip
    named = {
        "start_image_token": "<img>",
        "end_image_token": "</img>",
        "context_image_token": "<IMG_CONTEXT>",
        "video_token": "<video>",
    }
    tok = tokenizer(special, "<|endoftext|>", "<|im_end|>", extra_special_tokens=named)
    config = hf.InternVLConfig(
        vision_config={**VISION, "image_size": [56, 56], "patch_size": [14, 14]},
        text_config={**TEXT, "model_type": "qwen2", "vocab_size": len(tok)},
        image_token_id=tok.convert_tokens_to_ids("<IMG_CONTEXT>"),
        image_seq_length=4,
    )
    images = hf.GotOcr2ImageProcessor(
        size={"height": 56, "width": 56}, crop_to_patches=True, min_patches=1, max_patches=4
    )
    videos = hf.InternVLVideoProcessor(size={"height": 56, "width": 56})
    template = CHATML.replace("IMAGE", "'<IMG_CONTEXT>\n'")
    processor = hf.InternVLProcessor(
        images, tok, videos, image_seq_length=4, chat_template=template
    )
    return keep(hf.InternVLForConditionalGeneration(config), processor, folder)


def onevision(folder: Path) -> Path:
    """LLaVA-OneVision: any resolution from a list of grids, SigLIP, a Qwen2."""
    import torch  # noqa: PLC0415 - an extra
    import transformers as hf  # noqa: PLC0415 - an extra

    torch.manual_seed(0)
    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<image>", "<video>"]
    tok = tokenizer(special, "<|endoftext|>", "<|im_end|>")
    grids = [[56, 56], [56, 112], [112, 56], [112, 112]]
    config = hf.LlavaOnevisionConfig(
        vision_config={**VISION, "model_type": "siglip_vision_model", "image_size": 56,
                       "patch_size": 14, "vision_use_head": False},
        text_config={**TEXT, "model_type": "qwen2", "vocab_size": len(tok)},
        image_token_id=tok.convert_tokens_to_ids("<image>"),
        video_token_id=tok.convert_tokens_to_ids("<video>"),
        image_grid_pinpoints=grids,
        vision_feature_layer=-1,
        vision_feature_select_strategy="full",
    )  # fmt: skip
    images = hf.LlavaOnevisionImageProcessor(
        size={"height": 56, "width": 56}, image_grid_pinpoints=grids
    )
    videos = hf.LlavaOnevisionVideoProcessor(size={"height": 56, "width": 56})
    processor = hf.LlavaOnevisionProcessor(
        images, tok, videos,
        num_image_tokens=16, vision_feature_select_strategy="full",
        chat_template=CHATML.replace("IMAGE", "'<image>\n'"),
    )  # fmt: skip
    return keep(hf.LlavaOnevisionForConditionalGeneration(config), processor, folder)


def interleave(folder: Path) -> Path:
    """LLaVA-Interleave: a plain LLaVA with SigLIP and a Qwen2, taught on several pictures."""
    import torch  # noqa: PLC0415 - an extra
    import transformers as hf  # noqa: PLC0415 - an extra

    torch.manual_seed(0)
    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<image>"]
    tok = tokenizer(special, "<|endoftext|>", "<|im_end|>")
    config = hf.LlavaConfig(
        vision_config={**VISION, "model_type": "siglip_vision_model", "image_size": 56,
                       "patch_size": 14, "vision_use_head": False},
        text_config={**TEXT, "model_type": "qwen2", "vocab_size": len(tok)},
        image_token_id=tok.convert_tokens_to_ids("<image>"),
        image_seq_length=16,
        vision_feature_layer=-1,
        vision_feature_select_strategy="full",
    )  # fmt: skip
    images = hf.SiglipImageProcessor(size={"height": 56, "width": 56})
    processor = hf.LlavaProcessor(
        images, tok, patch_size=14, vision_feature_select_strategy="full",
        num_additional_image_tokens=0, chat_template=CHATML.replace("IMAGE", "'<image>'"),
    )  # fmt: skip
    return keep(hf.LlavaForConditionalGeneration(config), processor, folder)


FAMILIES: dict[str, Callable[[Path], Path]] = {
    "smolvlm": smolvlm,
    "smolvlm2": smolvlm2,
    "qwen2.5-vl": qwen,
    "internvl": internvl,
    "llava-onevision": onevision,
    "llava-interleave": interleave,
}


HEARD = " hello"
"""All that the tiny Whisper ever says."""


def whisper(folder: Path) -> Path:
    """A Whisper in the form that faster-whisper reads, converted from transformers' own.

    Its decoder gives one word the highest score whatever it hears: the marks of time, the end and
    the fallbacks are the decoding's, which is what is tested.
    """
    import tokenizers  # noqa: PLC0415 - the tests of the core do without
    import torch  # noqa: PLC0415 - an extra
    import transformers as hf  # noqa: PLC0415 - an extra
    from ctranslate2.converters import TransformersConverter  # noqa: PLC0415 - an extra

    names = ["endoftext", "startoftranscript", "translate", "transcribe", "startoflm",
             "startofprev", "nospeech", "notimestamps"]  # fmt: skip
    special = [f"<|{name}|>" for name in names]
    learned = tokenizers.Tokenizer(tokenizers.models.BPE())
    learned.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    learned.decoder = tokenizers.decoders.ByteLevel()
    alphabet = tokenizers.pre_tokenizers.ByteLevel.alphabet()
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=280, initial_alphabet=alphabet, show_progress=False
    )
    learned.train_from_iterator([HEARD * 9], trainer)
    learned.add_special_tokens(special)
    learned.add_special_tokens([f"<|{k * 0.02:.2f}|>" for k in range(1501)])
    end, start = learned.token_to_id(special[0]), learned.token_to_id(special[1])
    tok = hf.PreTrainedTokenizerFast(
        tokenizer_object=learned, bos_token=special[0], eos_token=special[0], unk_token=special[0]
    )
    torch.manual_seed(0)
    config = hf.WhisperConfig(
        vocab_size=len(tok), num_mel_bins=80, d_model=64, encoder_layers=1, decoder_layers=1,
        encoder_attention_heads=2, decoder_attention_heads=2, encoder_ffn_dim=64,
        decoder_ffn_dim=64, decoder_start_token_id=start, bos_token_id=end, eos_token_id=end,
        pad_token_id=end, suppress_tokens=None, begin_suppress_tokens=None,
    )  # fmt: skip
    model = hf.WhisperForConditionalGeneration(config)
    with torch.no_grad():
        last = model.model.decoder.layer_norm
        last.weight.zero_()
        last.bias.fill_(1.0)
        model.model.decoder.embed_tokens.weight[learned.token_to_id(f"Ġ{HEARD.strip()}")] = 1.0
    model.generation_config.suppress_tokens = []
    model.generation_config.begin_suppress_tokens = []
    model.generation_config.alignment_heads = [[0, 0]]
    source = folder / "transformers"
    model.save_pretrained(source)
    tok.save_pretrained(source)
    hf.WhisperFeatureExtractor().save_pretrained(source)
    files = ["tokenizer.json", "preprocessor_config.json"]
    converted = TransformersConverter(str(source), copy_files=files).convert(str(folder / "ct2"))
    return Path(converted)
