import hashlib
import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from huggingface_hub import constants
from safetensors.torch import load_file, save_file
from transformers import AutoTokenizer

from bench.backbone import Backbone
from bench.families import Unserved
from bench.text import tokenizer
from bench.vocabulary import train_tokenizer
from bench.weights import Weights, config, find, known, pooling, verify
from tests import tiny

POOLING = "1_Pooling/config.json"


@pytest.fixture
def copy(tiny_folder, tmp_path) -> Path:
    return shutil.copytree(tiny_folder, tmp_path / "copy")


def write(path: Path, **fields) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(fields), encoding="utf-8")


def configure(folder: Path, **changes) -> None:
    before = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    write(folder / "config.json", **before | changes)


def reload(folder: Path, change) -> None:
    tensors = load_file(folder / "model.safetensors")
    change(tensors)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


def load(folder: Path, outputs: int = 2) -> Backbone:
    return Backbone.load(find(str(folder)), outputs)


def logits(model: Backbone) -> torch.Tensor:
    model.head.draw(0)
    with torch.no_grad():
        return model.eval()(tiny.batch())


def test_known_name_has_its_hub_id_and_its_published_configuration():
    weights = find("roberta-large")
    settings = config(weights)
    assert (weights.name, weights.location) == ("roberta-large", "FacebookAI/roberta-large")
    assert (settings.hidden_size, settings.num_hidden_layers) == (1024, 24)
    assert not weights.local


def test_every_known_configuration_is_one_that_transformers_has():
    kinds = {name: config(Weights(name, "nowhere", entry)) for name, entry in known().items()}
    assert {name: c.model_type for name, c in kinds.items()} == {
        name: entry["model_type"] for name, entry in known().items()
    }


@pytest.mark.parametrize("name", ["gpt2-mini", "t5-mini"])
def test_model_that_is_made_has_a_config_and_no_files(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"of something else")
    weights = find(name)
    assert (weights.name, weights.location) == (name, "")
    assert weights.fresh and not weights.local
    assert (verify(weights), pooling(weights)) == ("", None)
    settings = config(weights)
    assert settings.vocab_size == weights.known["vocab_size"]
    assert not hasattr(settings, "made")


@pytest.mark.parametrize("name", ["gpt2-mini", "t5-mini"])
def test_model_that_is_made_has_the_special_tokens_of_its_tokenizer(name, tmp_path):
    settings = config(find(name))
    train_tokenizer(["a text"], settings.model_type, 400, tmp_path)
    tokens = AutoTokenizer.from_pretrained(tmp_path)
    assert settings.pad_token_id == tokens.pad_token_id
    assert settings.eos_token_id == tokens.eos_token_id
    assert getattr(settings, "bos_token_id", None) == tokens.bos_token_id


def test_model_with_files_is_not_fresh(tiny_folder):
    assert not find(str(tiny_folder)).fresh and not find("roberta-large").fresh


def test_hub_id_is_taken_as_it_stands():
    assert find("owner/model") == Weights("owner/model", "owner/model")


def test_directory_is_named_by_its_folder_and_a_digest_of_its_files(tiny_folder, copy):
    name, _, digest = find(str(tiny_folder)).name.partition("@")
    assert name == "tiny" and len(digest) == 12
    assert find(str(copy)).name == f"copy@{digest}"
    assert find(str(copy)).local


def test_directory_below_the_home_folder_is_found(copy, monkeypatch):
    monkeypatch.setenv("HOME", str(copy.parent))
    assert find("~/copy") == find(str(copy))


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("roberta-lage", "no model named 'roberta-lage'; did you mean 'roberta-large'"),
        ("./owner", "expected a model name, a hub id or a directory, got './owner'"),
        ("no/such/folder", "expected a model name, a hub id or a directory"),
        ("owner/", "expected a model name, a hub id or a directory"),
    ],
)
def test_name_that_is_nothing_is_refused(text, complaint):
    with pytest.raises(ValueError, match=complaint):
        find(text)


