"""Noise in files: what is written, what is kept, what an audit says, and what is refused."""

from __future__ import annotations

import csv
import io
import json
import tarfile
from pathlib import Path

import numpy as np
import pytest
from tqdm import tqdm

from noisymodel import noise
from noisymodel.errors import InputFileError, OutputFolderError
from noisymodel.files import file_checksum
from noisymodel.noise_files import corrupt_captions, corrupt_labels, derive, verify_audit

NAMES = ["cat", "dog", "eel"]
COUNT = 90


def records() -> list[dict[str, object]]:
    return [
        {"id": i, "label": NAMES[i % 3], "caption": f'caption "{i}", ü', "image": f"image-{i // 2}", "number": i % 4}
        for i in range(COUNT)
    ]


def table(folder: Path, suffix: str) -> Path:
    path = folder / f"data{suffix}"
    rows = records()
    if suffix in {".csv", ".tsv"}:
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, rows[0], delimiter="," if suffix == ".csv" else "\t")
            writer.writeheader()
            writer.writerows(rows)
    elif suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    else:
        import pyarrow as pa
        from pyarrow import parquet

        parquet.write_table(pa.Table.from_pylist(rows), path, row_group_size=7)
    return path


def read(path: Path) -> list[dict[str, object]]:
    if path.suffix == ".jsonl":
        return [json.loads(line) for line in path.read_text().splitlines()]
    if path.suffix == ".parquet":
        from pyarrow import parquet

        return parquet.read_table(path).to_pylist()
    with path.open(newline="", encoding="utf-8") as file:
        found = list(csv.DictReader(file, delimiter="," if path.suffix == ".csv" else "\t"))
    return [{**row, "id": int(row["id"]), "number": int(row["number"])} for row in found]


SUFFIXES = [".csv", ".tsv", ".jsonl", ".parquet"]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_labels_of_tables_are_those_of_the_injector(tmp_path: Path, suffix: str) -> None:
    path = table(tmp_path, suffix)
    before = file_checksum(path)
    audit = corrupt_labels(path, tmp_path / "out", kind="symmetric", rate=0.4, seed=3)
    wanted = noise.symmetric([i % 3 for i in range(COUNT)], 0.4, num_classes=3, seed=3)
    found = read(tmp_path / "out" / path.name)
    assert [row["label"] for row in found] == [NAMES[label] for label in np.asarray(wanted.labels)]
    assert [{**row, "label": None} for row in found] == [{**row, "label": None} for row in records()]
    assert file_checksum(path) == before
    assert audit == json.loads((tmp_path / "out" / "audit.json").read_text())
    assert (audit["num_wrong"], audit["realized_rate"], audit["requested_rate"]) == (36, 0.4, 0.4)
    assert audit["classes"] == NAMES
    pairs = list(zip([i % 3 for i in range(COUNT)], np.asarray(wanted.labels).tolist(), strict=True))
    counts = [[pairs.count((i, j)) for j in range(3)] for i in range(3)]
    assert audit["counts"] == counts
    assert audit["empirical_transition"] == [[number / 30 for number in row] for row in counts]
    assert audit["output"] == {path.name: file_checksum(tmp_path / "out" / path.name)}
    with (tmp_path / "out" / "flipped.csv").open() as file:
        flips = [(int(row["key"]), row["clean"], row["noisy"]) for row in csv.DictReader(file)]
    assert flips == [(i, NAMES[i % 3], NAMES[j]) for i, (_, j) in enumerate(pairs) if j != i % 3]
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == sorted([path.name, "audit.json", "flipped.csv"])
    assert verify_audit(tmp_path / "out" / "audit.json") == audit


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_labels_that_are_numbers_stay_numbers(tmp_path: Path, suffix: str) -> None:
    path = table(tmp_path, suffix)
    audit = corrupt_labels(path, tmp_path / "out", kind="pair_flip", rate=1.0, seed=3, column="number", num_classes=6)
    assert [row["number"] for row in read(tmp_path / "out" / path.name)] == [i % 4 + 1 for i in range(COUNT)]
    assert audit["noise"]["num_classes"] == 6
    verify_audit(tmp_path / "out" / "audit.json")


