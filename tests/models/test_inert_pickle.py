"""What the reading process makes of files that torch.save wrote, and of files made to harm."""

import collections
import io
import os
import pickle
import re
import struct
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from models import foreign_weights, inert_pickle
from models.foreign_weights import CheckpointError, read_pickled


def write_zip(path: Path, payload: bytes, storages: dict[str, bytes] | None = None) -> Path:
    """A file as torch 1.6 and later lay it out, around any pickle."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", payload)
        archive.writestr("archive/version", "3\n")
        for key, content in (storages or {}).items():
            archive.writestr(f"archive/data/{key}", content)
    return path


def tuples_in_tuples(path: Path) -> Path:
    """A dict whose key is a tuple of one tuple twice, and so on: its hash takes 2**60 steps."""
    return write_zip(path, b"\x80\x02})" + b"2\x86" * 60 + b"Ns.")


def network() -> nn.Module:
    convolution = nn.Conv2d(3, 4, 3).to(memory_format=torch.channels_last)
    head = nn.Sequential(nn.Linear(4, 2, bias=False), nn.ReLU())
    return nn.Sequential(convolution, nn.BatchNorm2d(4), nn.MaxPool2d(2), head)


@pytest.mark.parametrize("zipped", [True, False])
def test_a_model_that_was_pickled_whole_gives_its_state_dict(tmp_path, zipped):
    model = nn.DataParallel(network())
    model.module.register_buffer("passing", torch.zeros(2), persistent=False)
    path = tmp_path / "checkpoint_best"
    content = {
        "model": model,
        "best_loss": np.float64(0.13),
        "epoch": 8,
        "rng_state": torch.get_rng_state(),
        "LR": 0.001,
    }
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    state = read_pickled(path)
    expected = model.state_dict()
    assert state.keys() == expected.keys()
    for name, tensor in expected.items():
        assert state[name].dtype == tensor.dtype
        assert torch.equal(state[name], tensor)


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("wrap", [False, True])
def test_views_strides_and_types_of_a_state_dict_survive(tmp_path, zipped, wrap):
    base = torch.arange(24.0).reshape(4, 6)
    state = {
        "part": base[1:3, 2:],
        "turned": base.T,
        "empty": torch.zeros(0, 3),
        "number": torch.tensor(7),
        **{str(d): torch.tensor([1, 0], dtype=d) for d in (torch.float64, torch.float16)},
        **{str(d): torch.tensor([1, 0], dtype=d) for d in (torch.uint8, torch.bool, torch.int32)},
    }
    path = tmp_path / "state.pth"
    torch.save(
        {"state_dict": state} if wrap else state, path, _use_new_zipfile_serialization=zipped
    )
    read = read_pickled(path)
    assert read.keys() == state.keys()
    for name, tensor in state.items():
        assert read[name].dtype == tensor.dtype
        assert torch.equal(read[name], tensor)


class GPUPickler(pickle.Pickler):
    """Writes one float tensor as torch 1.7 did from a GPU, after any change of its fields."""

    def __init__(self, file: Any, numel: int) -> None:
        super().__init__(file, protocol=2)
        self.numel = numel

    def persistent_id(self, obj: Any) -> Any:
        if isinstance(obj, torch.UntypedStorage):
            return ("storage", torch.FloatStorage, "0", "cuda:0", self.numel)
        return None


class Rebuilt:
    def __init__(self, *arguments: Any) -> None:
        self.arguments = arguments

    def __reduce__(self) -> Any:
        return torch._utils._rebuild_tensor_v2, self.arguments


def gpu_file(path: Path, *geometry: Any, numel: int = 6, content: bytes | None = None) -> Path:
    with (path.parent / "payload").open("wb") as file:
        storage = torch.zeros(1).untyped_storage()
        tensor = Rebuilt(storage, *geometry, False, collections.OrderedDict())
        GPUPickler(file, numel).dump({"w": tensor})
    payload = (path.parent / "payload").read_bytes()
    return write_zip(path, payload, {"0": content or struct.pack("<6f", *range(6))})


def test_weights_from_a_gpu_are_read_on_a_machine_without_one(tmp_path):
    read = read_pickled(gpu_file(tmp_path / "gpu.pt", 1, (2, 2), (2, 1)))
    assert read["w"].tolist() == [[1.0, 2.0], [3.0, 4.0]]


@pytest.mark.parametrize(
    ("geometry", "reason"),
    [
        ((3, (2, 2), (2, 1)), "reaches beyond its storage"),
        ((0, (2**20, 2**20), (0, 0)), "reaches beyond its storage"),
        ((-1, (2,), (1,)), "a shape that is none"),
        ((0, (2,), (1, 1)), "a tensor without storage"),
        ((0, (2.5,), (1,)), "a shape that is none"),
    ],
)
def test_a_tensor_cannot_reach_beyond_its_storage(tmp_path, geometry, reason):
    with pytest.raises(CheckpointError, match=reason):
        read_pickled(gpu_file(tmp_path / "far.pt", *geometry))


def test_a_storage_that_is_shorter_than_it_says_is_refused(tmp_path):
    with pytest.raises(CheckpointError, match="w: its storage is cut short"):
        read_pickled(gpu_file(tmp_path / "short.pt", 0, (2,), (1,), numel=2**40))


class Gadget:
    """Pickles as a call of ``function``."""

    def __init__(self, function: Any, *arguments: Any, state: Any = None) -> None:
        self.call = (function, arguments) if state is None else (function, arguments, state)

    def __reduce__(self) -> Any:
        return self.call


def torch_bytes(root: Any) -> bytes:
    torch.save(root, buffer := io.BytesIO())
    return buffer.getvalue()


SHELL = 'touch "$MARKER"'
CODE = "open(__import__('os').environ['MARKER'], 'w').close()"
BUILTINS = r"(__builtin__|builtins)"
CALLS: dict[str, tuple[Any, str]] = {
    "a shell": (Gadget(os.system, SHELL), r"posix\.system"),
    "eval": (Gadget(eval, CODE), rf"{BUILTINS}\.eval"),
    "exec in a wrapper": ({"model": Gadget(exec, CODE)}, rf"{BUILTINS}\.exec"),
    "the state of a layer": (
        {"model": Gadget(nn.Linear, state={"__setstate__": Gadget(eval, CODE)})},
        rf"{BUILTINS}\.eval",
    ),
    "a call whose argument is a call": (
        Gadget(collections.OrderedDict, Gadget(os.system, SHELL)),
        r"posix\.system",
    ),
    "a pickle within": (
        Gadget(torch.storage._load_from_bytes, torch_bytes(Gadget(os.system, SHELL))),
        r"torch\.storage\._load_from_bytes",
    ),
    "a class that no DenseNet has": (nn.Module, r"torch\.nn\.modules\.module\.Module"),
}
OPCODES: dict[str, tuple[bytes, str]] = {
    "getattr": (b"c__builtin__\ngetattr\n(cos\nsystem\nX\1\0\0\0xtR.", r"__builtin__\.getattr"),
    "an instance": (b"(S'touch ran'\nios\nsystem\n.", r"os\.system"),
    "the attribute of an allowed class": (
        b"\x80\4\x8c\x0bcollections\x8c\x20OrderedDict.__init__.__globals__\x93.",
        r"collections\.OrderedDict\.__init__\.__globals__",
    ),
}


@pytest.fixture
def marker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What appears if a payload runs."""
    monkeypatch.setenv("MARKER", str(tmp_path / "ran"))
    return tmp_path / "ran"


