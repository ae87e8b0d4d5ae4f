"""A filter of every kind that came after the first ones, at a strength that changes images."""

from typing import Any

CASES: dict[str, dict[str, Any]] = {
    "box": {"radius": 1},
    "bilateral": {"sigma_color": 0.3},
    "nonlocal_means": {"strength": 60.0, "search": 5},
    "total_variation": {"weight": 0.1},
    "total_variation_dropout": {"weight": 0.1},
    "wavelet": {"noise": 0.2},
    "pixel_deflection": {"share": 0.5, "radius": 2},
    "wiener": {"radius": 1},
    "thermometer": {"levels": 4},
    "kmeans": {"levels": 3},
    "opening": {"radius": 1},
    "closing": {"radius": 1},
    "unsharp_mask": {"amount": 0.5},
    "equalize": {},
    "resize_pad": {"smallest": 0.8},
    "random_crop": {"share": 0.8},
    "shield": {"lowest": 20},
    "low_rank": {"rank": 2},
}