@pytest.mark.parametrize(
    ("kind", "rate", "options"),
    [
        ("symmetric", 0.3, {"include_true": True, "selection": "bernoulli"}),
        ("asymmetric", 0.5, {"mapping": {0: 1, 2: 0}, "selection": "exact_per_class"}),
        ("from_transition", None, {"matrix": np.array([[0.5, 0.5, 0], [0, 1, 0], [0.2, 0.2, 0.6]])}),
    ],
)
def test_options_are_the_injectors(tmp_path: Path, kind: str, rate: float | None, options: dict) -> None:
    path = table(tmp_path, ".csv")
    corrupt_labels(path, tmp_path / "out", kind=kind, rate=rate, seed=5, **options)
    clean = [i % 3 for i in range(COUNT)]
    given = {} if rate is None else {"rate": rate}
    wanted = getattr(noise, kind)(clean, **given, num_classes=3, seed=5, **options)
    found = [row["label"] for row in read(tmp_path / "out" / "data.csv")]
    assert found == [NAMES[label] for label in np.asarray(wanted.labels)]
    verify_audit(tmp_path / "out" / "audit.json")


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_captions_go_to_other_images(tmp_path: Path, suffix: str) -> None:
    path = table(tmp_path, suffix)
    audit = corrupt_captions(path, tmp_path / "out", rate=0.5, seed=1, image_column="image")
    found = [row["caption"] for row in read(tmp_path / "out" / path.name)]
    clean = [row["caption"] for row in records()]
    images = {row["caption"]: row["image"] for row in records()}
    wrong = sum(images[new] != row["image"] for new, row in zip(found, records(), strict=True))
    assert wrong == audit["num_wrong"] == 45
    assert sorted(map(str, found)) == sorted(map(str, clean))
    assert sum(new != old for new, old in zip(found, clean, strict=True)) == 45
    verify_audit(tmp_path / "out" / "audit.json")


@pytest.mark.parametrize("mode", ["permutation", "swap", "resample"])
def test_modes(tmp_path: Path, mode: str) -> None:
    path = table(tmp_path, ".csv")
    audit = corrupt_captions(path, tmp_path / "out", rate=0.5, seed=1, mode=mode)
    wanted = noise.shuffle_pairs(COUNT, 0.5, mode=mode, seed=1)
    clean = [row["caption"] for row in records()]
    found = [row["caption"] for row in read(tmp_path / "out" / "data.csv")]
    assert found == [clean[place] for place in np.asarray(wanted.permutation)]
    assert audit["realized_rate"] == wanted.realized_rate
    verify_audit(tmp_path / "out" / "audit.json")


def test_captions_that_say_the_same_may_be_right(tmp_path: Path) -> None:
    texts = ["A dog", "a  DOG ", "b", "c"] * 10
    path = tmp_path / "x.csv"
    path.write_text("caption\n" + "\n".join(texts) + "\n")
    audit = corrupt_captions(path, tmp_path / "out", rate=0.9, seed=0, alike=True)
    found = [row.rstrip("\n") for row in (tmp_path / "out" / "x.csv").read_text().splitlines()[1:]]
    same = [" ".join(a.lower().split()) == " ".join(b.lower().split()) for a, b in zip(texts, found, strict=True)]
    assert same.count(False) == audit["num_wrong"] == 36
    verify_audit(tmp_path / "out" / "audit.json")


def folder_of_pictures(folder: Path) -> Path:
    for index in range(30):
        path = folder / NAMES[index % 3] / f"{index:02d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"\x89")
    (folder / ".hidden").write_text("x")
    return folder