def refusal(path: Path) -> str:
    with pytest.raises(CheckpointError) as caught:
        read_pickled(path)
    return str(caught.value)


def test_the_payloads_of_these_tests_do_run_where_pickle_reads_them(marker):
    for kind in ("a shell", "eval", "a pickle within"):
        pickle.loads(pickle.dumps(CALLS[kind][0], 2))
        assert marker.exists()
        marker.unlink()


@pytest.mark.parametrize("kind", CALLS)
def test_a_pickle_that_calls_is_refused_by_name_and_nothing_runs(tmp_path, marker, kind):
    root, name = CALLS[kind]
    path = write_zip(tmp_path / "model.pt", pickle.dumps(root, 2))
    assert re.search(f"it names {name}, which is not on the list", refusal(path))
    assert not marker.exists()


@pytest.mark.parametrize("kind", OPCODES)
def test_names_are_refused_whichever_opcode_brings_them(tmp_path, kind):
    payload, name = OPCODES[kind]
    assert re.search(f"it names {name}, which", refusal(write_zip(tmp_path / "a.pt", payload)))


def test_the_older_form_is_guarded_as_well(tmp_path, marker):
    path = tmp_path / "model.pt"
    evil = {"model": Gadget(os.system, SHELL)}
    torch.save(evil, path, _use_new_zipfile_serialization=False)
    assert "it names posix.system, which" in refusal(path)
    path.write_bytes(pickle.dumps(evil, 2))
    assert "it names posix.system, which" in refusal(path)
    assert not marker.exists()


