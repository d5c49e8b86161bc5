"""Files of strangers: whatever they hold, they are read as they are or refused in words."""

from __future__ import annotations

import io
import json
import struct
import tracemalloc
import zipfile
from contextlib import suppress

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from evolution.experiment_file import (
    BrokenExperimentFile,
    EvaluationRow,
    GenerationRow,
    IndividualRow,
    Limits,
    RuleRow,
    RunRow,
    fitness_from_json,
    fitness_to_json,
    layout,
    open_experiment_file,
)
from tests.evolution.experiment_files import (
    Members,
    members_of,
    raw_texts,
    raw_zip,
    small_members,
    written,
)

ROW_TYPES = {
    layout.RUNS: RunRow,
    layout.RULES: RuleRow,
    layout.EVALUATIONS: EvaluationRow,
    layout.GENERATIONS: GenerationRow,
    layout.INDIVIDUALS: IndividualRow,
}
FILE = written(small_members())


def read(content: bytes, limits: Limits | None = None) -> Members:
    """Read everything that a file holds."""
    with open_experiment_file(io.BytesIO(content), limits) as source:
        return {
            name: [row.model_dump(mode="json") for row in source.rows(name, row_type)]
            for name, row_type in ROW_TYPES.items()
        }


def problem(content: bytes, limits: Limits | None = None) -> str:
    """Return why a file is refused."""
    with pytest.raises(BrokenExperimentFile) as caught:
        read(content, limits)
    return str(caught.value)


def redigested(texts: dict[str, bytes]) -> bytes:
    """Return a file with these members, whose manifest has their digests."""
    import hashlib

    manifest = json.loads(texts[layout.MANIFEST])
    for name, described in manifest["members"].items():
        described["sha256"] = hashlib.sha256(texts[name]).hexdigest()
    return raw_zip({**texts, layout.MANIFEST: json.dumps(manifest).encode()})


# --- what is written is read --------------------------------------------------------------------


def test_a_file_is_read_as_it_was_written() -> None:
    found = read(FILE)
    expected = members_of(FILE)
    moment = expected[layout.RUNS][0]["started_at"].replace("+00:00", "Z")
    for name in (layout.RULES, layout.EVALUATIONS, layout.INDIVIDUALS):
        assert found[name] == expected[name]
    assert found[layout.RUNS][0] == {
        **expected[layout.RUNS][0],
        "started_at": moment,
        "finished_at": moment,
    }


def test_the_digest_is_that_of_the_data_and_not_of_the_moment() -> None:
    def digest(content: bytes) -> str:
        with open_experiment_file(io.BytesIO(content)) as source:
            return source.digest

    manifest = json.loads(raw_texts(FILE)[layout.MANIFEST])
    later = {**manifest, "created_at": "2027-01-01T00:00:00Z"}
    texts = {**raw_texts(FILE), layout.MANIFEST: json.dumps(later).encode()}
    assert digest(raw_zip(texts)) == digest(FILE)
    members = small_members()
    members[layout.CONFIGURATION]["notes"] = "changed"
    assert digest(written(members)) != digest(FILE)


@settings(max_examples=300, deadline=None)
@given(value=st.floats(allow_nan=False, allow_infinity=False))
def test_every_number_comes_back_bit_for_bit(value: float) -> None:
    line = json.dumps(
        {"rule": 0, "trials": [value], "reason": "", "detail": "", "simulated_s": 0.0}
    )
    (found,) = EvaluationRow.model_validate_json(line).trials
    assert struct.pack("<d", found) == struct.pack("<d", value)
    assert fitness_from_json(fitness_to_json(value)) == value


def test_minus_infinity_is_named() -> None:
    assert fitness_to_json(None) == "-Infinity"
    assert fitness_from_json("-Infinity") is None


# --- hostile archives ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    ["../../etc/passwd", "/etc/cron.d/x", "..\\x", "a/b.json", "x" * 60],
    ids=["up", "absolute", "backslash", "folder", "long"],
)
def test_members_have_names_of_the_list_and_no_paths(name: str, tmp_path) -> None:
    texts = raw_texts(FILE)
    texts.pop(layout.README)
    texts[name] = b"x"
    assert "may be no member" in problem(raw_zip(texts))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_member_is_there_once() -> None:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for name, text in raw_texts(FILE).items():
            archive.writestr(layout.RULES if name == layout.README else name, text)
    assert problem(content.getvalue()) == f"The member {layout.RULES} is there twice."


def test_no_member_is_missing_and_none_too_many() -> None:
    texts = raw_texts(FILE)
    assert "has 9" in problem(raw_zip({**texts, "more.json": b"{}"}))
    texts.pop(layout.RULES)
    assert "has 7" in problem(raw_zip(texts))


def test_a_directory_of_a_million_members_is_not_read() -> None:
    end = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 65535, 65535, 10**7, 0, 0)
    assert "has 65535" in problem(b"\0" * 100 + end)
    locator = struct.pack("<4sLQL", b"PK\x06\x07", 0, 0, 1)
    end = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 8, 8, 400, 0, 0)
    assert "larger than an experiment file" in problem(b"\0" * 100 + locator + end)


@pytest.mark.parametrize("name", [layout.INDIVIDUALS, layout.MANIFEST, layout.CONFIGURATION])
def test_a_bomb_is_refused_without_being_unpacked(name: str) -> None:
    bomb = raw_zip({**raw_texts(FILE), name: b" " * (64 * 2**20)})
    assert len(bomb) < 2**18
    tracemalloc.start()
    try:
        text = problem(bomb)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert "it was not unpacked" in text
    assert peak < 2**20


