"""Messages as every version of the protocol sent them load for ever; the schemas describe them."""

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from stead.protocol.codec import TYPES, RawAck, decode, encode
from stead.protocol.messages import Ack
from stead.protocol.version import HISTORY, PROTOCOL

ROOT = Path(__file__).parents[3]
GOLDEN = ROOT / "tests" / "golden"
SCHEMA = jsonschema.Draft202012Validator(json.loads((ROOT / "protocol" / "messages.schema.json").read_text()))
SAMPLES = [
    pytest.param(path, form, id=f"{path.parent.name}-{path.stem}-{form}")
    for path in sorted(GOLDEN.glob("*/*.json"))
    for form in json.loads(path.read_text())
]


def sample(path: Path, form: str) -> dict[str, Any]:
    return dict(json.loads(path.read_text())[form])


@pytest.mark.parametrize("path,form", SAMPLES)
def test_every_message_of_every_version_loads_and_says_the_same(path: Path, form: str) -> None:
    golden = sample(path, form)
    message = decode(json.dumps(golden))
    assert message.__struct_config__.tag == path.stem
    if isinstance(message, RawAck):
        message = Ack(
            request_id=message.request_id, ok=message.ok, result=json.loads(bytes(message.result)), error=message.error
        )
    again = json.loads(encode(message))
    expected = {key: value for key, value in golden.items() if key not in {"added_later", "schema_version"}}
    assert {key: again.get(key, expected[key]) for key in expected} == expected
    assert set(again) - set(expected) <= {"params", "schema_version"}


@pytest.mark.parametrize("path,form", SAMPLES)
def test_the_published_schema_describes_them(path: Path, form: str) -> None:
    SCHEMA.validate(sample(path, form))


def test_every_version_has_its_files_and_this_one_has_all_messages() -> None:
    assert {path.name for path in GOLDEN.iterdir() if path.is_dir()} == {str(entry) for entry in HISTORY}
    assert {path.stem for path in (GOLDEN / PROTOCOL).glob("*.json")} == TYPES
