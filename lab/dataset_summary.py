"""Blocks of dataset mode's measurement -> summary.json and summary.md."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path

from lab import dataset_figures as figures
from lab.dataset_figures import Line
from lab.dataset_rows import (
    box_tallies,
    caption_rows,
    instant_rows,
    option_rows,
    pair_rows,
)
from videoespresso.agents.prompts import load
from videoespresso.dataset.inspect.blind_baselines import credits
from videoespresso.dataset.records_io import read_items, read_rejects
from videoespresso.dataset_record import DatasetItem, Reject
from videoespresso.evaluation.results import Json
from videoespresso.models.client.prices import image_tokens, price, text_tokens
from videoespresso.models.specs import ModelSpec
from videoespresso.statistics import Estimate
from videoespresso.theatre import make_story
from videoespresso.theatre.stories import Story
from videoespresso.theatre.style import StyleFamily
from videoespresso.theatre.truth import pair_truth

PRICED = ModelSpec("openai", "gpt-4o")
"""What the paper's roles were played by; its list price is applied to our token counts."""


@dataclass(frozen=True)
class Block:
    """A few films that were done. record: see dataset_scores; folder: their dataset."""

    record: Json
    folder: Path

    @cached_property
    def items(self) -> list[DatasetItem]:
        return list(read_items(self.folder))

    @cached_property
    def rejects(self) -> list[Reject]:
        return list(read_rejects(self.folder))


@dataclass
class Measured:
    """All rows of all films, each with its video's seed; and how many films had no pairs."""

    pairs: list[Json]
    captions: list[Json]
    instants: list[Json]
    boxes: list[Json]
    options: list[Json]
    items: list[tuple[int, DatasetItem]]
    verifier: list[Json]
    taught: list[Json]
    without: int


def measured(blocks: Sequence[Block], style: StyleFamily) -> Measured:
    """Holds every record and reject against its story."""
    rows = Measured([], [], [], [], [], [], [], [], 0)
    for block in blocks:
        for seed in block.record["seeds"]:
            story = make_story(seed, style)
            name = f"{style}-{seed}-"
            mine = [i for i in block.items if Path(i.video.path).name.startswith(name)]
            refused = [r for r in block.rejects if Path(r.video).name.startswith(name)]
            _add(rows, seed, story, mine, refused)
        rows.verifier += block.record["verifier"]
    rows.taught = [_taught(r, style) for r in rows.verifier if _is_own(r)]
    return rows


def _is_own(row: Json) -> bool:
    """A pair as the generator made it, from the story's own captions."""
    made = row["source"] in ("generator", "undecidable")
    return made and row["captions"] == "true" and row["how"] in ("", "false as generated")


def _taught(row: Json, style: StyleFamily) -> Json:
    truth = pair_truth(make_story(row["video"], style), row["question"], row["answer"])
    return {"video": row["video"], "truth": truth.verdict}


def _add(
    rows: Measured, seed: int, story: Story, items: list[DatasetItem], rejects: list[Reject]
) -> None:
    pairs = pair_rows(story, items, rejects)
    rows.without += not pairs
    rows.pairs += [{"video": seed, **r} for r in pairs]
    rows.captions += [{"video": seed, "exact": exact} for exact in caption_rows(story, items)]
    for item in items:
        rows.items.append((seed, item))
        rows.instants += [{"video": seed, **r} for r in instant_rows(story, item)]
        rows.boxes.append({"video": seed, **box_tallies(story, item)})
        rows.options += [{"video": seed, "truth": truth} for truth in option_rows(story, item)]


