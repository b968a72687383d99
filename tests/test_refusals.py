"""What is never read, run or written, whoever asks for it."""

import json
import lzma
import pickle
import shutil
import zipfile
from itertools import pairwise

import pytest
import torch

from bench import spec, suite
from bench.checkpoint import Checkpoint
from bench.kept import built_on
from bench.pretrained import pretrained
from bench.record import LARGEST, Cell, Record
from bench.store import Store
from bench.weights import config, find
from reports.interchange.foreign import import_peft, imported
from tasks import sources, task, triples

CELL = Cell("head", "sst2", "tiny", "adamw", 0, "hub")
DEEP = 100_000
LAUGHS = """<?xml version="1.0"?>
<!DOCTYPE lolz [<!ENTITY a "ha">{}]>
<benchmark><entries><entry eid="1"><modifiedtripleset><mtriple>&z; | b | c</mtriple>
</modifiedtripleset><lex comment="good">text</lex></entry></entries></benchmark>
"""


class Planted:
    """What runs where it is unpickled."""

    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return (exec, (f"open({str(self.mark)!r}, 'w').close()",))


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.safetensors"])
def test_pickle_is_not_read_under_any_name(tiny_folder, tmp_path, name):
    from transformers import AutoModel

    folder = shutil.copytree(tiny_folder, tmp_path / "model")
    (folder / "model.safetensors").unlink()
    (folder / name).write_bytes(pickle.dumps(Planted(tmp_path / "mark")))
    with pytest.raises(ValueError, match=r"^no safetensors weights for model 'model@[^\n]*$"):
        pretrained(find(str(folder)), AutoModel, {}, "eager")
    assert not (tmp_path / "mark").exists()


@pytest.mark.parametrize("kind", ["pickle", "torch", "bomb", "other"])
def test_state_that_is_no_plain_tensors_is_none(tmp_path, kind):
    path = tmp_path / "state.pt"
    if kind == "pickle":
        path.write_bytes(pickle.dumps(Planted(tmp_path / "mark")))
    if kind == "torch":
        torch.save({"format": "peftbench checkpoint 1", "state": Planted(tmp_path / "mark")}, path)
    if kind in ("bomb", "other"):
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
            file.writestr("archive/data.pkl", bytes(2**26) if kind == "bomb" else b"no pickle")
    assert Checkpoint(path, 0.0).load() is None
    assert not (tmp_path / "mark").exists()


def test_code_named_in_a_config_is_never_run(tiny_folder, tmp_path):
    folder = shutil.copytree(tiny_folder, tmp_path / "model")
    said = json.loads((folder / "config.json").read_text())
    said |= {"model_type": "planted", "auto_map": {"AutoConfig": "planted.Config"}}
    (folder / "config.json").write_text(json.dumps(said))
    (folder / "planted.py").write_text(f"open({str(tmp_path / 'mark')!r}, 'w').close()")
    with pytest.raises(ValueError, match=r"^model 'model@\w+' cannot be had: [^\n]*$"):
        config(find(str(folder)))
    assert not (tmp_path / "mark").exists()


@pytest.mark.parametrize("key", ["..", "../../etc", "/etc", "a/b", ".", "", "a\0b"])
def test_key_that_leads_elsewhere_is_no_key(tmp_path, key):
    cell = Cell("head", "sst2", "tiny", "adamw", 0, "hub", parents=(key,))
    assert Store(tmp_path).at(key) is None
    with pytest.raises(ValueError, match="expected a key of a run that this one builds on, got"):
        built_on(cell, tmp_path)


@pytest.mark.parametrize("text", ["../../x", "/etc/passwd", "..\\x", "a\0b"])
def test_imported_record_stands_in_the_folder_of_its_hash(tmp_path, text):
    cell = Cell(text, text, text, text, 0, text, label=text)
    made = {"peftbench": {"record": json.loads(Record(cell, "ok").to_json())}}
    (tmp_path / "result.json").write_text(json.dumps(made))
    list(imported([tmp_path / "result.json"], Store(tmp_path / "store")))
    assert [path.name for path in tmp_path.iterdir() if path.is_dir()] == ["store"]
    assert [path.name for path in (tmp_path / "store").iterdir()] == [cell.key]