def test_directory_without_a_config_is_refused(tmp_path):
    with pytest.raises(ValueError, match="it has no config"):
        find(str(tmp_path))


def test_model_from_a_package_that_is_not_there_says_what_to_install(monkeypatch):
    monkeypatch.setitem(known(), "absent", {"package": "no_such_package", "folder": "model"})
    with pytest.raises(ValueError, match="pip install no-such-package"):
        find("absent")


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "vocab.txt", POOLING])
def test_digest_changes_with_every_file_that_makes_the_model(copy, name):
    write(copy / POOLING, pooling_mode_mean_tokens=True)
    before = find(str(copy)).name
    (copy / name).write_bytes((copy / name).read_bytes() + b" ")
    assert find(str(copy)).name != before


def test_digest_keeps_when_another_file_comes(copy):
    before = find(str(copy)).name
    (copy / "README.md").write_text("about")
    assert find(str(copy)).name == before


def test_minilm_is_the_file_its_entry_names_and_configures():
    weights = find("minilm")
    files = json.loads(Path(weights.location, "config.json").read_text(encoding="utf-8"))
    ours, about = config(weights).to_dict(), {"transformers_version", "_name_or_path"}
    ours["architectures"] = files["architectures"]
    assert verify(weights) == weights.known["sha256"]
    assert {k: ours[k] for k in files.keys() & ours.keys() - about} == {
        k: files[k] for k in files.keys() & ours.keys() - about
    }
    assert pooling(replace(weights, known={})) == pooling(weights) == "mean"


def test_minilm_is_refused_where_another_digest_is_expected():
    weights = find("minilm")
    with pytest.raises(ValueError, match=r"expected sha256 0{12}\.\.\., got 53aa51172d14"):
        Backbone.load(replace(weights, known={**weights.known, "sha256": "0" * 64}), 2)


def test_weights_that_were_changed_are_refused(copy):
    path, entry = copy / "model.safetensors", json.loads((copy / "config.json").read_text())
    entry["sha256"] = hashlib.sha256(path.read_bytes()).hexdigest()
    weights = Weights("mine", str(copy), entry)
    assert Backbone.load(weights, 2).facts["weights_sha256"] == entry["sha256"]
    content = path.read_bytes()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(ValueError, match=f"'mine': expected sha256 {entry['sha256'][:12]}"):
        Backbone.load(weights, 2)


def test_pickled_weights_are_refused_in_one_line_without_a_path(copy):
    tensors = load_file(copy / "model.safetensors")
    (copy / "model.safetensors").unlink()
    torch.save(tensors, copy / "pytorch_model.bin")
    with pytest.raises(ValueError, match="no safetensors weights for model 'copy@") as refusal:
        load(copy)
    assert "\n" not in str(refusal.value) and str(copy) not in str(refusal.value)


@pytest.mark.parametrize("kind", ["bert", "stranger"])
def test_code_that_comes_with_a_model_is_not_run(copy, tmp_path, kind):
    ran = tmp_path / "ran"
    (copy / "own.py").write_text(f"open({str(ran)!r}, 'w').close()")
    own = {"AutoConfig": "own.Config", "AutoModel": "own.Model", "AutoTokenizer": ["own.T", None]}
    configure(copy, model_type=kind, auto_map=own)
    write(copy / "tokenizer_config.json", tokenizer_class="BertTokenizer", auto_map=own)
    tokenizer(find(str(copy)))
    if kind == "bert":
        load(copy)
    else:
        with pytest.raises(ValueError, match=r"cannot be had: .* contains custom code") as refusal:
            load(copy)
        assert "\n" not in str(refusal.value) and str(copy) not in str(refusal.value)
    assert not ran.exists()


def test_type_that_transformers_does_not_know_is_refused_in_one_line(copy):
    configure(copy, model_type="stranger")
    with pytest.raises(ValueError, match=r"^model 'copy@\w+' cannot be had: .* `stranger` .*ture$"):
        load(copy)