def test_a_folder_of_pictures_gets_a_listing(tmp_path: Path) -> None:
    source = folder_of_pictures(tmp_path / "pictures")
    audit = corrupt_labels(source, tmp_path / "out", kind="symmetric", rate=0.2, seed=0)
    with (tmp_path / "out" / "listing.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["path"] for row in rows] == sorted(f"{NAMES[i % 3]}/{i:02d}.png" for i in range(30))
    assert sum(row["path"].split("/")[0] != row["label"] for row in rows) == audit["num_wrong"] == 6
    verify_audit(tmp_path / "out" / "audit.json")
    (source / "cat" / "more.png").write_bytes(b"")
    with pytest.raises(InputFileError, match=r"input .*pictures is not the audit's"):
        verify_audit(tmp_path / "out" / "audit.json")


def shards(folder: Path, cuts: list[int], field: str = "cls", end: bool = True) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for number, (start, stop) in enumerate(zip([0, *cuts], [*cuts, COUNT], strict=True)):
        with tarfile.open(folder / f"shard-{number}.tar", "w") as archive:
            for index in range(start, stop):
                members = {"jpg": b"\xff" * index, field: f"{index % 3}".encode(), "txt": f"text {index}".encode()}
                for name, content in members.items():
                    member = tarfile.TarInfo(f"{index:05d}.{name}")
                    member.size = len(content)
                    archive.addfile(member, io.BytesIO(content))
    return folder


def members(path: Path) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    for shard in sorted(path.glob("*.tar")):
        with tarfile.open(shard) as archive:
            for member in archive:
                file = archive.extractfile(member)
                assert file is not None
                found[member.name] = file.read()
    return found


def test_shards_get_noise_by_key_however_they_are_cut(tmp_path: Path) -> None:
    source = shards(tmp_path / "in", [20, 50])
    audit = corrupt_labels(source, tmp_path / "out", kind="symmetric", rate=0.4, seed=2, num_classes=5)
    law = noise.LabelNoise("symmetric", 0.4, num_classes=5, seed=2)
    found, clean = members(tmp_path / "out"), members(source)
    for index in range(COUNT):
        assert int(found[f"{index:05d}.cls"]) == law.at(f"{index:05d}", index % 3)
    assert list(found) == list(clean)
    assert all(found[name] == content for name, content in clean.items() if not name.endswith(".cls"))
    assert audit["num_wrong"] == sum(found[name] != clean[name] for name in clean)
    verify_audit(tmp_path / "out" / "audit.json")
    corrupt_labels(
        shards(tmp_path / "other", [70]), tmp_path / "again", kind="symmetric", rate=0.4, seed=2, num_classes=5
    )
    assert members(tmp_path / "again") == found
    single = corrupt_labels(tmp_path / "in" / "shard-0.tar", tmp_path / "one", kind="pair_flip", rate=1.0, seed=0)
    assert single["num_wrong"] == 20
    verify_audit(tmp_path / "one" / "audit.json")


def test_captions_of_shards(tmp_path: Path) -> None:
    source = shards(tmp_path / "in", [45])
    audit = corrupt_captions(source, tmp_path / "out", rate=0.3, seed=2)
    found, clean = members(tmp_path / "out"), members(source)
    wrong = [name for name in clean if found[name] != clean[name]]
    assert len(wrong) == audit["num_wrong"] == 27
    assert all(name.endswith(".txt") for name in wrong)
    verify_audit(tmp_path / "out" / "audit.json")


# --- what does not hold


def change(path: Path, old: bytes, new: bytes) -> None:
    content = path.read_bytes()
    assert old in content
    path.write_bytes(content.replace(old, new, 1))


@pytest.mark.parametrize("what", ["input", "output", "flips", "rate", "seed", "counts", "both", "gone", "source"])
def test_an_audit_that_does_not_hold(tmp_path: Path, what: str) -> None:
    path = table(tmp_path, ".csv")
    corrupt_labels(path, tmp_path / "out", kind="symmetric", rate=0.4, seed=3)
    audit, output = tmp_path / "out" / "audit.json", tmp_path / "out" / "data.csv"
    told = {
        "input": "the input .* is not the audit's: the SHA-256 of data.csv differs",
        "output": "the output .* is not the audit's",
        "flips": "flipped.csv is not the audit's",
        "rate": "does not hold: its requested_rate is 0.5, derived 0.4",
        "seed": "does not hold: its counts",
        "counts": "does not hold: its num_wrong is 35, derived 36",
        "both": "does not hold the noise that its audit is of",
        "gone": "data.csv is missing",
        "source": "is not there: name it with --source",
    }[what]
    if what == "input":
        change(path, b"cat", b"dog")
    elif what == "output":
        change(output, b"cat", b"dog")
    elif what == "flips":
        change(tmp_path / "out" / "flipped.csv", b"cat", b"dog")
    elif what == "rate":
        change(audit, b'"requested_rate": 0.4', b'"requested_rate": 0.5')
    elif what == "seed":
        change(audit, b'"seed": 3', b'"seed": 4')
    elif what == "counts":
        change(audit, b'"num_wrong": 36', b'"num_wrong": 35')
    elif what == "both":
        before = file_checksum(output)
        change(output, b"cat", b"dog")
        change(audit, before.encode(), file_checksum(output).encode())
    elif what == "gone":
        output.unlink()
    elif what == "source":
        path.rename(tmp_path / "moved.csv")
    with pytest.raises(InputFileError, match=told):
        verify_audit(audit)
    if what == "source":
        (tmp_path / "elsewhere").mkdir()
        (tmp_path / "moved.csv").rename(tmp_path / "elsewhere" / "data.csv")
        verify_audit(audit, source=tmp_path / "elsewhere" / "data.csv")


def test_what_is_no_audit(tmp_path: Path) -> None:
    path = tmp_path / "audit.json"
    for text, told in [
        ("{", "is no audit"),
        ('{"format": 9}', "format 9, this version reads 1"),
        ('{"format": 1}', "no audit"),
    ]:
        path.write_text(text)
        with pytest.raises(InputFileError, match=told):
            verify_audit(path)


# --- bad input, and nothing half-written


def bad_table(folder: Path, name: str, content: str | bytes) -> Path:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("x.csv", "label,id\na,1\nb\n", r"x\.csv, line 3: 1 fields, the header has 2"),
        ("x.csv", 'label,id\na,1\n"b,2\n', r"x\.csv, line 3: unexpected end"),
        ("x.csv", b"label\na\n\xff\n", r"x\.csv, line 3: no UTF-8"),
        ("x.csv", "name,id\na,1\n", "no column 'label', only 'name', 'id'"),
        ("x.csv", "", "no column 'label', only nothing"),
        ("x.csv", "label\n", "has no rows"),
        ("x.csv", "label,id\na,1\n,2\n", "line 3: the label is missing"),
        ("x.jsonl", '{"label": 1}\n{"label": \n', r"x\.jsonl, line 2: no JSON"),
        ("x.jsonl", '{"label": 1}\n[1]\n', "line 2: expected a JSON object"),
        ("x.jsonl", '{"label": 1}\n{"label": 1.5}\n', "line 2: 'label' must be a text or an integer"),
        ("x.jsonl", '{"label": 1}\n{"other": 1}\n', "line 2: 'label' must be"),
        ("x.parquet", b"PAR1 and no more", "no Parquet file, or damaged"),
        ("x.md", "label\n", "is no table that is known"),
        ("x.tar", b"no tar file at all, but long enough for a header" * 30, "is damaged after its beginning"),
    ],
)
def test_damaged_input_is_named_and_leaves_nothing(tmp_path: Path, name: str, content: str | bytes, told: str) -> None:
    path = bad_table(tmp_path, name, content)
    with pytest.raises(InputFileError, match=told):
        corrupt_labels(path, tmp_path / "out", kind="symmetric", rate=0.5, seed=0)
    assert not (tmp_path / "out").exists()