def lines_of(blocks: Sequence[Block], rows: Measured) -> list[Line]:
    """The whole table."""
    guessed: dict[str, list[Json]] = {}
    films = (seed for seed, item in rows.items if item.letter is not None)
    rated = credits(lambda: (item for _, item in rows.items))
    for seed, (_, credit) in zip(films, rated, strict=True):
        for name, got in credit.items():
            guessed.setdefault(name, []).append({"video": seed, "credit": got})
    fields = ("pairs", "taught", "captions", "instants", "options")
    shares = figures.shares({name: getattr(rows, name) for name in fields})
    letters = (str(item.letter) for _, item in rows.items)
    return [
        *shares,
        *figures.verifier_lines(rows.verifier),
        *figures.box_lines(rows.boxes),
        *figures.reject_lines(rows.pairs),
        *figures.option_lines(letters, guessed),
        *cost_lines(blocks, rows),
        *speed_lines(blocks),
    ]


# ---- cost and speed


def cost_lines(blocks: Sequence[Block], rows: Measured) -> list[Line]:
    """What a record took, everything rejected included; blocks are resampled. A price of gpt-4o is
    computed from our token counts, not measured."""
    records = [float(b.record["engine"]["records"]) for b in blocks]
    number = list(range(len(blocks)))
    true = [
        float(sum(r["fate"] == "record" and r["truth"] == "true" for r in _of(rows, b)))
        for b in blocks
    ]
    gpt = [_priced(b) for b in blocks]
    amounts = (
        ("model calls", "", [_sum(b, "calls") for b in blocks], ""),
        ("pictures sent", "", [_sum(b, "images") for b in blocks], ""),
        ("tokens read", "", [_sum(b, "input_tokens") for b in blocks], TOKENS),
        ("tokens written", "", [_sum(b, "output_tokens") for b in blocks], TOKENS),
        ("seconds", "s", [float(b.record["engine"]["seconds"]) for b in blocks], BUSY),
        ("US dollars", "usd", [_sum(b, "usd") for b in blocks], "everything runs on the machine"),
        ("US dollars at gpt-4o's prices", "usd", gpt, GPT),
    )
    section = "Cost of a record"
    lines = [
        Line(section, name, figures.ratio(values, records, number), unit, note, len(rows.items))
        for name, unit, values, note in amounts
    ]
    return [
        *lines,
        Line(
            section, "US dollars at gpt-4o's prices, of a true record",
            figures.ratio(gpt, true, number), "usd", GPT,
        ),
    ]  # fmt: skip


TOKENS = "the captioner's by the pack's own counter, the teacher's at four characters a token"
BUSY = "2 cores that others used too; only the ratio below is of the same moment"
GPT = "computed, not measured: text at four characters a token, pictures by OpenAI's tiles"


def _of(rows: Measured, block: Block) -> list[Json]:
    return [r for r in rows.pairs if r["video"] in block.record["seeds"]]


def _sum(block: Block, field: str) -> float:
    return float(sum(u[field] or 0 for u in block.record["engine"]["usage"].values()))


def _priced(block: Block) -> float:
    """Dollars for the same calls at gpt-4o's list price. The captioner's prompt and pictures are
    counted as OpenAI does, because the pack's 16 tokens a picture are nobody else's."""
    rate = price(PRICED)
    assert rate is not None, "it is in the price list"
    sizes = [(i.video.width or 0, i.video.height or 0) for i in block.items] or [(640, 360)]
    a_picture = sum(image_tokens(PRICED, *size) for size in sizes) / len(sizes)
    a_prompt = text_tokens([load("captioner").text])
    dollars = 0.0
    for role, usage in block.record["engine"]["usage"].items():
        read = float(usage["input_tokens"])
        if role == "captioner":
            read = usage["images"] * (a_picture + a_prompt)
        dollars += rate.usd(round(read), usage["output_tokens"])
    return dollars