def test_type_that_is_not_served_says_which_are(copy):
    configure(copy, model_type="electra")
    with pytest.raises(Unserved, match="of type 'electra'; served: bert, roberta, deberta-v2"):
        load(copy)


def test_checkpoint_that_lacks_a_tensor_is_refused(copy):
    reload(copy, lambda tensors: tensors.pop("encoder.layer.1.output.dense.bias"))
    with pytest.raises(ValueError, match=r"lack 1 tensors: encoder\.layer\.1\.output\.dense\.bias"):
        load(copy)


def test_checkpoint_with_a_tensor_of_another_shape_is_refused(copy):
    reload(copy, lambda t: t.update({"pooler.dense.bias": torch.zeros(3)}))
    with pytest.raises(ValueError, match=r"do not fit its config: pooler\.dense\.bias"):
        load(copy)


def test_checkpoint_that_is_no_safetensors_file_is_refused(copy):
    (copy / "model.safetensors").write_bytes(b"not a header")
    with pytest.raises(ValueError, match="no safetensors weights for model 'copy@"):
        load(copy)


def test_model_is_float32_whatever_its_files_say(copy):
    reload(copy, lambda t: t.update({name: x.bfloat16() for name, x in t.items()}))
    configure(copy, dtype="bfloat16")
    loaded, empty = load(copy), Backbone.empty(find(str(copy)), 2)
    assert {p.dtype for p in [*loaded.parameters(), *empty.parameters()]} == {torch.float32}


def test_directory_loads_the_tensors_of_its_file(tiny_folder):
    expected, net = load_file(tiny_folder / "model.safetensors"), load(tiny_folder).net
    assert expected.keys() == dict(net.named_parameters()).keys()
    for name, parameter in net.named_parameters():
        assert torch.equal(parameter, expected[name])


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ({"pooling_mode_mean_tokens": True}, "mean"),
        ({"pooling_mode": "mean"}, "mean"),
        ({"pooling_mode_mean_tokens": False, "pooling_mode_cls_token": True}, None),
        ({"pooling_mode": "cls"}, None),
    ],
)
def test_head_reads_the_mean_where_the_files_say_so(copy, said, expected):
    write(copy / POOLING, **said)
    assert pooling(find(str(copy))) == expected
    assert load(copy).head.pool == Backbone.empty(find(str(copy)), 2).head.pool
    assert load(copy).head.pool == (expected or "pooler")
    assert (load(copy).net.pooler is None) == (expected == "mean")


def test_hub_id_and_directory_load_the_same_model(copy, tmp_path, monkeypatch):
    write(copy / POOLING, pooling_mode_mean_tokens=True)
    repository, revision = tmp_path / "hub" / "models--owner--model", "0" * 40
    shutil.copytree(copy, repository / "snapshots" / revision)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(revision)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    weights = find("owner/model")
    cached = Backbone.load(weights, 2)
    assert cached.head.pool == "mean"
    assert torch.equal(logits(cached), logits(load(copy)))
    text = "the film is good"
    assert tokenizer(weights)(text)["input_ids"] == tokenizer(find(str(copy)))(text)["input_ids"]


def test_model_that_is_nowhere_is_refused_in_one_line(tmp_path, monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(ValueError, match=r"^model 'owner/model' cannot be had: .*cached files$"):
        config(find("owner/model"))


def test_weights_are_read_for_their_digest_once_until_they_change(
    tiny_folder, tmp_path, monkeypatch
):
    read, digest = [], hashlib.file_digest
    copy = shutil.copytree(tiny_folder, tmp_path / "tiny")
    weights = find(str(copy))
    monkeypatch.setattr(
        hashlib, "file_digest", lambda file, name: read.append(file.name) or digest(file, name)
    )
    first = verify(weights)
    assert (verify(weights), len(read)) == (first, 1)
    path = copy / "model.safetensors"
    content = path.read_bytes()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    changed = verify(weights)
    assert changed != first and len(read) == 2
    assert changed == hashlib.sha256(path.read_bytes()).hexdigest()
