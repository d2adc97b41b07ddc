"""The weights in a file of torch.save, read without running anything that the file names.

Run by ``models/foreign_weights.py`` as a script in a process of its own, with limits on memory,
time and files: ``python -I inert_pickle.py MODEL OUT SECONDS`` writes OUT as safetensors, or takes
more SECONDS of the processor and is ended. It imports neither torch nor this project. A name in the
pickle is looked up in ``_ALLOWED`` and nowhere else, so the class that bears it is never imported,
let alone called; any other name ends the reading.
Reads the zip form (torch 1.6 and later) and the one before it.
"""

import math
import pickle
import resource
import struct
import sys
import zipfile
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from safetensors.numpy import save_file

# A DenseNet121 has 32 MB, three times as many with an optimizer's state.
_MAX_BYTES = 200 * 10**6
_SPARE_MEMORY = 2**30  # bytes for the interpreter and numpy; with 4 copies of the file under 2 GB
_LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
_LEGACY_PROTOCOL = 1001
_WRAPPERS = ("state_dict", "model_state_dict", "model", "net")
# Storages that are no part of another (torch 0.4 wrote such ones).
_WHOLE: tuple[list[None], ...] = ([], [None])
_MAX_DEPTH = 32  # modules within modules; a DenseNet in DataParallel has 6


class Refused(Exception):
    """The file holds something that is not read; the message says what."""


class Inert:
    """Stands for an instance of any class: keeps its attributes and does nothing."""

    __slots__ = ("attributes",)

    def __init__(self, *_arguments: object) -> None:
        self.attributes: dict[str, Any] = {}

    def __setstate__(self, state: object) -> None:
        self.attributes = state if type(state) is dict else {}


class Mapping(OrderedDict[str, Any]):
    """A state dict; the attributes that torch hangs on it (``_metadata``) are dropped."""

    def __setstate__(self, state: object) -> None:
        pass


class Storage(NamedTuple):
    key: str
    dtype: np.dtype[Any]
    numel: int


class Tensor(NamedTuple):
    storage: Storage
    offset: int
    shape: tuple[int, ...]
    stride: tuple[int, ...]


def _tensor(storage: object, offset: Any, shape: Any, stride: Any, *_grad: object) -> Tensor:
    numbers = (offset, *shape, *stride)
    if not isinstance(storage, Storage) or len(shape) != len(stride):
        raise Refused("a tensor without storage")
    if not all(type(number) is int and number >= 0 for number in numbers):
        raise Refused("a tensor with a shape that is none")
    return Tensor(storage, offset, tuple(shape), tuple(stride))


def _parameter(data: object, *_grad: object) -> object:
    return data


_STORAGES: dict[str, np.dtype[Any]] = {
    "DoubleStorage": np.dtype("float64"),
    "FloatStorage": np.dtype("float32"),
    "HalfStorage": np.dtype("float16"),
    "LongStorage": np.dtype("int64"),
    "IntStorage": np.dtype("int32"),
    "ByteStorage": np.dtype("uint8"),
    "BoolStorage": np.dtype("bool"),
}
_LAYERS = {
    "torch.nn.modules.activation": ("ReLU", "Sigmoid"),
    "torch.nn.modules.batchnorm": ("BatchNorm2d",),
    "torch.nn.modules.container": ("Sequential",),
    "torch.nn.modules.conv": ("Conv2d",),
    "torch.nn.modules.dropout": ("Dropout",),
    "torch.nn.modules.linear": ("Linear",),
    "torch.nn.modules.pooling": ("AdaptiveAvgPool2d", "AvgPool2d", "MaxPool2d"),
    "torch.nn.parallel.data_parallel": ("DataParallel",),
    "torchvision.models.densenet": ("DenseNet", "_DenseBlock", "_DenseLayer", "_Transition"),
    "torchxrayvision.models": ("DenseNet", "_DenseBlock", "_DenseLayer", "_Transition"),
}
_ALLOWED: dict[tuple[str, str], Any] = {
    ("collections", "OrderedDict"): Mapping,
    ("__builtin__", "set"): set,  # builtins, as pickle's protocol 2 spells them
    ("builtins", "set"): set,
    ("torch._utils", "_rebuild_parameter"): _parameter,
    ("torch._utils", "_rebuild_tensor"): _tensor,
    ("torch._utils", "_rebuild_tensor_v2"): _tensor,
    ("torch", "device"): Inert,
    # A loss or learning rate that was saved beside the model as a number of numpy.
    ("_codecs", "encode"): Inert,
    ("numpy", "dtype"): Inert,
    ("numpy.core.multiarray", "scalar"): Inert,
    ("numpy._core.multiarray", "scalar"): Inert,
    **{("torch", name): name for name in _STORAGES},  # a string, on which no pickle can act
    **{(module, name): Inert for module, names in _LAYERS.items() for name in names},
}


class InertUnpickler(pickle.Unpickler):
    """Builds numbers, strings, plain containers and the stand-ins above."""

    def __init__(self, file: BinaryIO) -> None:
        super().__init__(file)
        self.storages: dict[str, Storage] = {}

    def find_class(self, module: str, name: str) -> Any:
        try:
            return _ALLOWED[module, name]
        except KeyError:
            raise Refused(f"it names {module}.{name}, which is not on the list") from None

    def persistent_load(self, pid: Any) -> object:
        match pid:
            case ("module", layer, _, _):  # the older form adds the source of each class
                return layer
            case ("storage", str(kind), str(key), _, int(numel), *view) if (
                kind in _STORAGES and view in _WHOLE
            ):
                return self.storages.setdefault(key, Storage(key, _STORAGES[kind], numel))
        raise Refused("a storage of a kind that is not read")


