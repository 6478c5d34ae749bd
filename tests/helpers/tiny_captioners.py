"""Tiny, untrained captioners without a chat template, and a LoRA adapter, as saved on a hub."""

from pathlib import Path

import torch
import transformers as hf
from tests.helpers.tiny_models import TEXT, VISION, keep, tokenizer


def paligemma(folder: Path) -> Path:
    """PaliGemma: SigLIP before a Gemma, asked with "caption en"."""
    torch.manual_seed(0)
    tok = tokenizer(["<pad>", "<eos>", "<bos>"], "<pad>", "<eos>", bos_token="<bos>")
    images = hf.SiglipImageProcessor(size={"height": 56, "width": 56})
    images.image_seq_length = 16
    processor = hf.PaliGemmaProcessor(images, tok)
    config = hf.PaliGemmaConfig(
        vision_config={**VISION, "model_type": "siglip_vision_model", "image_size": 56,
                       "patch_size": 14, "vision_use_head": False, "projection_dim": 32},
        text_config={**TEXT, "model_type": "gemma", "vocab_size": len(tok), "head_dim": 8},
        image_token_index=processor.image_token_id,
        projection_dim=32,
        hidden_size=32,
        vocab_size=len(tok),
    )  # fmt: skip
    return keep(hf.PaliGemmaForConditionalGeneration(config), processor, folder)


def florence(folder: Path) -> Path:
    """Florence-2: DaViT before a BART, asked with a task's name."""
    torch.manual_seed(0)
    tok = tokenizer(["<s>", "<pad>", "</s>", "<unk>", "<image>"], "<pad>", "</s>", bos_token="<s>",
                    unk_token="<unk>", extra_special_tokens={"image_token": "<image>"})  # fmt: skip
    sizes = {"height": 64, "width": 64}
    images = hf.CLIPImageProcessor(size=sizes, crop_size=sizes, do_center_crop=False)
    images.image_seq_length = 5  # 2 x 2 places and their mean
    processor = hf.Florence2Processor(images, tok)
    config = hf.Florence2Config(
        vision_config={"depths": (1, 1, 1, 1), "embed_dim": (8, 8, 16, 32),
                       "num_heads": (2, 2, 2, 2), "num_groups": (2, 2, 2, 2), "window_size": 4,
                       "projection_dim": 32, "max_position_embeddings": 10},
        text_config={"model_type": "bart", "vocab_size": len(tok), "d_model": 32,
                     "encoder_layers": 1, "decoder_layers": 1, "encoder_attention_heads": 2,
                     "decoder_attention_heads": 2, "encoder_ffn_dim": 48, "decoder_ffn_dim": 48,
                     "pad_token_id": tok.pad_token_id, "bos_token_id": tok.bos_token_id,
                     "eos_token_id": tok.eos_token_id,
                     "decoder_start_token_id": tok.eos_token_id, "forced_eos_token_id": None},
        image_token_id=tok.convert_tokens_to_ids("<image>"),
    )  # fmt: skip
    return keep(hf.Florence2ForConditionalGeneration(config), processor, folder)


def blip(folder: Path) -> Path:
    """BLIP: captions what it is shown, unasked."""
    torch.manual_seed(0)
    tok = tokenizer(["[PAD]", "[SEP]", "[CLS]"], "[PAD]", "[SEP]", bos_token="[CLS]")
    images = hf.BlipImageProcessor(size={"height": 56, "width": 56})
    text = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 1,
            "num_attention_heads": 2, "encoder_hidden_size": 32, "vocab_size": len(tok),
            "bos_token_id": tok.bos_token_id, "eos_token_id": tok.eos_token_id,
            "sep_token_id": tok.eos_token_id, "pad_token_id": tok.pad_token_id}  # fmt: skip
    config = hf.BlipConfig(
        text_config=text, vision_config={**VISION, "image_size": 56, "patch_size": 14}
    )
    processor = hf.BlipProcessor(images, tok)
    return keep(hf.BlipForConditionalGeneration(config), processor, folder)


CAPTIONERS = {"paligemma": paligemma, "florence2": florence, "blip": blip}


def adapter(base: Path, folder: Path) -> Path:
    """A LoRA adapter on the attention of a saved model; its weights are noise, and not nought."""
    from peft import LoraConfig, get_peft_model  # noqa: PLC0415 - an extra

    torch.manual_seed(1)
    model = hf.AutoModelForImageTextToText.from_pretrained(base, dtype="float32")
    config = LoraConfig(r=4, lora_alpha=64, target_modules=["q_proj", "v_proj"],
                        init_lora_weights=False)  # fmt: skip
    get_peft_model(model, config).save_pretrained(folder)
    return folder