def test_a_bomb_that_lies_about_its_size_is_broken() -> None:
    texts = {**raw_texts(FILE), layout.INDIVIDUALS: b" " * (64 * 2**20)}
    content = bytearray(raw_zip(texts))
    # The directory at the end says that it is small.
    place = content.rindex(layout.INDIVIDUALS.encode()) - 46
    content[place + 24 : place + 28] = struct.pack("<L", 100)
    assert "individuals.jsonl" in problem(bytes(content))


def test_all_members_together_have_a_limit() -> None:
    assert "more than the 1000 that are permitted" in problem(FILE, Limits(unpacked_bytes=1000))
    assert "larger than 0 MiB" in problem(FILE, Limits(file_bytes=1000))


def test_rows_and_lines_have_limits() -> None:
    assert "individuals.jsonl has more than 3 lines" in problem(FILE, Limits(n_individuals=3))
    assert "longer than 50 bytes" in problem(FILE, Limits(line_bytes=50))


def test_encrypted_members_and_other_packings_are_refused() -> None:
    assert "unusual way" in problem(raw_zip(raw_texts(FILE), zipfile.ZIP_LZMA))
    content = bytearray(FILE)
    place = content.rindex(layout.RULES.encode()) - 46
    content[place + 8] |= 1
    assert f"{layout.RULES} is encrypted" in problem(bytes(content))


def test_a_newer_format_is_named() -> None:
    texts = raw_texts(FILE)
    manifest = json.loads(texts[layout.MANIFEST])
    newer = {**texts, layout.MANIFEST: json.dumps({**manifest, "version": 2}).encode()}
    assert "has version 2 of the format" in problem(raw_zip(newer))
    other = {**texts, layout.MANIFEST: json.dumps({**manifest, "format": "x"}).encode()}
    assert problem(raw_zip(other)).startswith("manifest.json: format:")


def test_a_changed_member_is_named() -> None:
    texts = raw_texts(FILE)
    texts[layout.RULES] = texts[layout.RULES].replace(b"u*s", b"v*s")
    assert problem(raw_zip(texts)).startswith(f"{layout.RULES} was changed or damaged")


@pytest.mark.parametrize(
    ("line", "text"),
    [
        (b"[" * 100_000 + b"]" * 100_000, "recursion"),
        (b'{"rule": ' + b"[" * 5000 + b"]" * 5000 + b"}", "recursion"),
        (b'{"rule": 0, "key": "a", "expressions": ["v"], "complexity": 1, "x": 1}', "x: "),
        (b'{"rule": "0", "key": "a", "expressions": ["v"], "complexity": 1}', "rule: "),
        (b'{"rule": 0.5, "key": "a", "expressions": ["v"], "complexity": 1}', "rule: "),
        (b'{"rule": 99999999999999999999, "key": "a", "expressions": ["v"], "complexity": 1}',
         "rule: "),
        (b'{"rule": 0, "key": "a\\u0000", "expressions": ["v"], "complexity": 1}', "zero"),
        (b'{"rule": 0, "key": "\\ud800", "expressions": ["v"], "complexity": 1}', "rules.jsonl"),
        (b'{"rule": 0, "key": "\xff", "expressions": ["v"], "complexity": 1}', "rules.jsonl"),
        (b'{"rule": 0, "key": "a", "expressions": [], "complexity": 1}', "expressions: "),
        (b'{"rule": NaN, "key": "a", "expressions": ["v"], "complexity": 1}', "rules.jsonl"),
        (b"null", "rules.jsonl"),
        (b"", "rules.jsonl"),
        (b"{", "rules.jsonl"),
    ],
    ids=["deep", "deep value", "unknown name", "text", "fraction", "huge", "zero character",
         "half a character", "no UTF-8", "no rule", "NaN", "null", "empty", "cut off"],
)  # fmt: skip
def test_a_line_that_is_not_as_it_should_be_is_named(line: bytes, text: str) -> None:
    texts = raw_texts(FILE)
    first = texts[layout.RULES].splitlines(keepends=True)[0]
    content = redigested({**texts, layout.RULES: first + line + b"\n"})
    # Hundred times the same compresses too well: here only the line is asked for.
    message = problem(content, Limits(ratio=1e9))
    assert message.startswith(f"{layout.RULES}, line 2: ")
    assert text in message


@pytest.mark.parametrize("value", ["Infinity", "NaN", "1e999", '"-inf"', "null", '"1"', "true"])
def test_a_fitness_is_a_number_or_minus_infinity(value: str) -> None:
    texts = raw_texts(FILE)
    changed = texts[layout.INDIVIDUALS].replace(b'"fitness":-0.1', b'"fitness":' + value.encode())
    message = problem(redigested({**texts, layout.INDIVIDUALS: changed}))
    assert message.startswith(f"{layout.INDIVIDUALS}, line 4: ")


# --- damage -------------------------------------------------------------------------------------


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_damaged_bytes_change_nothing_unnoticed(data: st.DataObject) -> None:
    content = bytearray(FILE)
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    with suppress(BrokenExperimentFile):
        # Some bytes nobody reads, such as the time of a member.
        assert read(bytes(content)) == read(FILE)


@settings(max_examples=100, deadline=None)
@given(length=st.integers(0, len(FILE) - 1))
def test_a_truncated_file_is_broken(length: int) -> None:
    assert problem(FILE[:length])


@settings(max_examples=200, deadline=None)
@given(content=st.binary(max_size=300))
def test_anything_else_is_no_experiment_file(content: bytes) -> None:
    assert problem(content)
