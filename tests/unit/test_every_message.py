"""What each message of the package says to do is done in a test, or it is said why not."""

import ast
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from epsigma.checks.remedies import REMEDIES
from epsigma.registry import REGISTRIES
from epsigma.registry.trainings import TRAININGS
from epsigma.study.blocks import Attack

HERE = Path(__file__).parent
PACKAGE = HERE.parents[1] / "workflow" / "epsigma"
# Words that are shorter tell no message from another.
TELLING = 12
PLACE = "{}"
# What lists faults of a study, in other ways than by an error.
LISTING = ("references", "named", "narrowing", "shares", "reading", "faults")
# Of an argument that is out of its range.
ARGUMENT = re.compile(r"(loss )?[\w.{}]+ = \{\}( and \w+ = \{\})? (is|are|must be) ")


def read_text(node: ast.AST, known: dict[str, str]) -> str | None:
    """Read a literal, with `PLACE` for each value that it shows; None of what is no literal."""
    if isinstance(node, ast.Constant):
        return node.value if isinstance(node.value, str) else None
    if isinstance(node, ast.JoinedStr):
        return "".join(read_text(part, known) or PLACE for part in node.values)
    if isinstance(node, ast.FormattedValue) and isinstance(node.value, ast.Name):
        return known.get(node.value.id, PLACE)
    return None


def list_constants(tree: ast.Module) -> dict[str, str]:
    """The texts that a module has as constants, by name."""
    return {
        target.id: value
        for node in tree.body
        if isinstance(node, ast.Assign) and (value := read_text(node.value, {}))
        for target in node.targets
        if isinstance(target, ast.Name)
    }