def test_a_parquet_file_that_is_cut_off(tmp_path: Path) -> None:
    path = table(tmp_path, ".parquet")
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(InputFileError, match="no Parquet file, or damaged"):
        corrupt_labels(path, tmp_path / "out", kind="symmetric", rate=0.5, seed=0)


@pytest.mark.parametrize("cut", [100, 700, 512 * 6])
def test_a_shard_that_is_cut_off(tmp_path: Path, cut: int) -> None:
    source = shards(tmp_path / "in", [45])
    path = source / "shard-1.tar"
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(InputFileError, match=r"shard-1\.tar (is damaged|is cut off)"):
        corrupt_labels(source, tmp_path / "out", kind="symmetric", rate=0.5, seed=0)
    assert not (tmp_path / "out").exists()


def test_bad_shards(tmp_path: Path) -> None:
    with pytest.raises(InputFileError, match=r"sample 00000: it has no \.seg"):
        corrupt_labels(shards(tmp_path / "a", [45]), tmp_path / "out", kind="symmetric", rate=0.5, seed=0, column="seg")
    double = shards(tmp_path / "b", [45])
    (double / "shard-2.tar").write_bytes((double / "shard-0.tar").read_bytes())
    with pytest.raises(InputFileError, match="samples with the same key"):
        corrupt_labels(double, tmp_path / "out", kind="symmetric", rate=0.5, seed=0)
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputFileError, match=r"holds no files in folders of classes, and no \.tar"):
        corrupt_labels(tmp_path / "empty", tmp_path / "out", kind="symmetric", rate=0.5, seed=0)