def speed_lines(blocks: Sequence[Block]) -> list[Line]:
    """Records a minute of the engine and of the plain script on the same films with fresh caches,
    one after the other, in turns."""
    both = [b.record for b in blocks if "plain" in b.record]
    section = "Records a minute, embedded models"
    lines = []
    number = list(range(len(both)))
    for way in ("engine", "plain"):
        minutes = [r[way]["seconds"] / 60 for r in both]
        made = [float(r[way]["records"]) for r in both]
        name = "the engine" if way == "engine" else "the plain sequential script"
        lines.append(Line(section, name, figures.ratio(made, minutes, number), "a minute", BUSY))
    same = all(r.get("same_records") for r in both)
    note = f"{len(both)} blocks; both made {'the same' if same else 'DIFFERENT'} records"
    # equal records: the ratio of rates is the ratio of times
    slow = [float(r["plain"]["seconds"]) * r["engine"]["records"] for r in both]
    fast = [float(r["engine"]["seconds"]) * r["plain"]["records"] for r in both]
    lines.append(
        Line(section, "engine / plain script", figures.ratio(slow, fast, number), "x", note)
    )
    return lines


# ---- words


def write_summary(out: Path, blocks: Sequence[Block], about: Json) -> str:
    """Writes summary.json, summary.md, and pairs.jsonl with every pair's truth and the reason;
    returns summary.md. about: the settings, "style" among them."""
    rows = measured(blocks, about["style"])
    lines = lines_of(blocks, rows)
    about = {**about, "films_without_pairs": rows.without, **counts(blocks, rows)}
    record = {"figures": [asdict(line) for line in lines], "settings": about}
    text = markdown(lines, about)
    (out / "summary.json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    (out / "summary.md").write_text(text, encoding="utf-8")
    pairs = "".join(json.dumps(row) + "\n" for row in rows.pairs)
    (out / "pairs.jsonl").write_text(pairs, encoding="utf-8")
    return text


def counts(blocks: Sequence[Block], rows: Measured) -> Json:
    """How much there was."""
    return {
        "films": sum(len(b.record["seeds"]) for b in blocks),
        "seeds": [blocks[0].record["seeds"][0], blocks[-1].record["seeds"][-1]] if blocks else [],
        "pairs": len(rows.pairs),
        "records": len(rows.items),
        "videos_rejected": sum(not r.question for b in blocks for r in b.rejects),
        "failures": [f for b in blocks for f in b.record["engine"]["failures"]],
    }


def number(estimate: Estimate | None, unit: str) -> str:
    """A value with its interval, in its unit."""
    if estimate is None:
        return "nothing to measure"
    e = estimate
    if unit == "%":
        return e.text(unit="%")
    shown = e.text(scale=1.0, digits=4 if unit == "usd" else 2)
    return shown if unit in ("", "usd") else f"{shown} {unit}"


def markdown(lines: Sequence[Line], about: Json) -> str:
    """All lines by section, and a paragraph of settings."""
    text = []
    for section in dict.fromkeys(line.section for line in lines):
        text += [f"| {section} | measured (95 % interval) | n | |", "|---|---|---|---|"]
        for line in (x for x in lines if x.section == section):
            n = line.estimate.n if line.estimate else 0
            text.append(f"| {line.name} | {number(line.estimate, line.unit)} | {n} | {line.note} |")
        text.append("")
    return "\n".join(text) + "\n" + settings_text(about)


def settings_text(about: Json) -> str:
    """One paragraph: what the numbers depend on."""
    models = ", ".join(f"{role} {name}" for role, name in about["models"].items())
    prompts = hashlib.sha256(json.dumps(about["prompts"], sort_keys=True).encode()).hexdigest()
    sampling = ", ".join(f"{k} {v}" for k, v in about["sampling"].items())
    return (
        f"{about['films']} films of the theatre's {about['split']} split (style {about['style']}, "
        f"seeds {about['seeds'][0]} to {about['seeds'][-1]}), {about['pairs']} pairs, "
        f"{about['records']} records; {about['films_without_pairs']} films gave no pair, "
        f"{about['videos_rejected']} were rejected whole, {len(about['failures'])} stages failed. "
        f"Models: {models}. Sampling: {sampling}. Groups of {about['group']}, "
        f"seed {about['seed']}, prompts {prompts[:12]}, code {about['code']}. Intervals resample "
        f"whole videos (cost and speed: blocks of {about['blocks_of']} films); where every video "
        f"agrees, Wilson's over videos is given.\n"
    )