def read(path: Path) -> dict[str, np.ndarray]:
    """The state dict of the model in ``path``. Raises Refused, or anything if it is damaged."""
    with path.open("rb") as file:
        root, contents = _read_zip(file) if zipfile.is_zipfile(file) else _read_legacy(file)
    return {
        name: _array(name, tensor, contents[tensor.storage.key]) for name, tensor in _weights(root)
    }


def _read_zip(file: BinaryIO) -> tuple[object, dict[str, bytes]]:
    with zipfile.ZipFile(file) as archive:
        if any(member.compress_type != zipfile.ZIP_STORED for member in archive.infolist()):
            raise Refused("a compressed archive, which torch.save does not write")
        names = [name for name in archive.namelist() if name.endswith("/data.pkl")]
        if len(names) != 1:
            raise Refused("an archive that torch.save did not write")
        folder = names[0].removesuffix("data.pkl")
        order = f"{folder}byteorder"  # since torch 2.1
        if order in archive.namelist() and archive.read(order) != b"little":
            raise Refused("numbers in another byte order")
        with archive.open(names[0]) as data:
            unpickler = InertUnpickler(data)  # type: ignore[arg-type]
            root = unpickler.load()
        keys = unpickler.storages
        return root, {key: archive.read(f"{folder}data/{key}") for key in keys}


def _read_legacy(file: BinaryIO) -> tuple[object, dict[str, bytes]]:
    file.seek(0)
    try:
        written_by_torch = InertUnpickler(file).load() == _LEGACY_MAGIC
    except (pickle.UnpicklingError, EOFError):
        written_by_torch = False
    if not written_by_torch:
        raise Refused("not a file of torch.save")
    if InertUnpickler(file).load() != _LEGACY_PROTOCOL:
        raise Refused("a version of torch.save that is not read")
    system = InertUnpickler(file).load()
    if not isinstance(system, dict) or system.get("little_endian") is not True:
        raise Refused("numbers in another byte order")
    unpickler = InertUnpickler(file)
    root = unpickler.load()
    contents = {}
    for key in InertUnpickler(file).load():
        storage = unpickler.storages[key]
        (numel,) = struct.unpack("<q", file.read(8))
        if numel != storage.numel:
            raise Refused(f"a storage of {numel} numbers where {storage.numel} belong")
        contents[key] = file.read(numel * storage.dtype.itemsize)
    return root, contents


def _weights(root: object) -> Iterator[tuple[str, Tensor]]:
    if isinstance(root, dict):
        if _is_state_dict(root):
            return iter(root.items())
        for wrapper in _WRAPPERS:
            if isinstance(root.get(wrapper), dict | Inert):
                return _weights(root[wrapper])
        inside = {str(name): value for name, value in root.items() if _is_state_dict(value)}
        if len(inside) == 1:
            return _weights(*inside.values())
        if inside:
            raise Refused(f"it holds several state dicts: {', '.join(sorted(inside))}")
    if isinstance(root, Inert):
        return _walk(root, "", 0)
    raise Refused("it holds no state dict (names to tensors) and no model")


def _is_state_dict(value: object) -> bool:
    if not isinstance(value, dict) or not value:
        return False
    return all(isinstance(n, str) and isinstance(t, Tensor) for n, t in value.items())


def _walk(module: object, prefix: str, depth: int) -> Iterator[tuple[str, Tensor]]:
    """Parameters and buffers as ``Module.state_dict`` names them."""
    if not isinstance(module, Inert) or depth > _MAX_DEPTH:
        raise Refused(f"{prefix or 'the model'}: not a module of a network")
    attributes = module.attributes
    passing = attributes.get("_non_persistent_buffers_set", set())
    for name, tensor in (*attributes["_parameters"].items(), *attributes["_buffers"].items()):
        if isinstance(tensor, Tensor) and name not in passing:
            yield f"{prefix}{name}", tensor
    for name, child in attributes["_modules"].items():
        yield from _walk(child, f"{prefix}{name}.", depth + 1)


def _array(name: str, tensor: Tensor, content: bytes) -> np.ndarray:
    storage, offset, shape, stride = tensor
    if len(content) != storage.numel * storage.dtype.itemsize:
        raise Refused(f"{name}: its storage is cut short")
    numel = math.prod(shape)
    last = offset + sum((n - 1) * step for n, step in zip(shape, stride, strict=True))
    if numel > storage.numel or (numel and last >= storage.numel):
        raise Refused(f"{name}: reaches beyond its storage")
    numbers = np.frombuffer(content, storage.dtype)[offset:]
    strides = [step * storage.dtype.itemsize for step in stride]
    return np.lib.stride_tricks.as_strided(numbers, shape, strides).copy(order="C")


def _limit(size: int, seconds: int) -> None:
    resource.setrlimit(resource.RLIMIT_AS, (_SPARE_MEMORY + 4 * size,) * 2)
    # The first is the signal that tells the parent why, the second ends what ignores it.
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 1))
    resource.setrlimit(resource.RLIMIT_FSIZE, (2 * size + 2**20,) * 2)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def main(source: str, target: str, seconds: str) -> str:
    """Writes ``target``, or returns the reason why not."""
    size = Path(source).stat().st_size
    if size > _MAX_BYTES:
        return f"{size} bytes, at most {_MAX_BYTES} are read"
    _limit(size, int(seconds))
    try:
        save_file(read(Path(source)), target)
    except Refused as refused:
        return str(refused)
    except Exception as error:  # what a broken or hostile pickle raises is anything
        return f"damaged ({type(error).__name__}: {error})"
    return ""


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]) or 0)