def list_messages() -> Iterator[tuple[str, str]]:
    """Every message, and in which module it is."""
    shared = list_constants(ast.parse((PACKAGE / "datasets" / "downloads.py").read_text("utf-8")))
    for path in sorted(PACKAGE.rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        known = {**shared, **list_constants(tree)}
        module = path.relative_to(PACKAGE).with_suffix("").as_posix()
        for node in ast.walk(tree):
            if isinstance(node, ast.Call):
                name = getattr(node.func, "id", getattr(node.func, "attr", ""))
                texts = [read_text(argument, known) for argument in node.args]
                told = [text for text in texts if text and " " in text]
                if re.search(r"Error$", name):
                    yield from ((module, text) for text in told)
            elif module.startswith("study/") and path.stem in LISTING:
                text = read_text(node, known) if isinstance(node, ast.JoinedStr) else None
                if text and len(text.replace(PLACE, "")) > TELLING and " " in text:
                    yield module, text


def list_words(*names: str) -> set[str]:
    """The telling texts of some tests, without the escapes of regular expressions."""
    found = set()
    for path in (path for name in names for path in HERE.glob(name)):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            text = read_text(node, {}) if isinstance(node, ast.Constant | ast.JoinedStr) else None
            if text and len(text) >= TELLING:
                found.add(re.sub(r"\\(.)", r"\1", text))
    return found


FOLLOWED = list_words("test_remedies*.py")


def is_told(message: str, words: str) -> bool:
    """Whether words are of a message's end, where its remedy is.

    One holds the other, or they overlap by telling words. The end is what comes last between two
    values that are shown, and is telling.
    """
    telling = [part for part in message.split(PLACE) if len(part.strip()) >= TELLING]
    if not telling:
        return False
    end = telling[-1]
    overlaps = range(TELLING, min(len(end), len(words)) + 1)
    return (
        words in end
        or end.strip() in words
        or any(words.startswith(end[-n:]) or words.endswith(end[:n]) for n in overlaps)
    )


def is_followed(message: str) -> bool:
    return any(is_told(message, words) for words in FOLLOWED)


# What bounds a value in a schema.
LIMITS = {"enum", "const", "anyOf", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"}
NAMES_IT = "puts the name of what it is about before another message"
MISUSE = "a programmer's error: the stages cannot make it"
NO_PROOF = "says in the column `why` why there is no proof, which is no fault"
# Why there is no test that does what a message says; or, of one without telling words, which one
# does: a file of tests, and the words that it looks for.
REASONS = {
    "module {} has no attribute {}": "Python's own words for a name that is misspelt",
    "gamma = {} of an image's {} values is {}, and {} are changed at once: make it {}/{} or more, "
    "or 0": "test_remedies.py: make it 2/96 or more",
    "{} is not a name, ~ and a number in its shortest spelling": MISUSE,
    "{} is no {}": "becomes the reason of why there are no scores",
    "what its process left are no scores ({}: {}): submit a filter that writes no files": (
        "test_challenge_left.py: submit a filter that writes no files"
    ),
    "Landlock: {}": "the system's own words, which the page of challenges explains",
    "VALUES has the key {}; allowed: {}": "test_remedies_of_results.py: ; allowed: threshold",
    "{} raised {}{}": "test_remedies_of_results.py: name 'nothing' is not defined",
    'its output has no gradient: say gradient="bpda", and give it a surrogate': (
        "test_challenge.py: say gradient=.bpda."
    ),
    "{}: {}": NAMES_IT,
    "model {}: {}": NAMES_IT,
    "attack {}: {}": NAMES_IT,
    "checkpoint {} is {}": NAMES_IT,
    "the configuration cannot be run:{}": NAMES_IT,
    "detectors[{}] ({})": NAMES_IT,
    "{}.kind: {} is no entry of a registry: {}": NAMES_IT,
    "{} (one in {} will do as well)": "test_datasets.py: will do as well",
    "{} detectors, {} thresholds": MISUSE,
    "{} filters and {} ways to attack them": MISUSE,
    "{} is no level of {}, which sweeps {}": MISUSE,
    "{} rows of {}": MISUSE,
    "{}: {} rows of {}": MISUSE,
    "images of {}": MISUSE,
    "exact answers are for linf only, not for {}": MISUSE,
    "norm = {} is none of {}": MISUSE,
    "family = {} of {}; allowed: {}": "test_remedies_of_studies.py: family = 'fast' of json:loads",
    "{} has no {}": "test_remedies_of_studies.py: has no 'YOURS'",
    "there is no source of {}": "test_remedies_of_studies.py: write it there, or correct the name",
    "no table {} in {}; {}": "test_remedies_of_results.py: no table 'worst' in",
    "no cell has {}={}{}; {}": "test_remedies_of_results.py: no cell has attack='pgd'",
    "the model does something else than its layers one after the other": NO_PROOF,
    "a layer of {} × {} is too large for proofs: at most {} entries": NO_PROOF,
    "the model has weights that are not finite numbers": NO_PROOF,
    "autoencoder {}: of images {} it made {}; it has to return their shape": (
        "test_autoencoders.py: it has to return"
    ),
    "altered since it was written: {}": "test_damaged.py: delete it and run again",
    "{shown} is not allowed": "test_configuration.py: 0.0 is not allowed",
    "unknown key {}; allowed: {}": "test_remedies_of_studies.py: unknown key seed; allowed: ",
    "the key {} is missing": "test_remedies_of_studies.py: the key eps is missing",
    "{} is not of type string": "test_configuration.py: 5 is not of type string",
    "{} is no name for files and tables{}": "test_remedies_of_studies.py: write it like my_mlp",
    "{} does not match {}": "test_remedies_of_studies.py: write it like package.module:function",
    "checkpoint {} was made with a normalisation: say {}": (
        "test_published_weights.py: What it says to write can be written"
    ),
    "checkpoint {} has no weights under {}: {}": (
        "test_published_weights.py: leave checkpoint_key out"
    ),
    "checkpoint {} has weights alone: leave checkpoint_key out": (
        "test_published_weights.py: leave checkpoint_key out"
    ),
    "the attack returned values that are not finite: no {} is that": (
        "test_stored_as.py: not finite"
    ),
    "the data set has values that are no multiples of 1/255, which {} does not have: stored as "
    "that, an image is {} from the clean one where {} = {} allows less ({}); say stored_as: "
    "float32, or leave such budgets out": "test_stored_as.py: no multiples of 1/255, which",
    "the data set has values that are no multiples of 1/255, which {} does not have: stored as "
    "that, an image differs from the clean one in these where the attack changes as few "
    "values as it can (l0); say stored_as: float32, or leave such attacks out": (
        "test_stored_as.py: no multiples of 1/255, which"
    ),
    "there is no {} among the {} of the configuration: {}": "test_configuration.py: there is no ",
}
MESSAGES = list(dict.fromkeys(text for _, text in list_messages()))


def test_there_are_hundreds_of_messages() -> None:
    assert len(MESSAGES) > 250
    assert sum(map(is_followed, MESSAGES)) > 200


@pytest.mark.parametrize("message", MESSAGES)
def test_what_a_message_says_is_done_or_it_is_said_why_not(message: str) -> None:
    assert is_followed(message) or message in REASONS or ARGUMENT.match(message), (
        "Do what it says in a test of tests/unit/test_remedies*.py, whose words are its own; or "
        "say in REASONS why not."
    )


@pytest.mark.parametrize("message", REASONS)
def test_a_reason_is_of_a_message_that_there_is_and_its_test_looks_for_its_words(
    message: str,
) -> None:
    assert message in MESSAGES
    assert not is_followed(message), "it needs no reason"
    file, _, words = REASONS[message].partition(": ")
    if file.startswith("test_"):
        (path,) = HERE.parent.rglob(file)
        assert words in path.read_text(encoding="utf-8")


@pytest.mark.parametrize("message", list(filter(ARGUMENT.match, MESSAGES)))
def test_the_words_of_a_study_come_before_those_of_an_argument(message: str) -> None:
    """A hyper-parameter of that name is bounded wherever there is one, which test_bad_input tries.

    What is named by a value that is shown, is so in test_configuration.
    """
    if is_followed(message) or message in REASONS:
        return
    schemas: dict[str, list[Mapping[str, Any]]] = {}
    for registry in (*REGISTRIES.values(), TRAININGS):
        for kind in registry.values():
            for name, schema in kind.schemas.items():
                schemas.setdefault(name, []).append(schema)
    schemas["eot_samples"] = [Attack.model_json_schema()["properties"]["eot_samples"]]
    for name in re.findall(r"(\w+) = \{\}", message):
        assert all(LIMITS & set(schema) for schema in schemas[name])


def test_every_check_s_remedy_is_done() -> None:
    path = HERE / "test_remedies_of_checks.py"
    named = {
        node.value
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    assert set(REMEDIES) <= named


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("is no folder: name the one that holds", True),
        ("own/images is no folder: name", True),
        ("name the one that holds the four files", True),
        ("is no file: name an IDX file", False),
    ],
)
def test_a_message_is_known_by_telling_words_of_its_own(words: str, told: bool) -> None:
    message = "{} is no folder: name the one that holds the four files"
    assert is_told(message, words) == told