def test_the_reading_process_imports_neither_torch_nor_this_project():
    code = (
        "import runpy, sys; runpy.run_path(sys.argv[1]); "
        "print({'torch', 'torchvision', 'models'} & set(sys.modules))"
    )
    command = [sys.executable, "-I", "-c", code, inert_pickle.__file__]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


def test_every_allowed_name_stands_for_a_type_or_function_of_the_reader_or_a_set():
    stands_for = set(inert_pickle._ALLOWED.values()) - set(inert_pickle._STORAGES)
    assert {value.__module__ for value in stands_for - {set}} == {inert_pickle.__name__}


def test_a_layer_s_stand_in_takes_its_state_as_data_only():
    layer = inert_pickle.Inert()
    layer.__setstate__({"__class__": Gadget, "forward": print})
    assert type(layer) is inert_pickle.Inert
    assert not hasattr(layer, "forward")


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (b"]r\xff\xff\xff\x7f.", "damaged (MemoryError"),
        (b"\x82\x01.", "damaged (ValueError"),
        (b"", "damaged (EOFError"),
        (b"Q.", "damaged"),
        (b"ctorch\nFloatStorage\n}b.", "damaged (AttributeError"),
        (b"K\x01Q.", "a storage of a kind that is not read"),
        (b"].", "holds no state dict"),
        (b"}.", "holds no state dict"),
    ],
)
def test_hostile_and_broken_pickles_end_in_an_error(tmp_path, payload, reason):
    assert reason in refusal(write_zip(tmp_path / "broken.pt", payload))


def test_a_module_that_holds_itself_is_refused(tmp_path):
    model = nn.Sequential()
    model._modules["again"] = model
    torch.save(model, tmp_path / "loop.pt")
    assert "not a module of a network" in refusal(tmp_path / "loop.pt")


def test_files_that_torch_did_not_write_are_refused(tmp_path):
    path = tmp_path / "model.pt"
    for content in (b"", b"no weights here", b"\x80\x02K\x01."):
        path.write_bytes(content)
        assert "not a file of torch.save" in refusal(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("mimetype", "text/plain")
    assert "an archive that torch.save did not write" in refusal(path)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", bytes(1000))
    assert "a compressed archive" in refusal(path)


@pytest.mark.parametrize("zipped", [True, False])
def test_a_file_that_was_cut_short_is_refused(tmp_path, zipped):
    path = tmp_path / "cut.pt"
    torch.save(network().state_dict(), path, _use_new_zipfile_serialization=zipped)
    path.write_bytes(path.read_bytes()[:-100])
    assert "cut.pt: not readable as weights: " in refusal(path)


def test_tuples_that_double_with_each_byte_end_when_the_processor_s_time_is_over(
    tmp_path, monkeypatch
):
    assert foreign_weights._CPU_SECONDS < 10  # as docs/reliability.md promises
    monkeypatch.setattr(foreign_weights, "_CPU_SECONDS", 1)
    path = tuples_in_tuples(tmp_path / "tuples.pt")
    assert refusal(path) == f"{path}: takes over 1 s of the processor to read"


def test_a_file_that_is_far_too_large_for_such_a_network_is_not_opened(tmp_path):
    with (tmp_path / "large.pt").open("wb") as file:
        file.truncate(inert_pickle._MAX_BYTES + 1)  # holes, which take no room
    assert "200000001 bytes, at most 200000000 are read" in refusal(tmp_path / "large.pt")
    assert inert_pickle._SPARE_MEMORY + 4 * inert_pickle._MAX_BYTES < 2 * 10**9


def test_reading_ends_when_its_time_is_over(tmp_path, monkeypatch):
    monkeypatch.setattr(foreign_weights, "_SECONDS", 0.001)
    assert "slow.pt: not read within 0.001 s" in refusal(write_zip(tmp_path / "slow.pt", b"}."))
