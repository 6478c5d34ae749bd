"""Replies held to a JSON schema, token by token (llguidance), within their budget of tokens.

A mask alone makes no valid reply: a list or a string that goes on for ever is cut at the limit. So
schemas come with limits (`structured_output.bounded`), and when only as many tokens are left as the
rest of the form can take, open strings and lists are closed.
"""

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
from llguidance import LLMatcher, LLTokenizer
from numpy.typing import NDArray

from videoespresso.errors import ModelError
from videoespresso.models.client.structured_output import most_rest

Floats = NDArray[np.float32]
_OPTIONS = {"x-guidance": {"whitespace_flexible": False}}
_CLOSING = ("]", "}", '"', ",")
"""What ends something, most first; one token each in the vocabularies of byte-level models."""


class Vocabulary:
    """A model's tokens as llguidance reads them; made once a model (0.4 s for 49,000 tokens).

    tokenizer_json: the text of tokenizer.json. width: of the logits, which may be more than the
    tokenizer has. ends: ids that end a reply. Raises ModelError when they do not fit.
    """

    def __init__(self, tokenizer_json: str, width: int, ends: Sequence[int]) -> None:
        try:
            whole = json.loads(tokenizer_json)
            # a processor may add a token that the weights do not have (Idefics3's own end)
            added = [token for token in whole["added_tokens"] if token["id"] < width]
            text = json.dumps({**whole, "added_tokens": added})
            self.tokens = LLTokenizer(text, n_vocab=width, eos_token=list(ends))
        except Exception as error:  # ValueError, or what its Rust code panics with
            raise ModelError(
                f"the tokenizer cannot hold replies to a schema: {str(error)[:200]}",
                hint="Check that tokenizer.json belongs to the weights.",
            ) from error
        self.width, self.ends = width, tuple(ends)
        ids = whole["model"]["vocab"]
        pieces = ids.items() if isinstance(ids, dict) else ((t, i) for i, (t, _) in enumerate(ids))
        single = {text: number for text, number in pieces if text in _CLOSING}
        self.closing = [single[text] for text in _CLOSING if text in single]
        self.string_marks = [single[t] for t in ('"', "]", "}") if t in single]

    def guidance(self, schema: dict[str, Any], budget: int) -> "Guidance":
        """For one reply of at most `budget` tokens, the end included."""
        return Guidance(self, schema, budget)


class Guidance:
    """One reply on its way: which tokens may come next. Raises ModelError for a schema that
    llguidance does not take."""

    def __init__(self, vocabulary: Vocabulary, schema: dict[str, Any], budget: int) -> None:
        grammar = LLMatcher.grammar_from_json_schema(json.dumps({**schema, **_OPTIONS}))
        self._matcher = LLMatcher(vocabulary.tokens, grammar, log_level=0)
        if self._matcher.is_error():
            raise ModelError(
                f"replies cannot be held to the schema: {self._matcher.get_error()[:200]}",
                hint="Use plain types in the reply's model: objects, lists, strings, numbers.",
            )
        self._vocabulary, self._left = vocabulary, budget
        self._rest = most_rest(schema) + 1  # and the token that ends the reply
        self._free = False

    def masked(self, logits: Floats) -> Floats:
        """Logits (vocabulary,) of the next token; minus infinity where the form forbids it."""
        if self._free:
            return logits
        bits = np.frombuffer(self._matcher.compute_bitmask(), np.uint8)
        allowed = np.unpackbits(bits, bitorder="little")[: self._vocabulary.width].astype(bool)
        if self._left <= self._rest:
            allowed = self._closed(allowed)
        masked = np.where(allowed, logits, np.float32(-np.inf))
        # a generation's own settings may have forbidden all that the form allows
        return masked if np.isfinite(masked).any() else np.where(allowed, 0.0, masked)

    def _closed(self, allowed: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Of what is allowed, the token that brings the reply's end nearest, where one does."""
        ends = [end for end in self._vocabulary.ends if allowed[end]]
        marks = self._vocabulary.string_marks
        if len(marks) == 3 and allowed[marks].all():  # inside a string, where all three are letters
            ends += marks[:1]
        ends += [token for token in self._vocabulary.closing if allowed[token]]
        if not ends:
            return allowed
        one = np.zeros_like(allowed)
        one[ends[0]] = True
        return one

    def consume(self, token: int) -> None:
        """Takes the token that was said. One that the form forbids (the pack's guide writes options
        as they are) ends the guidance: the rest of the reply is free."""
        self._left -= 1
        if not self._free and not self._matcher.consume_token(token):
            self._free = True


class GuidedLogits:
    """A logits processor for transformers' `generate`: one guidance a row of the batch.

    vocabularies: those of the model by width, kept between calls; the width is known only when the
    first logits come.
    """

    def __init__(
        self,
        vocabularies: dict[int, Vocabulary],
        tokenizer_json: str,
        ends: Sequence[int],
        schema: dict[str, Any],
        budget: int,
    ) -> None:
        self._vocabularies, self._text, self._ends = vocabularies, tokenizer_json, ends
        self._schema, self._budget = schema, budget
        self._rows: list[Guidance] = []

    def __call__(self, input_ids: Any, scores: Any) -> Any:
        """Scores (rows, vocabulary) of the next token, masked; both are torch tensors."""
        if self._rows:
            for row, ids in zip(self._rows, input_ids, strict=True):
                row.consume(int(ids[-1]))
        else:
            rows, width = scores.shape
            if width not in self._vocabularies:
                self._vocabularies[width] = Vocabulary(self._text, width, self._ends)
            made = (
                self._vocabularies[width].guidance(self._schema, self._budget) for _ in range(rows)
            )
            self._rows = list(made)
        all_logits = scores.float().cpu().numpy()
        masked = [row.masked(logits) for row, logits in zip(self._rows, all_logits, strict=True)]
        return scores.new_tensor(np.stack(masked))
