import pytest
from transformers import AutoConfig

from bench import counting
from bench.counting import counts
from reports import published


@pytest.mark.parametrize(
    ("model", "parameters"),
    [  # the sums of the published checkpoints' tensors, tied ones once
        pytest.param("gpt2", 124_439_808, marks=pytest.mark.slow),
        pytest.param("gpt2-large", 774_030_080, marks=pytest.mark.slow),
        pytest.param("t5-base", 222_903_552, marks=pytest.mark.slow),
    ],
)
def test_writer_is_counted_whole_and_has_no_head(model, parameters):
    [row] = counts(model, ["lora"], outputs=None, length=8)
    assert (row["backbone_params"], row["head_params"]) == (parameters, 0)
    assert row["reason"] == ""


@pytest.mark.parametrize(("outputs", "head"), [(None, 0), (0, 0), (3, 3 * 769)])
def test_gpt2_is_counted_with_the_head_it_is_asked_for(outputs, head):
    [row] = counts("gpt2", ["head"], outputs, 8)
    assert row["head_params"] == head


@pytest.mark.slow
def test_writing_costs_the_output_map_for_the_half_that_is_written():
    [row] = counts("gpt2", ["full"], None, 8)
    d, f, layers, s, vocabulary = 768, 3072, 12, 8, 50257
    body = 2 * s * layers * (4 * d * d + 2 * d * f) + 4 * s * s * d * layers
    assert row["inference_flops"] == body + 2 * (s // 2) * d * vocabulary


def test_model_of_a_family_not_served_is_counted_and_says_why_not_more(tmp_path):
    sizes = {"vocab_size": 40, "hidden_size": 16, "embedding_size": 8, "num_attention_heads": 2}
    AutoConfig.for_model("albert", **sizes, intermediate_size=32).save_pretrained(tmp_path)
    [row] = counts(str(tmp_path), ["lora"], outputs=2, length=8)
    assert row["backbone_params"] > 0
    assert "is of type 'albert'" in row["reason"]
    assert "trained_params" not in row


@pytest.mark.slow
def test_method_that_cannot_serve_does_not_hide_those_that_can():
    prefix, head = counts("deberta-v2-xxlarge", ["prefix", "head"], outputs=3, length=8)
    assert "no past keys" in prefix["reason"] and prefix["backbone_params"] > 1.5e9
    assert head["reason"] == "" and head["head_params"] == 1536 * 1537 + 3 * 1537


def test_a_method_that_was_counted_is_not_counted_again(monkeypatch):
    rows = counts("bert-base-uncased", ["lora"], outputs=2, length=8)
    printed = [one for one in published.counts("bert-base-uncased") if one.ours == "lora"]
    monkeypatch.setattr(counting, "sizes", None)
    found = counting.beside("bert-base-uncased", printed, rows)
    assert {row["served_params"] for row in found} == {294_912}
    assert all(row["agrees"] for row in found) and len(found) == len(printed) > 1