def test_requests_that_cannot_be_met(tmp_path: Path) -> None:
    path = table(tmp_path, ".csv")
    out = tmp_path / "out"
    with pytest.raises(ValueError, match="`rate`"):
        corrupt_labels(path, out, kind="symmetric", rate=1.5, seed=0)
    with pytest.raises(ValueError, match="`kind`"):
        corrupt_labels(path, out, kind="nonsense", rate=0.5, seed=0)
    with pytest.raises(ValueError, match="`seed`"):
        corrupt_captions(path, out, rate=0.5, seed=-1)
    with pytest.raises(InputFileError, match="has 4 classes, more than --num-classes 3"):
        corrupt_labels(path, out, kind="symmetric", rate=0.5, seed=0, column="number", num_classes=3)
    with pytest.raises(InputFileError, match="names 3 classes"):
        corrupt_labels(path, out, kind="symmetric", rate=0.5, seed=0, num_classes=5)
    with pytest.raises(InputFileError, match="a folder of pictures, which have no captions"):
        corrupt_captions(folder_of_pictures(tmp_path / "p"), out, rate=0.5, seed=0)
    with pytest.raises(InputFileError, match="there is nothing at"):
        corrupt_labels(tmp_path / "none.csv", out, kind="symmetric", rate=0.5, seed=0)
    assert not out.exists()


def test_results_are_not_overwritten(tmp_path: Path) -> None:
    path, out = table(tmp_path, ".csv"), tmp_path / "out"
    first = corrupt_labels(path, out, kind="symmetric", rate=0.5, seed=0)
    with pytest.raises(OutputFolderError, match="replace it with --force"):
        corrupt_labels(path, out, kind="symmetric", rate=0.5, seed=1)
    assert verify_audit(out / "audit.json") == first
    second = corrupt_labels(path, out, kind="symmetric", rate=0.5, seed=1, force=True)
    assert verify_audit(out / "audit.json") == second != first
    with pytest.raises(OutputFolderError, match="holds the input"):
        corrupt_labels(path, tmp_path, kind="symmetric", rate=0.5, seed=1)


