"""Stores of records with files beside them, and the page made of them read back."""

import json
from dataclasses import asdict, dataclass, field, replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

from bench.record import Record
from bench.reporting import of_store
from bench.store import Store
from reports.material import Material
from reports.page import page
from tests.records import COST, cell, scored, small, text_cell

EMPTY = {"meta", "link", "img", "input", "br", "hr"}
ATTACK = "</script><script>window.pwned=1</script><img src=x onerror=window.pwned=1>\"'`&amp;"
UNSEEN = "a\u202eb\u2028c\u2066d\x00e\x1b[31mf"
HOSTILE = (
    ATTACK,
    UNSEEN,
    "javascript:window.pwned=1",
    '"><svg onload=window.pwned=1>',
    "--><!--",
    "]]>",
    "{{ 7 * 7 }}",
    "long" * 25_000,
)


def kept(
    root: Path, records: list[Record], files: dict[str, dict[str, str]] | None = None
) -> Store:
    """A store of the records; `files` by key of the record, then by name."""
    for record in records:
        folder = root / record.cell.key
        folder.mkdir(parents=True)
        (folder / "record.json").write_text(json.dumps(asdict(record)), encoding="utf-8")
        for name, text in (files or {}).get(record.cell.key, {}).items():
            (folder / name).write_text(text, encoding="utf-8")
    return Store(root)


def lines(*rows: dict[str, Any]) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


def ordinary(root: Path) -> Material:
    """Runs of labels and of texts with files beside them, a child, a failed and a skipped one."""
    text = scored(text_cell("prefix"), {"BLEU": 0.5, "NIST": 4.25})
    lora = small()[0]
    builds = cell("soup", "sst2", 0, parents=(lora.cell.key, "0123456789ab"))
    child = scored(builds, 0.94, {**COST, "checkpoint_bytes": 2048})
    skipped = Record(cell("logme", "sst2", 0), "skipped", reason="needs a head")
    records = [replace(r, primary="accuracy") if r.metrics else r for r in (*small(), child)]
    failed = next(record for record in records if record.status == "failed")
    predicted = lines(
        *({"split": "dev", "row": i, "prediction": 1, "label": i % 2} for i in range(20))
    )
    told = lines(
        *({"step": i, "steps": 40, "loss": 1 / (i + 1), "rate": 50.0} for i in range(1, 41))
    )
    files = {
        record.cell.key: {"predictions.jsonl": predicted, "log.txt": told} for record in records
    }
    files[failed.cell.key] = {"error.txt": 'Traceback\n  File "/home/me/x/bench/run.py", line 3\n'}
    said = {"split": "test", "row": 0, "prediction": "one\ntwo", "label": ["a", "b", "c", "d", "e"]}
    files[text.cell.key] = {"predictions.jsonl": lines(said)}
    store = kept(root, [*records, skipped, replace(text, primary="BLEU")], files)
    return replace(of_store(store), command="python -m bench run --suite glue")


def hostile(root: Path) -> Material:
    """Every text of a record, and of what stands beside it, is an attack; numbers are none."""
    records, files = [], {}
    for i, text in enumerate(HOSTILE):
        asked = cell(
            "m", f"t{i}", i, label=text + str(i), recipe=text, model=f"model{text}", version=text
        )
        asked = replace(asked, method=f"m[{text}]", parents=(text, "javascript:alert(1)"))
        foreign = {
            text: text,
            "__proto__": {"x": 1},
            "big": 10**400,
            "f": 1e308,
        }
        where = {
            **foreign,
            "selection": text,
            "list": [1e308, {text: text}],
            "tuple": [[text]],
        }
        made = Record(asked, "ok", "", text, {text: 0.5, "accuracy": None}, foreign, where)
        lost = replace(
            made, status="failed", cell=replace(asked, seed=50 + i), reason=text, metrics={}
        )
        bare = Record(replace(asked, seed=90 + i), "skipped", reason=text)
        records += [made, lost, bare]
        row = {"split": text, "row": text, "prediction": text, "label": [text, {text: text}]}
        told = lines({"step": 1, "loss": float("nan"), text: text}, {"step": text, "loss": 1e308})
        files[made.cell.key] = {"predictions.jsonl": lines(row) + "{half", "log.txt": told + text}
        files[lost.cell.key] = {"error.txt": text.encode("utf-8", "replace").decode()}
    clean = {
        k: {n: t.encode("utf-8", "replace").decode() for n, t in f.items()}
        for k, f in files.items()
    }
    made = of_store(kept(root, records, clean))
    return replace(made, title=ATTACK, command=f"bench {ATTACK}", labels={"t0": [ATTACK]})


@dataclass
class Element:
    """An element with its attributes and all text in it."""

    tag: str
    attributes: dict[str, str | None]
    text: str = ""
    inside: list["Element"] = field(default_factory=list)

    def all(self, tag: str, css: str = "") -> list["Element"]:
        """The elements of that tag within, and of that class where one is given."""
        found = [
            e for e in self.inside if e.tag == tag and css in (e.attributes.get("class") or "")
        ]
        return found


class Reader(HTMLParser):
    """Reads a page strictly: every element must be closed by its own end."""

    def __init__(self, text: str):
        super().__init__()
        self.elements: list[Element] = []
        self._open: list[Element] = []
        self.feed(text)
        self.close()
        assert not self._open, f"{self._open[-1].tag} is never closed"

    def handle_starttag(self, tag, attrs):
        assert len(dict(attrs)) == len(attrs), f"{tag} has an attribute twice"
        made = Element(tag, dict(attrs))
        for outer in self._open:
            outer.inside.append(made)
        self.elements.append(made)
        if tag not in EMPTY:
            self._open.append(made)

    def handle_endtag(self, tag):
        assert self._open and self._open[-1].tag == tag, f"</{tag}> closes nothing"
        self._open.pop()

    def handle_data(self, data):
        for outer in self._open:
            outer.text += data

    def all(self, tag: str, css: str = "") -> list[Element]:
        return Element("", {}, inside=self.elements).all(tag, css)


def runs(text: str) -> dict[str, dict[str, Any]]:
    """The runs that the page's script has, by key, every number of the pool resolved."""
    (block,) = (e for e in Reader(text).all("script") if e.attributes.get("id") == "data")
    data = json.loads(block.text)
    pool = data["pool"]

    def named(found):
        return dict(zip(pool[found[0]], found[1:], strict=True))

    made = {}
    for row in data["cells"]:
        run = dict(zip(data["fields"], row, strict=True))
        for name in ("label", "method", "task", "name", "model", "recipe", "data", "version"):
            run[name] = pool[run[name]]
        for name in ("parents", "status", "reason", "primary"):
            run[name] = pool[run[name]]
        run["again"] = None if run["again"] is None else pool[run["again"]]
        run["metrics"], run["cost"] = named(run["metrics"]), named(run["cost"])
        run["where"] = {name: pool[at] for name, at in named(run["where"]).items()}
        run["log"], run["predictions"] = map(named, run["log"]), map(named, run["predictions"])
        run["log"], run["predictions"] = [*run["log"]], [*run["predictions"]]
        made[run["key"]] = run
    return made


def written(material: Material, to: Path, **options: Any) -> Path:
    """The page as a file."""
    to.write_text(page(material, **options), encoding="utf-8")
    return to