@pytest.mark.parametrize(
    "name", ["../glue", "suites/../glue", "/etc/passwd", "..", "glue\0", "../../x.toml", "a\0.toml"]
)
def test_suite_of_a_name_that_leads_elsewhere_is_not_there(name):
    with pytest.raises(ValueError, match=r"^no suite (file|named) [^\n]*$"):
        suite.load(name)


@pytest.mark.parametrize("name", ["../sst2", "sst2/../rte", "..", "sst2\0"])
def test_task_of_a_name_that_leads_elsewhere_is_not_there(name):
    with pytest.raises(ValueError, match="no task named"):
        spec.build(task, name)


@pytest.mark.parametrize("inner", ["[" * DEEP, '{"a":' * DEEP, "[" * DEEP + "]" * DEEP])
def test_json_nested_too_deep_is_one_line(inner):
    for read in (Record.from_json, import_peft):
        with pytest.raises(ValueError, match=r"^expected[^\n]*$"):
            read(inner)


@pytest.mark.parametrize(
    "text", ["a = " + "[" * 60_000, "a = " + "{a=" * 20_000, "a" + ".a" * 30_000]
)
def test_toml_nested_too_deep_is_one_line(tmp_path, text):
    path = tmp_path / "deep.toml"
    path.write_text(text)
    with pytest.raises(ValueError, match=r"^suite deep\.toml[:,] [^\n]*$"):
        suite.load(str(path))


@pytest.mark.parametrize("depth", [50, DEEP])
def test_plug_in_nested_deep_is_one_line(depth):
    from methods import resolve

    with pytest.raises(ValueError, match=r"^[^\n]*$"):
        resolve("adamix[inner=" * depth + "lora" + "]" * depth, "minilm")


def test_suite_file_larger_than_any_is_refused_unread(tmp_path):
    path = tmp_path / "large.toml"
    with path.open("wb") as file:
        file.truncate(2**31)
    with pytest.raises(ValueError, match=r"^suite large\.toml: expected at most 64 KiB, got more$"):
        suite.load(str(path))


def test_record_larger_than_any_is_refused():
    with pytest.raises(ValueError, match="expected at most 16777216 characters, got more"):
        Record.from_json(" " * (LARGEST + 1))


@pytest.mark.parametrize("steps", ["", "many"])
def test_entities_in_xml_are_refused(tmp_path, steps):
    names = "abcdefghijklmnopqrstuvwxyz"
    more = "".join(f'<!ENTITY {after} "{f"&{name};" * 10}">' for name, after in pairwise(names))
    (tmp_path / "x.xml").write_text(LAUGHS.format(more if steps else '<!ENTITY z "ha">'))
    with pytest.raises(ValueError, match=r"^x\.xml: expected XML without entities of its own$"):
        triples.read_xml(tmp_path, "x.xml")


def test_xml_nested_too_deep_is_read_or_told(tmp_path):
    (tmp_path / "x.xml").write_text("<a>" * DEEP + "</a>" * DEEP)
    try:
        assert triples.read_xml(tmp_path, "x.xml") == []
    except ValueError as error:
        assert "\n" not in str(error)


def test_file_of_rows_that_unpacks_to_too_much_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(sources, "LARGEST", 2**24)
    (tmp_path / "x.json.xz").write_bytes(lzma.compress(bytes(2**24)))
    assert len(sources.read(tmp_path, "x.json.xz")) == 2**24
    (tmp_path / "x.json.xz").write_bytes(lzma.compress(bytes(2**24 + 1)))
    with pytest.raises(ValueError, match=r"^x\.json\.xz: expected at most 16 MiB, got more$"):
        sources.read(tmp_path, "x.json.xz")
    (tmp_path / "x.json.xz").write_bytes(lzma.compress(bytes(2**20))[:-9])
    with pytest.raises(ValueError, match=r"^x\.json\.xz: expected an xz archive, got: it ends too"):
        sources.read(tmp_path, "x.json.xz")
