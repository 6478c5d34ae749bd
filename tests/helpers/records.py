"""Records of a dataset for tests: seeded, sound, as different from each other as real ones."""

import hashlib
import io
import json
import random
from collections.abc import Iterable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

from PIL import Image

from videoespresso.dataset_record import (
    DatasetItem,
    EvidenceSentence,
    FrameBox,
    GroundedItem,
    GroupCaption,
    KeyFrame,
    Made,
    Reject,
    SourceVideo,
    Verification,
    item_id,
)
from videoespresso.tasks import TASKS
from videoespresso.types import Usage

THINGS = ("red car", "bus", "pan", "onion", "dog", "bench", "lamp", "woman", "boy", "suitcase")
DEEDS = ("waits for", "walks past", "looks at", "leaves", "picks up", "follows", "turns to")
PLACES = ("at the crossing", "in the kitchen", "on the stairs", "behind the door", "by the river")
ASKS = ("Why does", "What happens after", "How is it that", "Considering both scenes, when does")
HOSTILE = '<script>alert("x")</script><img src="https://evil.example/x.png" onerror=x>\x1b[2J'


def picture(seed: int, size: tuple[int, int] = (96, 54)) -> bytes:
    """A small JPEG that no other seed gives."""
    rng = random.Random(seed)
    shown = Image.new("RGB", size, tuple(rng.randrange(256) for _ in range(3)))
    shown.paste(tuple(rng.randrange(256) for _ in range(3)), (8, 8, 8 + seed % 60 + 1, 40))
    shown.putpixel((0, 0), (seed % 256, seed // 256 % 256, 0))
    buffer = io.BytesIO()
    shown.save(buffer, "PNG")
    return buffer.getvalue()


def video(seed: int, **changed: Any) -> SourceVideo:
    digest = hashlib.sha256(f"video {seed}".encode()).hexdigest()
    told: dict[str, Any] = {
        "path": f"{('street', 'home', 'films')[seed % 3]}/clip-{seed}.mp4",
        "id": digest,
        "duration_s": 60.0,
        "fps": Fraction(25),
        "width": 96,
        "height": 54,
    }
    return SourceVideo.model_validate(told | changed)


def item(seed: int, film: int | None = None, **changed: Any) -> DatasetItem:
    """A sound record, other than that of every other seed; film: the number of its video."""
    rng = random.Random(seed)
    source = changed.pop("video", None) or video(seed // 3 if film is None else film)
    one, other, *wrong = rng.sample(THINGS, 5)
    deed, place = rng.choice(DEEDS), rng.choice(PLACES)
    question = f"{rng.choice(ASKS)} the {one} number {seed} {deed} the {other} {place}?"
    answer = f"The {one} {deed} the {other} {place} since {seed} began."
    options = [answer, *(f"The {w} {deed} the {other} {place} since {seed} began." for w in wrong)]
    rng.shuffle(options)
    count = rng.choice((2, 2, 3, 3, 3, 4))
    instants = sorted(rng.sample(range(59), count))
    told: dict[str, Any] = {
        "video": source,
        "task": rng.choice(TASKS),
        "question": question,
        "answer": answer,
        "options": tuple(options),
        "letter": "ABCD"[options.index(answer)],
        "evidence": tuple(_sentence(rng, k, one) for k in range(count)),
        "core_frames": tuple(_frame(rng, source, t) for t in instants),
        "captions": tuple(
            GroupCaption(text=f"The {rng.choice(THINGS)} {place}.", time_s=float(t))
            for t in range(0, 60, 4)
        ),
        "group": seed % 2,
        "verification": Verification(accepted=True, reason="it holds"),
        "seed": 7,
        "made": {"generate": Made(model="openai:gpt-4o", prompt="ab" * 32)},
        "cost": {"verify": Usage(calls=1, input_tokens=900, output_tokens=40, usd=0.001)},
    }
    told |= changed
    told.setdefault("id", item_id(source.id or source.path, told["question"], told["answer"]))
    return DatasetItem.model_validate(told)


def _sentence(rng: random.Random, frame: int, thing: str) -> EvidenceSentence:
    x, y = rng.random() / 2, rng.random() / 2
    box = FrameBox(xyxy=(x, y, x + 0.3, y + 0.4), frame=frame, score=0.5 + rng.random() / 2)
    items = (GroundedItem(name=thing, boxes=(box,)), GroundedItem(name="shadow"))
    return EvidenceSentence(text=f"The {thing} is seen here.", frame=frame, items=items)


def _frame(rng: random.Random, source: SourceVideo, time_s: int) -> KeyFrame:
    data = picture(_number(source, time_s))
    sha = hashlib.sha256(data).hexdigest()
    return KeyFrame(
        image=f"frames/{sha}.png", frame_id=f"{source.id[:12]}@{time_s * 1000}",
        rule="fps=1 static", time_s=float(time_s), index=time_s * 25, sha=sha, width=96, height=54,
        caption=f"At {time_s} s.", score=0.7 + rng.random() / 4,
    )  # fmt: skip


def _number(source: SourceVideo, time_s: int) -> int:
    return int(hashlib.sha256(f"{source.id} {time_s}".encode()).hexdigest()[:6], 16)


def reject(seed: int) -> Reject:
    rng = random.Random(seed)
    stage, criterion = rng.choice(
        (("verify", "hallucination"), ("verify", "one frame"), ("probe", "unreadable video"))
    )
    return Reject(video=f"clip-{seed}.mp4", stage=stage, criterion=criterion, reason="so it is")


def dataset(
    folder: Path,
    items: Iterable[DatasetItem],
    rejects: Sequence[Reject] = (),
    manifest: dict[str, Any] | None = None,
) -> Path:
    """A dataset's folder with these records and the images they name."""
    (folder / "frames").mkdir(parents=True, exist_ok=True)
    with (folder / "records.jsonl").open("wb") as lines:
        for made in items:
            lines.write(json.dumps(made.model_dump(mode="json")).encode() + b"\n")
            for frame in made.core_frames:
                file = folder / frame.image
                if frame.time_s is not None and frame.image and not file.exists():
                    file.write_bytes(picture(_number(made.video, round(frame.time_s))))
    with (folder / "rejects.jsonl").open("wb") as lines:
        lines.writelines(json.dumps(r.model_dump(mode="json")).encode() + b"\n" for r in rejects)
    (folder / "dataset.json").write_text(json.dumps(manifest or {"schema_version": 1}))
    return folder
