"""Our records as Parquet for Hugging Face `datasets`, images inside or by path.

A row is a record; what has no fixed shape (made, cost, extra, verification) is JSON in a text
column. The schema carries the features, so that `load_dataset("parquet", …)` gives pictures.
"""

import json
from collections.abc import Iterable, Sequence
from typing import IO, TYPE_CHECKING, Any, NamedTuple

from videoespresso.dataset.formats.conversion_report import Unusable
from videoespresso.dataset_record import DatasetItem
from videoespresso.errors import UserError

if TYPE_CHECKING:
    import pyarrow

BATCH = 64
"""Rows written at a time: images of some 60 kB, three a row, keep this near 12 MB."""
AS_JSON = ("verification", "made", "cost", "extra")


class Picture(NamedTuple):
    """A core frame's picture. data: the file's content, None where `path` is to be opened."""

    data: bytes | None
    path: str


def write(rows: Iterable[dict[str, Any]], target: IO[bytes]) -> None:
    """Writes rows as Parquet. Raises UserError where pyarrow is not installed."""
    pa = needed()
    import pyarrow.parquet  # noqa: PLC0415 - an extra

    schema = _schema(pa)
    with pyarrow.parquet.ParquetWriter(target, schema) as writer:
        batch: list[dict[str, Any]] = []
        for row in rows:
            batch.append(row)
            if len(batch) == BATCH:
                writer.write_table(pa.Table.from_pylist(batch, schema=schema))
                batch = []
        if batch:
            writer.write_table(pa.Table.from_pylist(batch, schema=schema))


def needed() -> Any:
    """pyarrow. Raises UserError where it is not installed."""
    try:
        import pyarrow  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise UserError(
            "Parquet needs pyarrow", hint='Install it: pip install "videoespresso[data]".'
        ) from error
    return pyarrow


def row(item: DatasetItem, pictures: Sequence[Picture | None]) -> dict[str, Any]:
    """A record as a row. pictures: those of its core frames, None for one that names no image.

    Raises Unusable for half surrogates, which Parquet has no place for.
    """
    columns = item.model_dump(mode="json")
    try:
        json.dumps(columns, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        raise Unusable("text that UTF-8 cannot hold", error.reason) from error
    for name in AS_JSON:
        columns[name] = json.dumps(columns[name], ensure_ascii=True)
    for frame, picture in zip(columns["core_frames"], pictures, strict=True):
        frame["image"] = picture and {"bytes": picture.data, "path": picture.path}
    return columns


def _schema(pa: Any) -> "pyarrow.Schema":
    """The columns, and in "huggingface" what `datasets` is to make of them."""
    text, number, whole = pa.string(), pa.float64(), pa.int64()
    picture = pa.struct([("bytes", pa.binary()), ("path", text)])
    box = pa.struct(
        [("xyxy", pa.list_(number)), ("frame", whole), ("score", number), ("label", text)]
    )
    named = pa.struct([("name", text), ("at", whole), ("boxes", pa.list_(box))])
    sentence = pa.struct([("text", text), ("frame", whole), ("items", pa.list_(named))])
    frame = pa.struct(
        [
            ("image", picture), ("frame_id", text), ("time_s", number), ("index", whole),
            ("rule", text), ("sha", text), ("width", whole), ("height", whole),
            ("caption", text), ("captioned", text), ("score", number),
            ("boxes", pa.list_(box)),
        ]
    )  # fmt: skip
    video = pa.struct(
        [
            ("path", text), ("id", text), ("duration_s", number), ("fps", text),
            ("width", whole), ("height", whole),
        ]
    )  # fmt: skip
    caption = pa.struct([("text", text), ("frame_id", text), ("time_s", number)])
    schema = pa.schema(
        [
            ("schema_version", whole), ("id", text), ("video", video), ("task", text),
            ("question", text), ("answer", text), ("options", pa.list_(text)), ("letter", text),
            ("evidence", pa.list_(sentence)), ("core_frames", pa.list_(frame)),
            ("captions", pa.list_(caption)), ("group", whole), ("seed", whole),
            *((name, text) for name in AS_JSON),
        ]
    )  # fmt: skip
    features = {field.name: _feature(field.type, picture) for field in schema}
    info = json.dumps({"info": {"features": features}})
    return schema.with_metadata({"huggingface": info})


def _feature(kind: Any, picture: Any) -> Any:
    """A column's type as `datasets` writes it down."""
    import pyarrow as pa  # noqa: PLC0415 - an extra

    if kind == picture:
        return {"_type": "Image"}
    if pa.types.is_struct(kind):
        return {field.name: _feature(field.type, picture) for field in kind}
    if pa.types.is_list(kind):
        return {"feature": _feature(kind.value_type, picture), "_type": "List"}
    names = {pa.string(): "string", pa.int64(): "int64", pa.float64(): "float64"}
    return {"dtype": names[kind], "_type": "Value"}
