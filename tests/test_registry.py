import sys

import pytest

from bench.registry import Registry, Unknown, unknown

RED = """
from shapes import shape

@shape("red", sides=3)
class Red:
    pass
"""


@pytest.fixture
def write(tmp_path, monkeypatch):
    def add(**modules):
        (tmp_path / "shapes").mkdir(exist_ok=True)
        start = 'from bench.registry import Registry\nshape = Registry("shape", "shapes")\n'
        for name, text in {"__init__": start, **modules}.items():
            (tmp_path / "shapes" / f"{name}.py").write_text(text)

    monkeypatch.syspath_prepend(tmp_path)
    yield add
    ours = ("shapes", "elsewhere")
    for name in [name for name in sys.modules if name.startswith(ours)]:
        del sys.modules[name]


def shapes():
    from shapes import shape

    return shape


def test_registry_finds_what_a_new_file_declares(write):
    write(red=RED, blue=RED.replace("red", "blue").replace("3", "4"))
    assert shapes().names() == ["blue", "red"]
    assert shapes()["blue"].__module__ == "shapes.blue"


def test_declaration_makes_name_and_facts_attributes(write):
    write(red=RED)
    assert (shapes()["red"].name, shapes()["red"].sides) == ("red", 3)


def test_declaration_of_a_taken_name_names_both_modules(write):
    write(blue=RED, red=RED)
    with pytest.raises(
        ValueError, match=r"^shape 'red' is declared in shapes.blue and in sha.*red"
    ):
        shapes().names()


def test_registry_imports_no_plug_in_before_it_is_asked(write):
    write(red=RED)
    shapes()
    assert "shapes.red" not in sys.modules


def test_registry_lists_what_another_distribution_adds(write, tmp_path):
    write(red=RED)
    (tmp_path / "elsewhere.py").write_text(RED.replace("red", "green"))
    facts = tmp_path / "elsewhere-1.dist-info"
    facts.mkdir()
    (facts / "METADATA").write_text("Metadata-Version: 2.1\nName: elsewhere\nVersion: 1\n")
    (facts / "entry_points.txt").write_text("[peftbench.shape]\ngreen = elsewhere:Red\n")
    assert shapes().names() == ["green", "red"]


def test_registry_with_a_broken_module_fails_every_time(write):
    write(amber=RED.replace("red", "amber"), broken="import no_such_module")
    for _ in range(2):
        with pytest.raises(ModuleNotFoundError, match="no_such_module"):
            shapes().names()


def test_look_up_of_an_unknown_name_names_the_nearest(write):
    write(red=RED, blue=RED.replace("red", "blue"))
    with pytest.raises(Unknown, match=r"^no shape named 'rde'; did you mean 'red'\?$"):
        shapes()["rde"]


def test_registry_of_a_missing_package_says_which():
    with pytest.raises(ModuleNotFoundError, match="no_such_package"):
        Registry("shape", "no_such_package").names()


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("LoRA", "did you mean 'lora'?"),
        ("adamix", "did you mean 'adamix-lora' or 'adamix-adapter'?"),
        ("zzz", "valid: adamix-adapter, adamix-lora, lora"),
        ("", "valid: adamix-adapter, adamix-lora, lora"),
    ],
)
def test_unknown_name_comes_with_near_or_else_with_all_choices(name, hint):
    error = unknown("method", name, ["lora", "adamix-lora", "adamix-adapter"])
    assert str(error) == f"no method named {name!r}; {hint}"


def other(tmp_path, name: str, text: str, points: str = "") -> None:
    (tmp_path / f"elsewhere_{name}.py").write_text(text)
    facts = tmp_path / f"elsewhere_{name}-2.dist-info"
    facts.mkdir()
    (facts / "METADATA").write_text(f"Metadata-Version: 2.1\nName: else-{name}\nVersion: 2\n")
    lines = points or f"{name} = elsewhere_{name}"
    (facts / "entry_points.txt").write_text(f"[peftbench.shape]\n{lines}\n")


BROKEN = {
    "syntax": "def",
    "import": "import no_such_module",
    "exit": "raise RuntimeError('two\\n lines')",
    "silent": "raise ValueError",
    "end": "raise SystemExit",
}


@pytest.mark.parametrize("kind", BROKEN)
def test_broken_plug_in_of_another_distribution_is_left_out_and_told(write, tmp_path, kind):
    write(red=RED)
    half = RED.replace("red", "green") + BROKEN[kind]
    other(tmp_path, "green", half)
    other(tmp_path, "blue", RED.replace("red", "blue"))
    assert shapes().names() == ["blue", "red"]
    assert shapes().origins == {"blue": "else-blue 2"}
    with pytest.raises(Unknown, match=r"^shape 'green' cannot be used: else-green 2: \w+: [^\n]+$"):
        shapes()["green"]
    with pytest.raises(Unknown, match=r"^no shape named 'gren'; valid: blue, red; left out: green"):
        shapes()["gren"]


@pytest.mark.parametrize("point", ["red", "scarlet"])
def test_plug_in_with_a_name_of_ours_is_left_out(write, tmp_path, point):
    write(red=RED)
    other(tmp_path, "red", RED.replace("sides=3", "sides=9"), f"{point} = elsewhere_red")
    assert (shapes().names(), shapes()["red"].sides, shapes().origins) == (["red"], 3, {})
    told = "else-red 2: ValueError: shape 'red' is declared in shapes.red and in elsewhere_red"
    assert shapes().broken == {point: told}


def test_what_is_merely_importable_is_no_plug_in(write, tmp_path):
    write(red=RED)
    (tmp_path / "elsewhere.py").write_text(RED.replace("red", "green"))
    assert shapes().names() == ["red"]