def test_an_old_audit_does_not_outlive_its_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, out = table(tmp_path, ".csv"), tmp_path / "out"
    corrupt_labels(path, out, kind="symmetric", rate=0.5, seed=0)

    def full(self: Path, target: Path) -> Path:
        raise OSError("no space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(OSError, match="no space left"):
        corrupt_labels(path, out, kind="symmetric", rate=0.5, seed=1, force=True)
    assert not (out / "audit.json").exists()
    assert not list(out.glob(".noise-*"))


def test_progress_goes_to_stderr(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The bar of a run that takes longer than a second, at once."""
    monkeypatch.setattr(derive, "tqdm", lambda items, **options: tqdm(items, **options | {"delay": 0, "leave": True}))
    corrupt_captions(table(tmp_path, ".csv"), tmp_path / "out", rate=0.5, seed=1, progress=True)
    shown = capsys.readouterr()
    assert "90row" in shown.err
    assert not shown.out


def test_line_endings_and_untouched_lines_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_bytes(b'label,text\r\n0,"a\r\nb"\r\n1,c\r\n')
    corrupt_labels(path, tmp_path / "out", kind="symmetric", rate=0.0, seed=0)
    assert (tmp_path / "out" / "x.csv").read_bytes() == path.read_bytes()
    lines = tmp_path / "x.jsonl"
    lines.write_bytes(b'{"label":0,   "x": 1e3}\n{"label": 1}')
    corrupt_labels(lines, tmp_path / "json", kind="symmetric", rate=0.0, seed=0)
    assert (tmp_path / "json" / "x.jsonl").read_bytes() == lines.read_bytes()


def test_many_classes_are_counted_in_triples(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_text("label\n" + "\n".join(str(i % 300) for i in range(600)) + "\n")
    audit = corrupt_labels(path, tmp_path / "out", kind="pair_flip", rate=0.5, seed=0)
    assert audit["empirical_transition"] is None
    assert sum(number for _, _, number in audit["counts"]) == 600
    assert sum(number for clean, noisy, number in audit["counts"] if clean != noisy) == 300
    verify_audit(tmp_path / "out" / "audit.json")


# --- labels as they stand in files


def test_classes_are_those_of_the_file(tmp_path: Path) -> None:
    for name, labels in {
        "four": ["1", "2", "3", "4"],
        "hundreds": ["100", "200", "300"],
        "signs": ["10", "9", "-1"],
    }.items():
        path = bad_table(tmp_path, f"{name}.csv", "label\n" + "\n".join(labels * 30) + "\n")
        audit = corrupt_labels(path, tmp_path / name, kind="symmetric", rate=0.5, seed=0)
        assert audit["classes"] == sorted(labels, key=int)
        assert set((tmp_path / name / path.name).read_text().split()[1:]) == set(labels)
        verify_audit(tmp_path / name / "audit.json")


def test_mappings_name_labels(tmp_path: Path) -> None:
    path = bad_table(tmp_path, "x.csv", "label\n" + "1\n2\n3\n" * 20)
    corrupt_labels(path, tmp_path / "out", kind="asymmetric", rate=1.0, seed=0, mapping={"1": "2", "3": "1"})
    assert (tmp_path / "out" / "x.csv").read_text() == "label\n" + "2\n2\n1\n" * 20
    verify_audit(tmp_path / "out" / "audit.json")
    named = table(tmp_path, ".csv")
    corrupt_labels(named, tmp_path / "named", kind="asymmetric", rate=1.0, seed=0, mapping={"cat": "dog"})
    assert [row["label"] for row in read(tmp_path / "named" / "data.csv")] == ["dog", "dog", "eel"] * 30


def test_an_input_may_have_the_name_of_a_result(tmp_path: Path) -> None:
    for name in ("flipped.csv", "Flipped.CSV"):
        path = bad_table(tmp_path, name, "label\n" + "a\nb\n" * 10)
        audit = corrupt_labels(path, tmp_path / f"out-{name}", kind="symmetric", rate=0.5, seed=0)
        assert list(audit["output"]) == [f"noisy-{name}"]
        verify_audit(tmp_path / f"out-{name}" / "audit.json")


def test_arrays_and_stores(tmp_path: Path) -> None:
    from safetensors.numpy import load_file, save_file

    from noisymodel import FeatureStore

    labels = np.arange(60) % 3 + 1
    np.save(tmp_path / "x.npy", labels.astype(np.int8))
    np.savez(tmp_path / "x.npz", labels=labels, features=np.ones((60, 2)))
    save_file({"labels": labels, "features": np.ones((60, 2))}, tmp_path / "x.safetensors")
    with FeatureStore.create(tmp_path / "store", num_features=1, metadata={"classes": ["", "a", "b", "c"]}) as store:
        store.append(np.ones((60, 1), np.float32), labels, [f"id {i}" for i in range(60)])
    results = {}
    for name in ("x.npy", "x.npz", "x.safetensors", "store"):
        out = tmp_path / f"out-{name}"
        audit = corrupt_labels(tmp_path / name, out, kind="symmetric", rate=0.5, seed=0)
        assert audit["classes"] == (["a", "b", "c"] if name == "store" else ["1", "2", "3"])
        assert audit["num_wrong"] == 30
        verify_audit(out / "audit.json")
        results[name] = out
    noisy = np.load(results["x.npy"] / "x.npy")
    assert noisy.dtype == np.int8
    assert (np.load(results["x.npz"] / "x.npz")["labels"] == noisy).all()
    assert (load_file(results["x.safetensors"] / "x.safetensors")["labels"] == noisy).all()
    with (results["store"] / "listing.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["label"] for row in rows] == ["_abc"[label] for label in noisy]
    assert (rows[7]["row"], rows[7]["id"]) == ("7", "id 7")
    with pytest.raises(InputFileError, match="is a feature store, which have no captions"):
        corrupt_captions(tmp_path / "store", tmp_path / "out", rate=0.5, seed=0)


def test_what_arrays_refuse_files_refuse(tmp_path: Path) -> None:
    import pyarrow as pa
    from pyarrow import parquet

    np.save(tmp_path / "truth.npy", np.array([True, False]))
    np.save(tmp_path / "float.npy", np.array([1.0, 2.0]))
    parquet.write_table(pa.table({"label": [True, False]}), tmp_path / "truth.parquet")
    parquet.write_table(pa.table({"label": [1.0, 2.0]}), tmp_path / "float.parquet")
    bad_table(tmp_path, "truth.jsonl", '{"label": true}\n{"label": false}\n')
    bad_table(tmp_path, "half.jsonl", '{"label": "a"}\n{"label": "\\udfff"}\n')
    for path in sorted(tmp_path.iterdir()):
        with pytest.raises(InputFileError, match=r"(row 0|line [12]): 'label'|got (bool|float64) of shape"):
            corrupt_labels(path, tmp_path / "out", kind="symmetric", rate=0.5, seed=0)


def test_a_member_keeps_the_end_of_its_line(tmp_path: Path) -> None:
    source = tmp_path / "in"
    source.mkdir()
    with tarfile.open(source / "x.tar", "w") as archive:
        for index in range(10):
            member = tarfile.TarInfo(f"{index}.cls")
            content = f"{index % 2}\n".encode()
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    audit = corrupt_labels(source, tmp_path / "out", kind="pair_flip", rate=1.0, seed=0)
    assert audit["classes"] == ["0", "1"]
    assert members(tmp_path / "out") == {f"{i}.cls": f"{1 - i % 2}\n".encode() for i in range(10)}
    verify_audit(tmp_path / "out" / "audit.json")


# --- runs that meet, and runs that were killed


def test_of_two_runs_into_one_folder_one_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from noisymodel.noise_files import corrupt

    path, out = table(tmp_path, ".csv"), tmp_path / "out"
    real, told = corrupt.derive, []

    def meanwhile(*arguments: object, **options: object) -> object:
        if not told:
            told.append(1)
            with pytest.raises(OutputFolderError, match="is being written by process"):
                corrupt_labels(path, out, kind="symmetric", rate=0.5, seed=1)
        return real(*arguments, **options)

    monkeypatch.setattr(corrupt, "derive", meanwhile)
    audit = corrupt_labels(path, out, kind="symmetric", rate=0.5, seed=0)
    assert verify_audit(out / "audit.json") == audit
    assert sorted(one.name for one in out.iterdir()) == ["audit.json", "data.csv", "flipped.csv"]


def test_a_run_that_ended_while_another_waited_is_not_overwritten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from noisymodel.noise_files import corrupt

    path, out = table(tmp_path, ".csv"), tmp_path / "out"
    real = corrupt.Lock

    def late(lock: Path) -> object:
        monkeypatch.setattr(corrupt, "Lock", real)
        corrupt_labels(path, out, kind="symmetric", rate=0.5, seed=1)
        return real(lock)

    monkeypatch.setattr(corrupt, "Lock", late)
    with pytest.raises(OutputFolderError, match="exists: name another folder"):
        corrupt_labels(path, out, kind="symmetric", rate=0.5, seed=0)
    assert verify_audit(out / "audit.json")["noise"]["seed"] == 1


def test_what_a_killed_run_left_is_swept_up(tmp_path: Path) -> None:
    path, out = table(tmp_path, ".csv"), tmp_path / "out"
    (out / ".noise-123").mkdir(parents=True)
    (out / ".noise-123" / "data.csv").write_text("half")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "kept").write_text("x")
    (out / ".noise-link").symlink_to(tmp_path / "elsewhere")
    corrupt_labels(path, out, kind="symmetric", rate=0.5, seed=0)
    assert sorted(one.name for one in out.iterdir()) == [".noise-link", "audit.json", "data.csv", "flipped.csv"]
    assert (tmp_path / "elsewhere" / "kept").exists()


def test_an_audit_names_files_of_its_folder_alone(tmp_path: Path) -> None:
    path = table(tmp_path, ".csv")
    corrupt_labels(path, tmp_path / "out", kind="symmetric", rate=0.4, seed=3)
    audit = tmp_path / "out" / "audit.json"
    held = json.loads(audit.read_text())
    (tmp_path / "copy.csv").write_bytes((tmp_path / "out" / "data.csv").read_bytes())
    for name in ("../copy.csv", str(tmp_path / "copy.csv"), "sub/../data.csv"):
        audit.write_text(json.dumps({**held, "output": {name: held["output"]["data.csv"]}}))
        with pytest.raises(InputFileError, match="names files outside its folder"):
            verify_audit(audit)
    for name, value in {
        "noise": {},
        "column": 3,
        "output": [],
        "input": {"path": 1},
        "flipped": {},
        "what": "x",
    }.items():
        audit.write_text(json.dumps({**held, name: value}))
        with pytest.raises(InputFileError, match="is no audit of `noisymodel noise`"):
            verify_audit(audit)
    audit.write_text("[" * 100_000)
    with pytest.raises(InputFileError, match=r"is no audit .*nested too deep"):
        verify_audit(audit)
