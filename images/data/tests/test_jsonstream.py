"""Large JSON read element by element gives what json.load gives, with the right lines."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from trainyard_data.findings import BadData, Findings
from trainyard_data.formats import jsonstream
from trainyard_data.formats.jsonstream import element_at, elements
from trainyard_data.tree import listed

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(10**18), 10**18)
    | st.floats(allow_nan=False)
    | st.text(max_size=8)
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    max_leaves=12,
)


@given(
    found=st.dictionaries(st.text(max_size=6), VALUES, max_size=5),
    indent=st.sampled_from([None, 0, 2]),
    ascii=st.booleans(),
    chunk=st.integers(1, 40),
)
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_it_gives_what_json_gives(found, indent, ascii, chunk, tmp_path, monkeypatch):
    monkeypatch.setattr(jsonstream, "CHUNK", chunk)
    text = json.dumps(found, indent=indent, ensure_ascii=ascii).encode("utf-8", "surrogatepass")
    (tmp_path / "a.json").write_bytes(text)
    tree = listed(tmp_path, Findings())
    try:
        read = list(elements(tree, "a.json"))
    except BadData:
        # NB: a lone half of a pair is JSON's escape for what UTF-8 cannot say.
        assert b"\xed" in text
        return
    again: dict[str, object] = {}
    with tree.open("a.json") as file:
        for one in read:
            assert element_at(file, one.offset, one.length) == one.value
            assert text[: one.offset].count(b"\n") + 1 == one.line
            if one.index is None:
                again[one.key] = one.value
            else:
                assert one.index == len(again.setdefault(one.key, []))
                again[one.key].append(one.value)
    assert again == found


@given(data=st.binary(max_size=60), chunk=st.integers(1, 20))
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_is_no_json_is_told(data, chunk, tmp_path, monkeypatch):
    monkeypatch.setattr(jsonstream, "CHUNK", chunk)
    (tmp_path / "a.json").write_bytes(b'{"a": [' + data)
    with pytest.raises(BadData):
        list(elements(listed(tmp_path, Findings()), "a.json"))


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ('{"a": [1,\n2,\nx]}', 3, "This is not valid JSON: expecting value."),
        ('{"a": 1}\n\n{', 3, "This is not valid JSON: there is more after its end."),
        ('{"a": {"b": 1,\n\n"c" 2}}', 3, "This is not valid JSON: expecting ':' delimiter."),
        ('{"a": "b\n"}', 1, "This is not valid JSON: invalid control character at."),
        ("[1]", 1, "This is no JSON object: it must begin with '{'."),
        ('{"a": [1, 2', 1, "This is not valid JSON: ',' is missing here."),
    ],
)
def test_the_line_is_told(text, line, message, tmp_path: Path):
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(BadData) as raised:
        list(elements(listed(tmp_path, Findings()), "a.json"))
    assert (raised.value.finding.line, raised.value.finding.message) == (line, message)
