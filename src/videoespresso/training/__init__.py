"""Teaching a user's own model from a dataset: two-stage LoRA fine-tuning (paper, section 3.3)."""
