"""The registry of filters.

An implementation is an `epsigma.filters.filter.Filter`, made from its hyper-parameters by keyword,
that of a random kind also from `generator`.
"""

from epsigma.kinds import FilterKind, Schema

_SHAPE: Schema = {
    "description": "how the response falls off; at the cutoff (or the band's edges) the smooth "
    "shapes are at half amplitude",
    "enum": ["ideal", "gaussian", "butterworth"],
    "default": "ideal",
}
_ORDER: Schema = {
    "description": "order of the Butterworth response; the other shapes ignore it",
    "type": "integer",
    "minimum": 1,
    "default": 2,
}
_BORDER: Schema = {
    "description": "how the image goes on beyond its border",
    "enum": ["reflect", "replicate", "constant", "circular"],
    "default": "reflect",
}
_POST: Schema = {
    "description": "what is done with values outside [0, 1]: nothing, clipping, or an affine map "
    "of each image's range to [0, 1]",
    "enum": ["none", "clip", "rescale"],
    "default": "none",
}


def _cutoff(of: str) -> Schema:
    return {
        "description": f"{of}, in cycles per pixel (0.5 is the Nyquist frequency of an axis, "
        "0.7071 the highest there is, on the diagonal)",
        "type": "number",
        "exclusiveMinimum": 0,
        "maximum": 0.7072,
    }


def _dc(default: str) -> Schema:
    return {
        "description": "what is done with the mean of each channel of an image",
        "enum": ["drop", "keep"],
        "default": default,
    }


FILTERS = {
    "none": FilterKind("epsigma.filters.none:Identity", gradient="exact"),
    "identity": FilterKind("epsigma.filters.none:Identity", gradient="exact"),
    "gaussian": FilterKind(
        "epsigma.filters.gaussian:Gaussian",
        swept="sigma",
        parameters={
            "sigma": {
                "description": "standard deviation of the kernel, in pixels",
                "type": "number",
                "exclusiveMinimum": 0,
            },
            "truncate": {
                "description": "radius of the kernel in standard deviations, rounded up to whole "
                "pixels and capped at the image's side - 1",
                "type": "number",
                "exclusiveMinimum": 0,
                "default": 4,
            },
            "border": _BORDER,
        },
        gradient="exact",
        identity_parameters={"sigma": 0.01},
    ),
    "lowpass": FilterKind(
        "epsigma.filters.frequency:LowPass",
        swept="cutoff",
        parameters={
            "cutoff": _cutoff("the highest frequency that passes"),
            "shape": _SHAPE,
            "order": _ORDER,
            "dc": _dc("keep"),
            "post": _POST,
        },
        gradient="exact",
        identity_parameters={"cutoff": 0.7072, "dc": "keep", "shape": "ideal", "post": "none"},
    ),
    "highpass": FilterKind(
        "epsigma.filters.frequency:HighPass",
        swept="cutoff",
        parameters={
            "cutoff": _cutoff("the highest frequency that is stopped"),
            "shape": _SHAPE,
            "order": _ORDER,
            "dc": _dc("drop"),
            "post": _POST,
        },
        gradient="exact",
        identity_parameters={"cutoff": 0.000001, "dc": "keep", "shape": "ideal", "post": "none"},
    ),
    "bandpass": FilterKind(
        "epsigma.filters.frequency:BandPass",
        swept="cutoff",
        parameters={
            "cutoff": _cutoff("centre of the band"),
            "width": {
                "description": "width of the band, in cycles per pixel",
                "type": "number",
                "exclusiveMinimum": 0,
                "maximum": 1.4143,
                "default": 0.1,
            },
            "shape": _SHAPE,
            "order": _ORDER,
            "dc": _dc("drop"),
            "post": _POST,
        },
        gradient="exact",
        identity_parameters={
            "cutoff": 0.3536,
            "width": 1,
            "dc": "keep",
            "shape": "ideal",
            "post": "none",
        },
    ),
    "bitdepth": FilterKind(
        "epsigma.filters.bitdepth:BitDepth",
        swept="bits",
        parameters={
            "bits": {
                "description": "bits that are kept of each value",
                "type": "integer",
                "minimum": 1,
                "maximum": 12,
            },
        },
        gradient="bpda",
        identity_parameters={"bits": 16},
    ),
    "jpeg": FilterKind(
        "epsigma.filters.jpeg:Jpeg",
        swept="quality",
        parameters={
            "quality": {
                "description": "quality of the compression, as libjpeg scales it",
                "type": "integer",
                "minimum": 1,
                "maximum": 100,
            },
        },
        gradient="bpda",
    ),
    "median": FilterKind(
        "epsigma.filters.median:Median",
        swept="size",
        parameters={
            "size": {
                "description": "side of the window in pixels",
                "type": "integer",
                "enum": [2, 3, 4, 5, 6, 7, 8, 9, 10, 11],
            },
            "border": _BORDER,
        },
        gradient="bpda",
        identity_parameters={"size": 1},
    ),
    "noise": FilterKind(
        "epsigma.filters.noise:GaussianNoise",
        swept="std",
        parameters={
            "std": {
                "description": "standard deviation of the noise, in units of the pixel range",
                "type": "number",
                "exclusiveMinimum": 0,
            },
        },
        gradient="exact",
        random=True,
        identity_parameters={"std": 0.000001},
    ),
    "reformer": FilterKind(
        "epsigma.filters.reformer:Reformer",
        swept="passes",
        parameters={
            "autoencoder": {
                "description": "name of an autoencoder of the study",
                "type": "string",
            },
            "passes": {
                "description": "how often an image passes it",
                "type": "integer",
                "minimum": 1,
            },
        },
        gradient="exact",
        autoencoder="autoencoder",
    ),
}
