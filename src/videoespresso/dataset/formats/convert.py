"""From any form to any other: one pass, and one before it where the boxes' scale is not known."""

from dataclasses import replace
from pathlib import Path
from typing import Literal

from videoespresso.dataset.formats import reading, writing
from videoespresso.dataset.formats.conversion_report import Converted, Report
from videoespresso.dataset.formats.released_boxes import Scale
from videoespresso.dataset.formats.timestamps import Timestamps
from videoespresso.dataset.records_io import records_file, refuse_own
from videoespresso.errors import UserError


def convert(
    source: str | Path,
    out: str | Path,
    *,
    form: Literal["auto"] | reading.Form = "auto",
    to: writing.Target = "ours",
    scale: Scale | None = None,
    choices: writing.Choices | None = None,
) -> Converted:
    """Reads `source` in its form and writes it as `to` below or at `out`.

    scale: of the boxes that are read; None finds it out from all of them. Records that cannot be
    read or written are left out and counted; for "ours" they are in rejects.jsonl. A record of a
    younger schema of ours is not left out but refused.
    Raises UserError for a source that is no such file, for files that exist or that are the
    source's own, and where no record is left. Then nothing is written.
    """
    place, report, chosen = Path(source), Report(), choices or writing.Choices()
    if not place.exists():
        raise UserError(f"{place}: no such file", hint="Check the path.")
    known = reading.detect(place) if form == "auto" else form
    if known == "ours":
        if to == "ours":
            raise UserError(f"{place} is ours already", hint="Give a --to other than ours.")
        file = records_file(place)
        chosen = replace(chosen, images=chosen.images or file.parent, local=True)
        records = reading.own(place, report)
    else:
        if scale is None:
            scale = reading.scale_of(place)
        records = reading.released(place, scale, Timestamps(chosen.videos), report)
    job = writing.Job(records, Path(out), to, chosen, report)
    for file in job.targets:
        refuse_own(place, file)
    writing.write(job)
    return Converted(
        source=str(source),
        form=known,
        to=to,
        files=tuple(map(str, job.targets)),
        read=report.read,
        written=report.written,
        boxes=report.boxes,
        scale=scale,
        variants=dict(report.variants),
        changed=dict(+report.changed),
        left_out=report.left_out,
        longest=report.longest,
    )
